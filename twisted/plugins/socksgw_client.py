"""
The endpoint strings of proxies, for any Twisted program.
"""

from socksgw.client.strings import ProxyStrings

socks = ProxyStrings("socks", "SocksClientEndpoint")
httpProxy = ProxyStrings("httpproxy", "HTTPClientEndpoint")
