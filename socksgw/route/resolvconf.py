"""
How this host looks names up.

nsswitch.conf(5) says what is asked, resolv.conf(5) which name servers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen
from twisted.logger import Logger

from socksgw.route.dnstransport import socketAddress
from socksgw.route.nameserver import ServerSettings
from socksgw.system.files import FileError, readFile, unmarked

__all__ = [
    "NSSWITCH",
    "RESOLV_CONF",
    "SERVERS",
    "HostChoice",
    "HostServers",
    "readChoice",
    "readServers",
]

NSSWITCH: Final = Path("/etc/nsswitch.conf")
RESOLV_CONF: Final = Path("/etc/resolv.conf")

#: What can be asked without the C library; C{myhostname} except for its names.
_OURS: Final = ("files", "dns", "myhostname")
#: Name servers that the C library uses (resolv.h, C{MAXNS}).
SERVERS: Final = 3
#: The same, of attempts (C{RES_MAXRETRY}).
_ROUNDS: Final = 5

_log: Final = Logger()


@frozen
class HostChoice:
    """
    What is asked for names.

    @ivar order: C{files} and C{dns} in their order; empty when the C library
        has to be asked.
    @ivar why: what only the C library can ask; empty when it is not needed.
    @ivar local: whether this host's own name has an answer (nss-myhostname(8)).
    """

    order: tuple[str, ...] = ("files", "dns")
    why: str = ""
    local: bool = False


def readChoice(file: Path = NSSWITCH) -> HostChoice:
    """
    Return what nsswitch.conf says of hosts.
    """
    words = _words(file)
    if words is None:
        # So the C library does without the file, and musl always.
        return HostChoice()
    for word in words:
        if word not in _OURS:
            return HostChoice((), word)
    order = tuple(word for word in words if word != "myhostname")
    return HostChoice(order, local="myhostname" in words)


def _words(file: Path) -> list[str] | None:
    for line in _lines(file):
        key, colon, rest = line.partition("#")[0].partition(":")
        if colon and key.strip() == "hosts":
            # An action such as [NOTFOUND=return] is a word, and not one of _OURS.
            return rest.split()
    return None


def _lines(file: Path) -> list[str]:
    try:
        octets = readFile(file)
    except FileNotFoundError:
        return []
    except (OSError, FileError) as e:
        _log.warn("{file} is not used: {why}", file=str(file), why=str(e))
        return []
    return unmarked(octets).decode("utf-8", "replace").splitlines()


@frozen
class HostServers:
    """
    The name servers of this host.

    @ivar aaaa: whether IPv6 addresses are asked for.
    """

    settings: ServerSettings
    aaaa: bool = True


def readServers(
    file: Path = RESOLV_CONF, environ: Mapping[str, str] = os.environ
) -> HostServers:
    """
    Return what resolv.conf, and C{RES_OPTIONS}, say of name servers.

    Search domains are not used.
    """
    servers: list[tuple[str, int]] = []
    options: list[str] = []
    for line in _lines(file):
        # A keyword counts at the start of a line.
        words = line.split()
        if len(words) < 2 or not line.startswith(words[0]):
            continue
        if words[0] == "nameserver" and len(servers) < SERVERS:
            try:
                socketAddress(words[1], 53)
            except ValueError as e:
                _log.warn(
                    "{file}: nameserver {server} is not used: {why}",
                    file=str(file),
                    server=words[1],
                    why=str(e),
                )
                continue
            servers.append((words[1], 53))
        elif words[0] == "options":
            options += words[1:]
    options += environ.get("RES_OPTIONS", "").split()
    # The last one counts.
    said = dict(option.partition(":")[::2] for option in options)
    defaults = ServerSettings(tuple(servers) or (("127.0.0.1", 53),))
    settings = ServerSettings(
        defaults.servers,
        rounds=_number(said.get("attempts"), defaults.rounds, _ROUNDS),
        patience=_number(said.get("timeout"), int(defaults.patience), 30),
        rotate="rotate" in said,
        stream="use-vc" in said,
        single="single-request" in said or "single-request-reopen" in said,
    )
    return HostServers(settings, "no-aaaa" not in said)


def _number(text: str | None, otherwise: int, most: int) -> int:
    if text is None or not (text.isascii() and text.isdigit()):
        return otherwise
    return max(1, min(int(text), most))
