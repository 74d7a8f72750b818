"""
What C{socksgw client-config KIND} prints: one module for each kind of client.

A module has what L{socksgw.console.clientconfig.Kind} says.
"""
