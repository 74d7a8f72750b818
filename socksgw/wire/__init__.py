"""SOCKS on the wire: octets in, events out; knows nothing of Twisted."""
