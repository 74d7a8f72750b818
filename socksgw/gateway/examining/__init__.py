"""
The parts of an examination: what each part of a configuration means.
"""
