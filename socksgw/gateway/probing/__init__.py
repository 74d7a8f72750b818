"""
C{socksgw check --probe}: what a configuration names is asked whether it is good for use.
"""
