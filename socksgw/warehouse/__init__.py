"""
The journal in an SQL database.

Nothing here imports Twisted. All but L{socksgw.warehouse.rows} and
L{socksgw.warehouse.errors} import SQLAlchemy, which takes 0.2 s and 20 MiB: who
imports them does it when a database is really wanted.
"""
