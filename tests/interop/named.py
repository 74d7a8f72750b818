"""
A gateway whose name server alone knows the name of a site: who reaches the site by name
has let the gateway look it up.
"""

from __future__ import annotations

#: The site, on this machine.
NAME = "site.test"
#: Listeners: without a login, and with one; C{{names}} is the port of the name server.
CONFIGURATION = """
[resolver]
servers = ["127.0.0.1:{names}"]
[[listen]]
name = "open"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "http"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "http"]
[auth]
checkers = ["passwd:users"]
throttle = {{ per_user = 0, per_source = 0 }}   # these tests fail often
[[auth.choose]]
listener = ["open"]
methods = ["none"]
[[auth.choose]]
methods = ["userpass"]
[[rule]]
id = "site"
allow = ["connect", "udp", "resolve"]
to = ["=site.test"]
resolving_to = ["127.0.0.1"]
[[rule]]
id = "found"
allow = ["connect", "udp", "bind"]
to = ["127.0.0.1"]
[[rule]]
id = "anybody"
allow = ["bind"]
to = ["0.0.0.0"]
[never]
except = ["127.0.0.1"]
"""
