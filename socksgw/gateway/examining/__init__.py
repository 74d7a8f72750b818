"""
The parts of an examination, one module for each part of the configuration.
"""
