"""
Files of 3proxy 1.0.

What they say (L{file}), what the lists of rules mean and 3proxy decides (L{rules}), the
services with what holds for each (L{services}), what is written of that (L{writing}), and
requests that show it (L{samples}).
"""
