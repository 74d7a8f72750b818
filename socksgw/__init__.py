"""
socksgw: a policed, authenticated, audited SOCKS gateway on Twisted.

The life of a session is written down once, in L{socksgw.session.session}; the parts
are put together in L{socksgw.gateway.gateway}.
"""
