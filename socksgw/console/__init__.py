"""
The C{socksgw} command, and what people read on a console.
"""
