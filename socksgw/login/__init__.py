"""Stage 3: credentials become a L{SocksUser<socksgw.login.realm.SocksUser>}."""
