"""
A gateway for our own client: with a listener of each kind that it can go to.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.live.running import LOOPBACK, Running, running, socksgw
from tests.tools.certificates import Authority, pemOf, server

__all__ = ["LOGIN", "PASSWORD", "PLAIN", "TLS", "USER", "serving"]

USER, PASSWORD = "alice", "correct-horse"
#: The listeners, by their place among the ports.
PLAIN, TLS, LOGIN = range(3)
CONFIGURATION = (
    """
[[listen]]
name = "plain"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6", "http"]
[http]
reasons = true
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
[[auth.choose]]
methods = ["none"]
[[rule]]
id = "forbidden"
deny = "any"
to = ["127.0.0.9"]
[[rule]]
id = "all"
allow = "any"
"""
    + LOOPBACK
)


def serving(directory: Path) -> Iterator[Running]:
    """Run it; its authority is in C{ca.pem}, the user's password in C{password}."""
    authority = Authority()
    server(authority).write(directory, "gw")
    (directory / "ca.pem").write_bytes(pemOf(authority.certificate))
    (directory / "password").touch(0o600)
    (directory / "password").write_text(PASSWORD + "\n")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    yield from running(directory, CONFIGURATION)
