"""
One client, from its first message to its record.
"""
