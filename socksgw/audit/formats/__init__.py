"""
Lines of the journal in the formats of other programs: pure functions.
"""
