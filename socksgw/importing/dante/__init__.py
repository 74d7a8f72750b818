"""
Files of Dante 1.4.

What they say (L{file}, L{reading}), what Dante decides (L{rules}), what is written of
that (L{writing}), and requests that show it (L{samples}).
"""
