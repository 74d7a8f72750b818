"""
One gateway for all tests that need nothing of their own, and who may log in.
"""

from __future__ import annotations

import socket

import pytest

from tests.live.running import Running

#: The user that may log in.
USER = "alice"
PASSWORD = "correct-horse"
#: Listeners: C{open}, which wants no login, and C{login}, which wants one.
TWO = """
[[listen]]
name = "open"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
[auth]
checkers = ["passwd:users"]
throttle = { per_user = 0, per_source = 0 }   # these tests fail often
[[auth.choose]]
listener = ["open"]
methods = ["none"]
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
"""
#: A listener where everybody of L{USER}'s file logs in, and reaches this machine.
LOGIN = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
methods = ["userpass"]
[[rule]]
id = "all"
allow = ["connect"]
[never]
except = ["127.0.0.0/8"]
"""
#: The listeners are L{TWO}, and C{six} where there is IPv6.
SHARED = (
    TWO
    + """
%s
[[rule]]
id = "forbidden"
deny = "any"
to = ["127.0.0.9"]
[[rule]]
id = "open"
allow = ["connect"]
listener = ["open"%s]
[[rule]]
id = "login"
allow = ["connect"]
who = ["alice"]
listener = ["login"]
[never]
except = ["127.0.0.0/8", "::1"]
"""
)
SIX = """
[[listen]]
name = "six"
address = ["[::1]:0"]
[[auth.choose]]
listener = ["six"]
methods = ["none"]
"""


def _hasSix() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


HAS_SIX = _hasSix()
#: For what cannot be done without IPv6 on loopback.
needsSix = pytest.mark.skipif(not HAS_SIX, reason="this machine has no ::1")


class Shared:
    """
    The gateway that most tests use, and its ports.

    @ivar gateway: it.
    @ivar open: serves without login.
    @ivar login: wants user and password.
    @ivar six: serves without login, on C{::1}; 0 where there is none.
    """

    def __init__(self, gateway: Running) -> None:
        self.gateway = gateway
        self.open, self.login, self.six = (*gateway.ports, 0)[:3]
