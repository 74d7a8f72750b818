"""
Datagrams by a proxy: UDP ASSOCIATE, and the control channel of multicast groups.
"""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any, Final

from socksgw.client.errors import ProxyError, ProxyRefused
from socksgw.client.proxy import Accepted
from socksgw.console.selftest.connecting import (
    TEXT,
    Entered,
    Means,
    Unwanted,
    enters,
    oursFor,
    refused,
    whereOf,
)
from socksgw.console.selftest.vectors import DATAGRAMS
from socksgw.console.selftest.witness import Expected
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.report.words import counted
from socksgw.system.sockets import FAMILIES
from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.association import encodeDatagram as encodeMessage
from socksgw.wire.association import readDatagramOf
from socksgw.wire.codes import Command
from socksgw.wire.datagram import encodeDatagram, readDatagram
from socksgw.wire.multicast import Answer as WireAnswer
from socksgw.wire.multicast import Asked, Flags, UDPCommand, encodeAsked, readAnswer
from socksgw.wire.protection import Protection, StreamProtection
from socksgw.wire.reader import NeedMoreData, Reader, WireError

__all__ = ["associates", "groups"]

#: Seconds after which a datagram counts as denied: nobody is told of one.
_SILENT: Final = 3.0
#: No group: an address of documentation (RFC 5737).
_NOWHERE: Final = (Address.parse("192.0.2.1"), 9)
#: What is expected of a request on the control channel.
_TID: Final = 0x5E1F


async def associates(entered: Entered, means: Means) -> Answer | None:
    """
    Have the proxy relay a datagram to this host, and return what is to be told.

    @return: L{None} where this host is not offered the login, which is told elsewhere.
    @raise ProbeFailed: it does not work.
    """
    name = entered.named("UDP ASSOCIATE")
    try:
        link, accepted = await enters(
            entered,
            means,
            Expected("udp", UNSPECIFIED4.text, 0),
            lambda proxy, link: proxy.associate(link),
        )
    except Unwanted:
        return None
    except ProxyRefused as e:
        return refused(entered, name, "udp", e)
    ours = await means.aside(lambda: oursFor(entered.place))
    dropped = 0
    try:
        with closing(socket.socket(FAMILIES[ours.version], socket.SOCK_DGRAM)) as own:
            own.bind((ours.text, 0))
            own.settimeout(min(_SILENT, means.seconds))
            if accepted.association:
                came = await _inside(link, accepted.association, own, means)
            else:
                relay = whereOf(entered, *accepted.bound)
                came, dropped = await means.aside(
                    lambda: _beside(own, relay, accepted.protection)
                )
            port = own.getsockname()[1]
    finally:
        link.connection.abortConnection()
    if not came:
        return Answer(
            name,
            f"it associates; a datagram to {ours.text} port {port} does not come back",
            "warning",
            "rules decide each destination: allow udp to it to try that, too",
        )
    if came != TEXT:
        raise ProbeFailed("what is sent comes back as something else")
    said = "it relays a datagram, and its answer"
    if dropped:
        said += f"; {counted(dropped, 'wrong datagram')} go nowhere"
    return Answer(name, said)


def _beside(
    own: socket.socket, relay: tuple[str, int], protection: Protection | None
) -> tuple[bytes, int]:
    """
    Send datagrams by a relay, first wrong ones; answer what comes of them.

    @return: the payload of the answer, empty for nothing; and how many wrong ones went
        nowhere.
    @raise ProbeFailed: a wrong one has come.
    """
    guard = None if isinstance(protection, StreamProtection) else protection
    host, port = own.getsockname()[:2]
    there = Address.parse(host)
    head = encodeDatagram(there, port, b"")

    def send(octets: bytes) -> None:
        client.send(octets if guard is None else guard.wrapDatagram(octets))

    family = FAMILIES[Address.parse(relay[0]).version]
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(own.gettimeout())
        client.connect(relay)
        try:
            for each in DATAGRAMS:
                send(each.head(head) + each.name.encode())
            send(head + TEXT)
            came, sender = own.recvfrom(1 << 16)
            # Datagrams within one host keep their order: wrong ones would have come.
            for each in DATAGRAMS:
                if came.endswith(each.name.encode()):
                    raise ProbeFailed(
                        f"a datagram with {each.name} is relayed, not as in {each.source}"
                    )
            own.sendto(came, sender)
            octets = client.recv(1 << 16)
        except OSError:
            # In time there was nothing, or the relay's port has closed.
            return b"", 0
    if guard is not None:
        octets = guard.unwrapDatagram(octets)
    return readDatagram(octets).payload, len(DATAGRAMS)


