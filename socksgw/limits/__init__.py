"""
Bound what clients take: sessions, rates, quotas.
"""
