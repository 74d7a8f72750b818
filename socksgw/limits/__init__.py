"""
How much clients may take: sessions, rates, quotas.
"""
