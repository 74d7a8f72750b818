"""
How a client logs in to a proxy: one module for each kind of login.
"""
