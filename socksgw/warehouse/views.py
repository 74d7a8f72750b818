"""
Views for people: who reached what, and who was kept from what.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

__all__ = ["VIEWS", "make"]

#: Each by its name.
VIEWS: Final = {
    # An association's octets are those of its flows, which have rows of their own.
    "reached": """
SELECT gateway, n, time, username, client, listener, protocol, command,
       COALESCE(name, address, asked) AS destination, address, port,
       COALESCE(end_rule, rule) AS rule, application, server_name, sent, received,
       seconds, ended, end_reason, path, tag, ticket, grant_id
FROM sessions
WHERE verdict = 'allow' AND COALESCE(reply, 0) = 0 AND command <> 'resolve'
  AND NOT (event = 'decision' AND command = 'udp')
""",
    "denied": """
SELECT gateway, n, time, verdict, count, COALESCE(username, claimed) AS username,
       client, listener, protocol, method, command,
       COALESCE(name, asked, address) AS destination, port, rule, reason, why, tag
FROM sessions
WHERE verdict <> 'allow'
""",
}


def make(connection: Connection) -> None:
    """Make the views."""
    for name, query in VIEWS.items():
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {query.strip()}")
