"""
A gateway whose name server alone knows the name of a site: who reaches the site by name
has let the gateway look it up.
"""

from __future__ import annotations

from tests.interop.shared import TWO

#: The site, on this machine.
NAME = "site.test"
#: Rules for L{TWO}, and the port of the name server.
CONFIGURATION = (
    TWO
    + """
[resolver]
servers = ["127.0.0.1:%d"]
[[rule]]
id = "site"
allow = ["connect", "udp", "resolve"]
to = ["=site.test"]
resolving_to = ["127.0.0.1"]
[[rule]]
id = "found"
allow = ["connect", "udp", "bind"]
to = ["127.0.0.1"]
[[rule]]
id = "anybody"
allow = ["bind"]
to = ["0.0.0.0"]
[never]
except = ["127.0.0.1"]
"""
)
