"""
What is counted and measured: plain counters, their names, and the texts made of them.
"""
