"""
The agent on a workstation: a gateway for one user, which knows one way out.
"""
