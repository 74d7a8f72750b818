"""
The sink that sends each line as a message of syslog (RFC 5424).

It goes over UDP (RFC 5426), TCP with octet counting (RFC 6587) or TLS (RFC 5425).
Syslog has no acknowledgement: over a connection a line counts as delivered when the
other host's kernel has it. What its program may not have read of that when the
connection breaks is sent again.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import termios
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from fcntl import ioctl
from typing import Final, final
from urllib.parse import urlsplit

from zope.interface import implementer

from socksgw.interfaces import (
    Answer,
    AuditSink,
    Entry,
    IAuditSink,
    IProbedSink,
    ProbeFailed,
    SinkFailed,
    SinkSettings,
)
from socksgw.system.blockingtls import clientContext, whyFailed
from socksgw.wire.bounded import document
from socksgw.wire.syslog import FACILITIES, LEAST, Header, counted, message, structured

__all__ = ["sinks"]

_PORTS: Final = {"udp": 514, "tcp": 601, "tls": 6514}
#: Octets of the longest message by default. rsyslog cuts at 8,096; a datagram should be
#: 2,048 at most (RFC 5426, section 3.2).
_MOST: Final = {"udp": 2048, "tcp": 8000, "tls": 8000}
#: Octets of the longest message that may be configured: syslog-ng closes at 64 KiB.
_LIMIT: Final = 60_000
#: Seconds for a connection, a handshake, a write, and until the other host has it.
_PATIENCE: Final = 15.0
#: Seconds after which a program has read what its host has; what is younger is sent
#: again after a break. Octets of it that are kept.
_UNREAD: Final = 10.0
_KEPT: Final = 1 << 20
#: Datagrams that are sent at once, and the seconds before the next ones.
_BURST, _PAUSE = 64, 0.005
#: Keys that name files; and what a name in structured data of our own is (RFC 5424,
#: section 7).
_FILES: Final = ("ca", "certificate", "key")
_ELEMENT: Final = re.compile(r"[A-Za-z0-9._-]{1,20}@\d{1,10}(?:\.\d+)*", re.ASCII)
#: What helps where it cannot be reached.
_REMEDIES: Final = {
    "connection refused": "is it running, and does it listen for this protocol there?",
    "no answer in time": "does it run, and does a packet filter let this host reach it?",
    "its certificate is not accepted": "name the file of its issuer as ca, or the name "
    "that it has as server_name",
    "name or service not known": "check the name, and this host's name servers",
}
#: Fields of a line that structured data has, too.
_FACTS: Final = ("n", "session", "user", "client", "verdict", "rule", "reason")


@final
class _Syslog:
    """A sender of messages."""

    batch = 200

    def __init__(
        self,
        scheme: str,
        place: tuple[str, int],
        header: Header,
        most: int,
        element: str,
        context: ssl.SSLContext | None,
        name: str,
    ) -> None:
        """
        Open nothing yet.

        @param most: octets of the longest message.
        @param element: the name of our structured data; empty for none.
        @param name: the name that the certificate of the other side must have.
        """
        self._scheme = scheme
        self._place = place
        self._header = header
        self._most = most
        self._element = element
        self._context = context
        self._name = name
        self._socket: socket.socket | None = None
        self._sent: deque[tuple[float, bytes]] = deque()
        self._held = 0

    def open(self) -> None:
        """
        Connect, and send again what may have been lost with the last connection.

        @raise SinkFailed: it cannot be reached, or its certificate is not accepted.
        """
        try:
            if self._scheme == "udp":
                family, kind, proto, _, address = socket.getaddrinfo(
                    *self._place, type=socket.SOCK_DGRAM
                )[0]
                self._socket = socket.socket(family, kind, proto)
                self._socket.settimeout(_PATIENCE)
                self._socket.connect(address)
                return
            plain = socket.create_connection(self._place, _PATIENCE)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._socket = plain
            if self._context is not None:
                # Without this call a failed handshake would leave the socket open.
                wrapped = self._context.wrap_socket(plain, server_hostname=self._name)
                self._socket = wrapped
            self._forget(time.monotonic())
            again = b"".join([octets for _, octets in self._sent])
            if again:
                self._socket.sendall(again)
                self._wait()
        except OSError as e:
            raise SinkFailed(whyFailed(e)) from None

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Send lines, and wait until the other host has them."""
        messages = [m for e in entries if (m := self._message(e)) is not None]
        if not messages:
            return
        assert self._socket is not None
        try:
            if self._scheme == "udp":
                for i, each in enumerate(messages, 1):
                    self._socket.send(each)
                    if i % _BURST == 0:
                        time.sleep(_PAUSE)
                return
            self.idle()
            octets = b"".join(map(counted, messages))
            self._socket.sendall(octets)
            self._wait()
        except OSError as e:
            raise SinkFailed(whyFailed(e)) from None
        now = time.monotonic()
        self._sent.append((now, octets))
        self._held += len(octets)
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._sent and (self._sent[0][0] < now - _UNREAD or self._held > _KEPT):
            self._held -= len(self._sent.popleft()[1])

    def _wait(self) -> None:
        """
        Wait until the other host has everything that was sent.

        @raise OSError: it does not take it, or has closed the connection.
        """
        assert self._socket is not None
        until = time.monotonic() + _PATIENCE
        pause = 0.0002
        # Octets that are not acknowledged yet (tcp(7), SIOCOUTQ).
        while int.from_bytes(
            ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"), "little"
        ):
            if time.monotonic() > until:
                raise TimeoutError("does not take what it is sent")
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def _message(self, entry: Entry) -> bytes | None:
        """Return the message of a line; L{None} where the format leaves it out."""
        text = entry.formatted
        if text is None:
            return None
        fields = entry.fields
        event = str(fields.get("event", ""))
        severity = entry.severity
        data = {
            # RFC 5424, section 7: it begins again with 1.
            "meta": {"sequenceId": (entry.number - 1) % 0x7FFFFFFF + 1},
        }
        facts = structured(data)
        if self._element:
            known = {name: fields.get(name) for name in _FACTS}
            facts += structured({self._element: {"event": event, **known}})
        head = message(self._header, severity, fields["time"], event, facts)
        if len(head) > self._most // 2:
            head = message(self._header, severity, fields["time"], event, "-")
        room = self._most - len(head)
        return head + (text if len(text) <= room else _cut(text, room))

    def idle(self) -> None:
        """
        Notice that the other side has closed the connection.

        What it sends otherwise is read, and means nothing.

        @raise SinkFailed: it has.
        """
        if self._socket is None or self._scheme == "udp":
            return
        try:
            self._socket.settimeout(0.0)
            try:
                while self._socket.recv(4096):
                    pass
                raise SinkFailed("it has closed the connection")
            except (ssl.SSLWantReadError, BlockingIOError):
                return
            finally:
                self._socket.settimeout(_PATIENCE)
        except OSError as e:
            raise SinkFailed(whyFailed(e)) from None

    def close(self) -> None:
        """End the connection in order: the other side reads to its end."""
        found, self._socket = self._socket, None
        if found is None:
            return
        with found, suppress(OSError):
            if self._scheme != "udp":
                # Octets that nobody has read would reset it (RFC 2525, section 2.17).
                found.settimeout(1.0)
                found.shutdown(socket.SHUT_WR)
                while found.recv(4096):
                    pass


