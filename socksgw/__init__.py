"""
socksgw: a policed, authenticated, audited SOCKS gateway on Twisted.

The order of a session is in L{socksgw.session.session}, and the order of the whole
service in L{socksgw.gateway.gateway}.
"""
