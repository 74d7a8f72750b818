"""
C{python -m socksgw.audit.sinks}, which the gateway runs.
"""

from socksgw.audit.sinks.process import main

main()
