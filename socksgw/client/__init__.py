"""
The other end: what speaks with proxies, as their client.
"""
