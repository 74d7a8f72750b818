"""
What the gateway needs of the machine: descriptors, sockets, threads, files, TLS.
"""
