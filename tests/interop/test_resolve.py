"""
RESOLVE and RESOLVE_PTR with Tor's own programs: tor-resolve, torsocks.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.names import KnownNames
from tests.live.running import Running, running
from tests.live.servers import program
from tests.tools.waiting import until

KNOWN = {
    "open.example": "127.0.0.7",
    "both.example": "2620:fe::9 127.0.0.7",
    "hidden.example": "127.0.0.9",
    "other.test": "127.0.0.8",
    "7.0.0.127.in-addr.arpa": "open.example",
    "9.0.0.127.in-addr.arpa": "hidden.example",
}

CONFIGURATION = """
[resolver]
servers = ["127.0.0.1:%d"]
[[listen]]
name = "open"
address = ["127.0.0.1:0"]
[[listen]]
name = "silent"
address = ["127.0.0.1:0"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "unreachable"
deny = ["connect", "udp", "bind"]
to = ["127.0.0.9"]
[[rule]]
id = "names"
allow = ["resolve"]
to = ["*.example", "127.0.0.7", "127.0.0.9"]
resolving_to = ["127.0.0.0/8", "2620:fe::/48"]
listener = ["open"]
[[rule]]
id = "all"
allow = ["connect"]
[never]
except = ["127.0.0.0/8"]
"""


class Gateway:
    """
    The gateway of this file.

    @ivar names: the DNS server that it asks.
    @ivar open: the port where names may be looked up.
    @ivar silent: the port where they may not.
    """

    def __init__(self, gateway: Running, names: KnownNames) -> None:
        self.running = gateway
        self.names = names
        self.open, self.silent = gateway.ports

    def resolved(self, before: int) -> list[dict[str, Any]]:
        """The decisions since then; there is at least one."""
        found: list[dict[str, Any]] = until(
            lambda: self.running.journal("decision")[before:]
        )
        return found


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway; stopped at the end, when it must have been well."""
    directory = tmp_path_factory.mktemp("resolve")
    with KnownNames(KNOWN) as names:
        for started in running(directory, CONFIGURATION % names.port):
            yield Gateway(started, names)


def _run(environment: dict[str, str], *command: str) -> tuple[int, str, str]:
    """Run a program to its end: status, output, errors."""
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def _torResolve(
    environment: dict[str, str], port: int, *arguments: str
) -> tuple[int, str, str]:
    command = [program("tor-resolve", "tor"), *arguments, f"127.0.0.1:{port}"]
    return _run(environment, *command)


@pytest.mark.parametrize("version", ["-5", "-4"])
def test_torResolve(gateway: Gateway, quiet: dict[str, str], version: str) -> None:
    """A name's address; SOCKS 4a takes commands of Tor's, too."""
    before = len(gateway.running.journal("decision"))
    asked = _torResolve(quiet, gateway.open, version, "open.example")
    assert asked == (0, "127.0.0.7\n", "")
    (line,) = gateway.resolved(before)
    assert (line["command"], line["verdict"]) == ("resolve", "allow")
    assert line["protocol"] == ("socks5" if version == "-5" else "socks4a")
    assert (line["asked"], line["name"]) == ("open.example", "open.example")
    assert line["addresses"] == ["127.0.0.7"]
    assert line["rule"] == "names"
    (end,) = until(
        lambda: [
            each
            for each in gateway.running.journal("end")
            if each["session"] == line["session"]
        ]
    )
    assert (end["reason"], end["address"], end["bound"]) == ("answered", None, None)


def test_torResolveReverse(gateway: Gateway, quiet: dict[str, str]) -> None:
    """An address's name."""
    before = len(gateway.running.journal("decision"))
    asked = _torResolve(quiet, gateway.open, "-x", "127.0.0.7")
    assert asked == (0, "open.example\n", "")
    (line,) = gateway.resolved(before)
    assert (line["command"], line["verdict"]) == ("resolve", "allow")
    assert (line["asked"], line["name"]) == ("127.0.0.7", None)
    assert line["rule"] == "names"


@pytest.mark.parametrize(
    ("arguments", "reply"),
    [
        (["-5", "hidden.example"], "'2': not allowed"),
        (["-4", "hidden.example"], "'91'"),
        (["-x", "127.0.0.9"], "'2': not allowed"),
    ],
)
def test_torResolveOfTheUnreachable(
    gateway: Gateway, quiet: dict[str, str], arguments: list[str], reply: str
) -> None:
    """What the client could never reach it may not look up either."""
    before = len(gateway.running.journal("decision"))
    status, said, errors = _torResolve(quiet, gateway.open, *arguments)
    assert status != 0
    assert said == ""
    assert reply in errors
    (line,) = gateway.resolved(before)
    assert (line["verdict"], line["addresses"]) == ("deny", [])


@pytest.mark.parametrize(
    ("port", "name", "asked"),
    [("open", "other.test", True), ("silent", "open.example", False)],
)
def test_torResolveWithoutRule(
    gateway: Gateway, quiet: dict[str, str], port: str, name: str, asked: bool
) -> None:
    """
    Off unless a rule allows it; where none could, nobody is asked for the
    name.
    """
    before = len(gateway.running.journal("decision"))
    gateway.names.names.clear()
    status, said, errors = _torResolve(quiet, getattr(gateway, port), "-5", name)
    assert (status != 0, said) == (True, "")
    assert "'2': not allowed" in errors
    assert set(gateway.names.names) == ({name} if asked else set())
    (line,) = gateway.resolved(before)
    assert (line["verdict"], line["rule"]) == ("deny", "default")


@pytest.mark.parametrize(("version", "reply"), [("-5", "'4'"), ("-4", "'91'")])
def test_torResolveUnknown(
    gateway: Gateway, quiet: dict[str, str], version: str, reply: str
) -> None:
    """There is no such name (RFC 1928 section 6: host unreachable)."""
    status, said, errors = _torResolve(quiet, gateway.open, version, "no.example")
    assert status != 0
    assert said == ""
    assert reply in errors


def test_torsocks(gateway: Gateway, quiet: dict[str, str]) -> None:
    """
    Under torsocks any program's look-up goes this way: here the C library's
    own, by getent.
    """
    environment = {
        **quiet,
        "TORSOCKS_TOR_ADDRESS": "127.0.0.1",
        "TORSOCKS_TOR_PORT": str(gateway.open),
    }
    command = [program("torsocks", "torsocks"), "getent", "ahostsv4"]
    # It takes no IPv6 address, and the other name has one, preferred.
    for name, addresses in (
        ("open.example", ["127.0.0.7"]),
        ("both.example", ["2620:fe::9", "127.0.0.7"]),
    ):
        before = len(gateway.running.journal("decision"))
        status, said, errors = _run(environment, *command, name)
        assert (status, errors) == (0, "")
        assert {line.split()[0] for line in said.splitlines()} == {"127.0.0.7"}
        for line in gateway.resolved(before):
            assert (line["command"], line["verdict"]) == ("resolve", "allow")
            assert (line["name"], line["addresses"]) == (name, addresses)

    status, said, errors = _run(environment, *command, "hidden.example")
    assert (status != 0, said) == (True, "")
    assert "127.0.0.9" not in errors
