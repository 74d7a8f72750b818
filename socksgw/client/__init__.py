"""
The client's side of proxies: dialogues with them, and endpoints for programs.
"""
