"""
The C{socksgw} command, and all that the gateway prints for people.
"""