def _cut(text: bytes, most: int) -> bytes:
    """Shorten a text; JSON stays JSON, and CEF loses its last keys."""
    if text.startswith(b"{"):
        members = json.loads(text)
        # Only a line of the journal itself may have one more member.
        return document(members, most, "cut" if "hash" in members else "")
    cut = text[: text.rfind(b" ", 0, most + 1)] if b" " in text[:most] else text[:most]
    return cut.decode("utf-8", "ignore").encode()


def _context(settings: SinkSettings) -> ssl.SSLContext | None:
    options = settings.options
    ca, certificate, key = (
        options.content(each, secret=each == "key") if each in options else b""
        for each in _FILES
    )
    if bool(certificate) != bool(key):
        options.wrong("key", "certificate and key go together")
        return None
    try:
        return clientContext(ca, certificate, key)
    except ValueError as e:
        name, _, why = str(e).partition(": ")
        options.wrong(name, why)
        return None


@final
@implementer(IAuditSink, IProbedSink)
class _SyslogKind:
    kind = "syslog"
    help = "Messages of syslog (RFC 5424) over UDP, TCP or TLS."
    target = "URL"
    format = "native"

    def probe(self, settings: SinkSettings) -> list[Answer]:
        """Connect, and send nothing."""
        sender = self.build(settings)
        try:
            sender.open()
        except SinkFailed as e:
            said, remedy = str(e), _REMEDIES.get(str(e).split(":")[0].lower(), "")
            raise ProbeFailed(said, remedy) from None
        finally:
            sender.close()
        url = settings.target
        if url.startswith("udp:"):
            said = "its name has an address; over UDP nobody says whether lines arrive"
            return [Answer(url, said, "warning", "use tcp:// or tls:// where it can")]
        secured = ", TLS with the right certificate" if url.startswith("tls:") else ""
        return [Answer(url, f"accepts connections{secured}")]

    def build(self, settings: SinkSettings) -> AuditSink:
        """
        Return a sender of messages.

        @raise ValueError: the target is none.
        """
        options = settings.options
        options.only(
            "ca",
            "certificate",
            "key",
            "server_name",
            "facility",
            "element",
            "max_octets",
        )
        try:
            url = urlsplit(settings.target)
            port = url.port
        except ValueError:
            raise ValueError("must be udp://HOST:PORT, tcp:// or tls://") from None
        scheme, host = url.scheme, url.hostname
        if scheme not in _PORTS or not host or url.path or url.query or url.username:
            raise ValueError("must be udp://HOST:PORT, tcp:// or tls://")
        facility = options.word("facility", "local0")
        if facility not in FACILITIES:
            options.wrong("facility", f"must be one of {', '.join(FACILITIES)}")
            facility = "local0"
        element = options.word("element")
        if element and not _ELEMENT.fullmatch(element):
            options.wrong(
                "element", "must be NAME@NUMBER, the number your enterprise's"
            )
            element = ""
        most = options.number("max_octets", _MOST[scheme], LEAST, _LIMIT)
        if scheme != "tls":
            for key in (*_FILES, "server_name"):
                if key in options:
                    options.wrong(key, "is for tls://")
        context = _context(settings) if scheme == "tls" else None
        name = options.word("server_name") or host
        place = (host, port or _PORTS[scheme])
        header = Header(
            FACILITIES[facility], settings.gateway, "socksgw", str(os.getpid())
        )
        return _Syslog(scheme, place, header, most, element, context, name)


sinks = (_SyslogKind(),)
