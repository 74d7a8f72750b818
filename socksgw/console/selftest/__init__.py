"""
C{socksgw selftest}: a proxy against the standards, and against the product's own client.
"""
