"""
C{python -m socksgw.workers}, which the supervisor runs.
"""

from socksgw.workers.process import main

main()
