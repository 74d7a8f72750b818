"""
Addresses of listeners, as a configuration writes them.
"""

from __future__ import annotations

from typing import Final

from socksgw.wire.address import Address

__all__ = [
    "UNIX",
    "isRoutable",
    "isScoped",
    "isWithin",
    "parseListenAddress",
    "parseUnixAddress",
]

#: Before the path, or C{@} and the abstract name, of a Unix socket.
UNIX: Final = "unix:"
#: Octets of the longest path or abstract name (C{sun_path} of unix(7), less one).
_LONGEST: Final = 107
#: fe80::/64 (RFC 4291 section 2.5.6).
_LINK_LOCAL: Final = b"\xfe\x80" + bytes(6)


def isScoped(address: Address) -> bool:
    """
    Return whether an address means something only together with an interface.

    That is link-local IPv6 (RFC 4007 section 6).
    """
    return address.version == 6 and address.packed[:8] == _LINK_LOCAL


def parseListenAddress(text: str) -> tuple[Address, int]:
    """
    Return the address and port of C{"10.0.0.2:1080"} or C{"[::1]:1080"}.

    @raise ValueError: the text is neither; its own text says what is wrong.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('must be "address:port" or "[address]:port"')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('an IPv6 address stands in brackets: "[::1]:1080"')
    return Address.parse(host), int(port)


def parseUnixAddress(text: str) -> str:
    """
    Return the path of C{"unix:/run/gw.sock"}, or C{"@name"} of an abstract name.

    @raise ValueError: the text is neither; its own text says what is wrong.
    """
    path = text.removeprefix(UNIX)
    if path == text or path[:1] not in ("/", "@") or path in ("/", "@"):
        raise ValueError('must be "unix:/absolute/path" or "unix:@abstract-name"')
    if not path.isprintable() or path.endswith("/"):
        raise ValueError("cannot be the name of a socket")
    if len(path.encode()) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} octets, which no socket may be")
    return path


def isWithin(listen: str) -> bool:
    """
    Tell whether programs of this machine can come in at a listener by loopback.

    @param listen: an C{address}.
    """
    try:
        address, _ = parseListenAddress(listen)
    except ValueError:
        return False
    return address.isLoopback or address.isUnspecified


def isRoutable(listen: str) -> bool:
    """
    Tell whether other hosts can reach a listener.

    They cannot if it is bound to a loopback address or to a local path.

    @param listen: an C{address}, or an endpoint string.
    @return: C{True} also when that cannot be told.
    """
    try:
        address, _ = parseListenAddress(listen)
    except ValueError:
        pass
    else:
        return not address.isLoopback
    parts = listen.replace("\\:", "\0").split(":")
    if parts[0] == "unix":
        return False
    # If there are several arguments "interface=", Twisted uses the last.
    for part in reversed(parts[1:]):
        key, equals, value = part.partition("=")
        if key == "interface" and equals:
            try:
                return not Address.parse(value.replace("\0", ":")).isLoopback
            except ValueError:
                return value != "localhost"
    return True
