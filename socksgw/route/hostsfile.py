"""
The hosts file (hosts(5)), read once per change.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

from twisted.logger import Logger

from socksgw.system.files import FileError, readFile, stampOf, unmarked
from socksgw.system.once import Once
from socksgw.wire.address import Address

__all__ = ["HOSTS", "HostsFile"]

HOSTS: Final = Path("/etc/hosts")
#: Octets that are indexed at once; of more, a thread makes the index.
_AT_ONCE: Final = 1 << 13
#: Addresses of one name that are kept.
_ADDRESSES: Final = 64

_log: Final = Logger()

#: Makes the index in a thread: the work, and what to do with its result.
InThread = Callable[[Callable[[], Any], Callable[[Any], None]], None]


@final
class _Index:
    """
    What one version of the file says.

    @ivar addresses: of each name, in the file's order.
    @ivar names: the first name of each address.
    """

    __slots__ = ("addresses", "names")

    def __init__(self, octets: bytes) -> None:
        self.addresses: dict[str, list[bytes]] = {}
        self.names: dict[bytes, str] = {}
        text = unmarked(octets).decode("ascii", "replace").lower()
        for line in text.split("\n"):
            words = line.partition("#")[0].split()
            if len(words) < 2:
                continue
            family = socket.AF_INET6 if ":" in words[0] else socket.AF_INET
            try:
                packed = socket.inet_pton(family, words[0])
            except (OSError, ValueError):
                # An address with a zone id, say, which means nothing elsewhere.
                continue
            self.names.setdefault(packed, words[1].removesuffix("."))
            for name in words[1:]:
                known = self.addresses.setdefault(name.removesuffix("."), [])
                if len(known) < _ADDRESSES and packed not in known:
                    known.append(packed)


@final
class HostsFile:
    """
    The file as it was read last.

    It is read again by L{refresh} when its stamp has changed.
    """

    def __init__(self, path: Path = HOSTS) -> None:
        self._path = path
        self._stamp: object = None
        self._index = _Index(b"")
        self._reading = False
        self._trouble = Once()

    def refresh(self, inThread: InThread | None = None) -> None:
        """
        Read the file if it has changed.

        @param inThread: makes a large file's index; until it is made, what
            was read before counts. L{None} to wait for it.
        """
        stamp = stampOf(self._path)
        if stamp == self._stamp or self._reading:
            return
        self._stamp = stamp
        octets = self._read() if stamp is not None else b""
        if inThread is None or len(octets) <= _AT_ONCE:
            self._index = _Index(octets)
            return
        self._reading = True
        inThread(lambda: _Index(octets), self._indexed)

    def _read(self) -> bytes:
        try:
            octets = readFile(self._path)
        except (OSError, FileError) as e:
            # As in the C library, the names are looked up elsewhere then.
            if self._trouble.begins():
                _log.warn("{file} is not used: {why}", file=str(self._path), why=str(e))
            return b""
        self._trouble.ends()
        return octets

    def _indexed(self, index: _Index) -> None:
        self._reading = False
        self._index = index

    def addresses(self, name: str) -> list[Address] | None:
        """
        Return the addresses of a name; L{None} for a name that is not in the file.
        """
        packed = self._index.addresses.get(name)
        return None if packed is None else [Address(each) for each in packed]

    def name(self, address: Address) -> str | None:
        """Return the first name of an address, L{None} without one."""
        return self._index.names.get(address.packed)
