"""
The facts of a question to the policy: from a destination as people write it,
and from a line of the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from socksgw.config.levels import CLEAR
from socksgw.config.schema import Config
from socksgw.policy.hypothetical import Facts, groupsOf
from socksgw.wire.address import Address, BadHost, parseHost

__all__ = ["destination", "factsOf"]

#: Commands that lead nowhere without a port.
_WITH_PORT: Final = ("connect", "udp")


def destination(text: str, command: str) -> tuple[Address | str, int]:
    """
    The host and port of C{"host:443"}, C{"[::1]:443"}; port 0 without one.

    @param command: some need a port.
    @raise ValueError: it is none of these.
    """
    scheme, slashes, rest = text.partition("://")
    if slashes:
        host = rest.partition("/")[0]
        port = "80" if scheme.lower() in ("http", "ws") else "443"
        example = host if ":" in host.rpartition("]")[2] else f"{host}:{port}"
        raise ValueError(f'"{text}": a URL; say host and port: {example}')
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, "0"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f'"{text}": the port is not a number from 0 to 65535')
    found = parseHost(host.encode("utf-8"))
    if isinstance(found, BadHost):
        raise ValueError(f'"{host}": {found.why}')
    if int(port) == 0 and command in _WITH_PORT:
        if isinstance(found, Address) and found.version == 6:
            host = f"[{found}]"
        raise ValueError(f'"{text}": {command} needs a port, as in "{host}:443"')
    return found, int(port)


def _directorys(line: Mapping[str, Any], config: Config) -> frozenset[str]:
    """
    The groups that the user had of a directory then.
    """
    return frozenset(
        name
        for name in line.get("groups", ())
        if name in config.groups and config.groups[name].directory
    )


def factsOf(line: Mapping[str, Any], config: Config) -> Facts | None:
    """
    What a journalled decision was about; L{None} when no policy could be
    asked that.
    """
    command, name, port = line["command"], line["name"], line["port"]
    addresses = [*line["addresses"], *(a for a, _ in line.get("struck", ()))]
    if command == "udp" and line["event"] == "decision":
        # An association: what it names is a hint.
        name, port, addresses = None, 0, []
    elif not addresses and name is None:
        host = parseHost(line["asked"].encode("ascii"))
        if not isinstance(host, Address):
            return None
        addresses = [host.text]
    if command == "bind":
        # The peer's port is known when it comes.
        port = 0
    elif port == 0 and addresses and command in _WITH_PORT:
        return None
    user = line["user"]
    return Facts(
        user=user,
        groups=groupsOf(user, config.groups) | _directorys(line, config),
        command=command,
        name=name,
        port=port,
        addresses=tuple(Address.parse(address) for address in addresses),
        method=line["method"],
        source=Address.parse(line["client"].rpartition(":")[0].strip("[]")),
        listener=line["listener"],
        secured=line.get("secured", CLEAR),
        at=datetime.fromisoformat(line["time"]).timestamp(),
    )