async def _inside(
    link: Any, association: bytes, own: socket.socket, means: Means
) -> bytes:
    """Send a datagram inside the connection (SOCKS 6), answer it; return the answer's."""
    host, port = own.getsockname()[:2]
    link.connection.resumeProducing()
    link.write(encodeMessage(association, Address.parse(host), port, TEXT))

    def answered() -> bool:
        try:
            octets, sender = own.recvfrom(1 << 16)
        except OSError:
            return False
        own.sendto(octets, sender)
        return True

    if not await means.aside(answered):
        return b""
    read = readDatagramOf(association)
    datagram = None
    came = link.surplus
    late = means.later(means.seconds, link.expire)
    try:
        while datagram is None:
            reader = Reader(came)
            try:
                datagram = read(reader)
                came = came[reader.position :]
            except NeedMoreData:
                came += await link.more()
    except (ProxyError, WireError) as e:
        raise ProbeFailed(f"the answer to a datagram does not come: {e}") from None
    finally:
        if late.active():
            late.cancel()
    payload: bytes = datagram.payload
    return payload


async def groups(entered: Entered, means: Means) -> Answer | None:
    """
    Ask to join an address that is no group, on the control channel (Enhanced UDP Mode).

    The proxy has to refuse it, so that no group is joined and the network hears nothing.

    @return: as of L{associates}.
    @raise ProbeFailed: it does not work.
    """
    name = entered.named("multicast groups")

    async def ask(proxy: Any, link: Any) -> int:
        accepted: Accepted = await proxy.associate(
            link, command=Command.ENHANCED_UDP_MODE
        )
        return await _refusal(link, accepted, means)

    try:
        link, reply = await enters(entered, means, None, ask)
    except Unwanted:
        return None
    except ProxyRefused as e:
        return refused(entered, name, "multicast", e)
    link.connection.abortConnection()
    if not reply:
        raise ProbeFailed(
            "192.0.2.1 is no group, and it has joined it",
            "report it to whoever makes the proxy, with this line",
        )
    return Answer(
        name, f"it has them; 192.0.2.1, which is none, is refused ({reply:#04x})"
    )


async def _refusal(link: Any, accepted: Accepted, means: Means) -> int:
    """
    Ask for the group, and return the reply's number.

    @raise ProbeFailed: no reply comes.
    """
    guard = accepted.protection
    flags = Flags.MULTICAST | Flags.MU_MODE | Flags.RECEIVE | Flags.ENCAPSULATED
    octets = encodeAsked(Asked(UDPCommand.BIND, flags, 0, _TID, 0, remote=_NOWHERE))
    link.connection.resumeProducing()
    link.write(octets if guard is None else guard.wrap(octets))
    late = means.later(means.seconds, link.expire)
    came = link.surplus
    try:
        while True:
            try:
                answer = readAnswer(Reader(came))
            except NeedMoreData:
                more = await link.more()
                came += more if guard is None else guard.unwrap(more)
                continue
            if not isinstance(answer, WireAnswer) or answer.tid != _TID:
                raise ProbeFailed(
                    "it answers on the control channel what was not asked"
                )
            return answer.reply
    except WireError as e:
        raise ProbeFailed(f"the control channel is not as it should be: {e}") from None
    finally:
        if late.active():
            late.cancel()
