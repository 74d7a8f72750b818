"""
C{python -m socksgw.workers NUMBER}, which the supervisor runs.
"""

from socksgw.workers.process import main

main()
