"""
Arguments of system calls that stand in the memory of the caller.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import Final, NamedTuple

from socksgw.wire.address import Address

__all__ = [
    "STRIDE",
    "Message",
    "Place",
    "addressOf",
    "encoded",
    "hidden",
    "isSegmented",
    "message",
    "path",
    "read",
    "sockaddr",
    "tellCount",
    "write",
    "writeAddress",
    "writeNumber",
]

_libc: Final = ctypes.CDLL(None, use_errno=True)
#: The longest address that is read: C{struct sockaddr_storage}.
_LONGEST: Final = 128
#: As many parts as one call may have (UIO_MAXIOV).
_PARTS: Final = 1024

_FAMILY: Final = struct.Struct("=H")
_PORT: Final = struct.Struct("!H")
_LENGTH: Final = struct.Struct("=i")
_PART: Final = struct.Struct("=QQ")
#: C{struct msghdr} of 64 bits: name, its length, parts, their number, control, its
#: length, flags.
_HEADER: Final = struct.Struct("=QI4xQQQQi4x")
#: As C{struct mmsghdr} is long, and where it has the number of octets.
STRIDE: Final = 64
_COUNTED: Final = 56
#: C{struct cmsghdr}: length, level, type.
_CONTROL: Final = struct.Struct("=Qii")
_CONTROLS: Final = 4096
#: One call sends several datagrams (UDP_SEGMENT of udp(7)).
_SEGMENTS: Final = (int(socket.IPPROTO_UDP), 103)


class _Range(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class Place(NamedTuple):
    """
    An address and a port of the Internet.

    @ivar family: of the socket's address: an IPv4 address may be in IPv6's form.
    """

    family: int
    address: Address
    port: int


def read(thread: int, at: int, size: int) -> bytes:
    """
    Return octets of a process.

    @raise OSError: it does not have them, or is gone.
    """
    if size <= 0:
        return b""
    buffer = ctypes.create_string_buffer(size)
    near = _Range(ctypes.addressof(buffer), size)
    far = _Range(at, size)
    moved = _libc.process_vm_readv(
        thread, ctypes.byref(near), 1, ctypes.byref(far), 1, 0
    )
    _moved(thread, moved, size)
    return buffer.raw


def write(thread: int, at: int, octets: bytes) -> None:
    """
    Put octets into a process.

    @raise OSError: they may not be written there, or it is gone.
    """
    if not octets:
        return
    buffer = ctypes.create_string_buffer(octets, len(octets))
    near = _Range(ctypes.addressof(buffer), len(octets))
    far = _Range(at, len(octets))
    moved = _libc.process_vm_writev(
        thread, ctypes.byref(near), 1, ctypes.byref(far), 1, 0
    )
    _moved(thread, moved, len(octets))


def _moved(thread: int, moved: int, size: int) -> None:
    if moved != size:
        error = ctypes.get_errno() if moved < 0 else errno.EFAULT
        if error == errno.EPERM:
            raise hidden(thread)
        raise OSError(error, os.strerror(error))


def hidden(thread: int) -> OSError:
    """Return the error of a call whose caller nobody may look into."""
    return OSError(
        errno.EPERM,
        f"process {thread} lets nobody look into it (PR_SET_DUMPABLE): its calls cannot "
        "be supervised",
    )


# Addresses.


def sockaddr(thread: int, at: int, length: int) -> bytes:
    """
    Return an address that a caller gives.

    @param length: as the caller says.
    @raise OSError: there is none.
    """
    return read(thread, at, min(length & 0xFFFFFFFF, _LONGEST))


def addressOf(octets: bytes) -> Place | None:
    """Return what a C{struct sockaddr} names; L{None} if it is not of the Internet."""
    if len(octets) < _FAMILY.size:
        return None
    (family,) = _FAMILY.unpack_from(octets)
    if family == socket.AF_INET and len(octets) >= 8:
        packed = octets[4:8]
    elif family == socket.AF_INET6 and len(octets) >= 24:
        packed = octets[8:24]
    else:
        return None
    (port,) = _PORT.unpack_from(octets, 2)
    return Place(family, Address(packed), port)


def path(octets: bytes) -> str:
    """Return the path of a socket of this host; empty for any other address."""
    if _FAMILY.unpack_from(octets.ljust(2, b"\0"))[0] != socket.AF_UNIX:
        return ""
    return os.path.normpath(os.fsdecode(octets[2:].partition(b"\0")[0]))


def encoded(place: Place) -> bytes:
    """Return an address as C{struct sockaddr}."""
    head, packed = (
        _FAMILY.pack(place.family) + _PORT.pack(place.port),
        place.address.packed,
    )
    if place.family == socket.AF_INET:
        return head + packed + bytes(8)
    if len(packed) == 4:
        packed = bytes(10) + b"\xff\xff" + packed
    return head + bytes(4) + packed + bytes(4)


def writeAddress(thread: int, at: int, lengthAt: int, place: Place) -> None:
    """
    Give an address to a caller, as accept(2) does.

    @param lengthAt: where it has how much room there is, and is told the length.
    @raise OSError: it cannot be written there.
    """
    octets = encoded(place)
    (room,) = _LENGTH.unpack(read(thread, lengthAt, _LENGTH.size))
    if room < 0:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    write(thread, at, octets[:room])
    write(thread, lengthAt, _LENGTH.pack(len(octets)))


def writeNumber(thread: int, at: int, lengthAt: int, number: int) -> None:
    """
    Give a number to a caller, as getsockopt(2) does.

    @param lengthAt: where it has how much room there is, and is told the length.
    @raise OSError: it cannot be written there.
    """
    (room,) = _LENGTH.unpack(read(thread, lengthAt, _LENGTH.size))
    octets = _LENGTH.pack(number)[: max(room, 0)]
    write(thread, at, octets)
    write(thread, lengthAt, _LENGTH.pack(len(octets)))


class Message(NamedTuple):
    """
    A C{struct msghdr} of a caller.

    @ivar at: where it stands.
    @ivar name: where an address is, or is wanted; 0 for none.
    @ivar nameLength: how long that is.
    @ivar parts: where its octets are, each with its length.
    @ivar control: where ancillary data are; 0 for none.
    @ivar controlLength: how long they are.
    """

    at: int
    name: int
    nameLength: int
    parts: tuple[tuple[int, int], ...]
    control: int
    controlLength: int

    @property
    def size(self) -> int:
        """The octets of all parts."""
        return sum(size for _, size in self.parts)

    def octets(self, thread: int) -> bytes:
        """
        Return the octets to be sent.

        @raise OSError: the caller does not have them.
        """
        return b"".join(read(thread, at, size) for at, size in self.parts)

    def fill(self, thread: int, octets: bytes) -> None:
        """
        Put octets that came into the parts.

        @raise OSError: they may not be written there.
        """
        for at, size in self.parts:
            part, octets = octets[:size], octets[size:]
            write(thread, at, part)

    def tell(self, thread: int, place: Place | None, flags: int) -> None:
        """
        Tell where octets came from, without ancillary data.

        @raise OSError: it cannot be written there.
        """
        length = 0
        if place is not None and self.name:
            octets = encoded(place)
            length = len(octets)
            write(thread, self.name, octets[: self.nameLength])
        # msg_namelen; msg_controllen and msg_flags.
        write(thread, self.at + 8, struct.pack("=I", length))
        write(thread, self.at + 40, struct.pack("=Qi", 0, flags))


def message(thread: int, at: int) -> Message:
    """
    Return the message of a caller.

    @raise OSError: there is none.
    """
    name, nameLength, parts, number, control, controlLength, _ = _HEADER.unpack(
        read(thread, at, _HEADER.size)
    )
    if number > _PARTS:
        raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    rows = read(thread, parts, number * _PART.size)
    return Message(
        at,
        name,
        nameLength,
        tuple(_PART.iter_unpack(rows)),
        control,
        controlLength,
    )


def isSegmented(thread: int, told: Message) -> bool:
    """
    Return whether the octets of a message are several datagrams.

    @raise OSError: the caller does not have what it says.
    """
    if not told.control:
        return False
    octets = read(thread, told.control, min(told.controlLength, _CONTROLS))
    at = 0
    while at + _CONTROL.size <= len(octets):
        length, *kind = _CONTROL.unpack_from(octets, at)
        if tuple(kind) == _SEGMENTS:
            return True
        if length < _CONTROL.size:
            break
        at += length + -length % 8
    return False


def tellCount(thread: int, at: int, count: int) -> None:
    """
    Tell how many octets a message of several had.

    @param at: where its C{struct mmsghdr} stands.
    @raise OSError: it cannot be written there.
    """
    write(thread, at + _COUNTED, struct.pack("=I", count))
