"""
The admin interface's HTTP: from a request to an entry of the table, and back.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.admin import paths, reading
from socksgw.admin.access import Access
from socksgw.admin.events import Events
from socksgw.admin.table import JSON, Answer, Asked, Caller, Entry, Refused, Stream
from socksgw.audit import process
from socksgw.gateway.gateway import Gateway
from socksgw.system.program import Program, programAt
from socksgw.system.webserver import BoundedRequest, BoundedSite

__all__ = ["AdminSite"]

_log: Final = Logger()

#: Clients that are served at a time at one place.
_MOST: Final = 64
#: Octets of a body.
_BODY: Final = 1 << 16
#: Seconds that an answer may take to be made, such as that of a restart; and to be read.
_MAKING: Final = 120
_READING: Final = 60
#: Octets of a stream that may wait for its client.
_WAITING: Final = 1 << 18
#: Of every answer: nothing is kept, run, framed, or read by other sites.
_FIELDS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@implementer(IPullProducer)
class _Pieces:
    """Gives a client one piece of an answer when it has taken the one before."""

    def __init__(self, request: Any, pieces: Iterator[bytes]) -> None:
        self._request = request
        self._pieces = pieces

    def resumeProducing(self) -> None:
        """As C{IPullProducer.resumeProducing}."""
        piece = next(self._pieces, None)
        if piece is None:
            self._request.unregisterProducer()
            self._request.finish()
        else:
            self._request.write(piece)

    def stopProducing(self) -> None:
        """As C{IPullProducer.stopProducing}."""


class AdminRequest(BoundedRequest):
    """One request."""

    mostContent = _BODY
    site: AdminSite

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """
        As C{Request.requestReceived}, without looking into query and body.
        """
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query = path.partition(b"?")
        self.process()

    def process(self) -> None:
        """Answer it."""
        channel: Any = self.channel
        self.site = channel.site
        channel.patience(_MAKING)
        # It goes on when the client goes: an act is journalled with its result.
        Deferred.fromCoroutine(self._answer()).addErrback(self._defect)

    async def _answer(self) -> None:
        entry: Entry | None = None
        caller, asked = Caller(), None
        result = "done"
        try:
            entry, inPath = self._entry()
            caller = self._caller(entry)
            asked = self._asked(entry, inPath, caller)
            found = entry.handler(asked)
            answer = await found if isinstance(found, Awaitable) else found
            result = asked.result or result
        except Refused as e:
            answer, result = refusal(e), str(e)
        except Exception:
            _log.failure("the admin interface failed by a defect in socksgw")
            answer = refusal(Refused(500, "internal failure; the log says more"))
            result = "internal failure"
        if entry is not None and entry.act and caller.name:
            what = "" if asked is None else asked.what
            line = process.adminLine(caller.name, entry.act, what, result)
            self.site.gateway.journal.append(line)
        if not self._disconnected:
            self._send(answer)

    # What is asked.

    def _entry(self) -> tuple[Entry, Mapping[str, str]]:
        """
        Return the entry that is asked for, and the fields of its path.

        @raise Refused: there is none, or a foreign page asks.
        """
        access = self.site.access
        old = self.clientproto == b"HTTP/1.0"
        host = access.host(map(_text, self._values(b"host")), not old)
        method, path = _text(self.method), _text(self.path)
        found = paths.find(method, path)
        if found is None:
            methods = paths.methodsOf(path)
            if not methods:
                raise Refused(404, "there is no such path; /openapi.json has those")
            allow = ", ".join(methods)
            raise Refused(405, f"only with {allow}", fields={"Allow": allow})
        foreign = access.isForeign(
            self._field(b"origin"),
            self._field(b"sec-fetch-site"),
            host,
            bool(self.isSecure()),  # type: ignore[no-untyped-call]
        )
        if foreign and (found[0].role or found[0].method != "GET"):
            raise Refused(403, "a page of another site asks")
        return found

    def _caller(self, entry: Entry) -> Caller:
        """
        Return who asks.

        @raise Refused: not somebody who may ask for this.
        """
        site = self.site
        program: Program | None = None
        if site.local:
            transport: Any = self.channel.transport
            program = programAt(transport.socket)
        authorization = self._field(b"authorization")
        try:
            caller = site.access.caller(authorization, program)
        except Refused as e:
            everybody = not entry.role or site.access.isPublic(entry.public)
            if e.status == 401 and everybody:
                # Whoever looks at health with a token that is old by now.
                return Caller()
            raise
        if (
            not entry.role
            or site.access.isPublic(entry.public)
            or caller.may(entry.role)
        ):
            return caller
        if caller.roles:
            if entry.act:
                line = process.adminLine(caller.name, entry.act, "", "may not")
                site.gateway.journal.append(line)
            raise Refused(403, f"{caller.name} has not the role {entry.role}")
        raise Refused(
            401,
            "a token is needed, or a Unix socket of the gateway's own user",
            fields={"WWW-Authenticate": "Bearer"},
        )

    def _asked(self, entry: Entry, inPath: Mapping[str, str], caller: Caller) -> Asked:
        """
        Return what is asked with.

        @raise Refused: that cannot be.
        """
        if self.overlong:
            raise Refused(413, f"the body has more than {_BODY} octets")
        content: Any = self.content
        kind = self._field(b"content-type") or ""
        return Asked(
            self.site.gateway,
            self.site.reactor,
            self.site.events,
            caller,
            reading.pathFields(entry.inPath, inPath),
            reading.queryFields(entry.query, self.query),
            reading.bodyFields(entry.body, kind, content.getvalue()),
            ",".join(map(_text, self._values(b"accept"))),
        )

    def _values(self, name: bytes) -> Sequence[bytes]:
        return self.requestHeaders.getRawHeaders(name) or ()

    def _field(self, name: bytes) -> str | None:
        """
        Return the only value of a field; L{None} without it.

        @raise Refused: there are several.
        """
        values = self._values(name)
        if len(values) > 1:
            raise Refused(400, f"{name.decode()}: is there twice")
        return _text(values[0]) if values else None

    # What is answered.

    def _send(self, answer: Answer | Stream) -> None:
        request: Any = self
        request.channel.patience(_READING)
        fields = dict(_FIELDS)
        if isinstance(answer, Answer):
            self.setResponseCode(answer.status)
            fields |= answer.fields
        fields["Content-Type"] = answer.kind
        for name, value in fields.items():
            request.setHeader(name.encode(), value.encode())
        if isinstance(answer, Stream):
            self._stream(answer)
        elif isinstance(answer.body, bytes):
            request.setHeader(b"content-length", b"%d" % len(answer.body))
            request.write(answer.body)
            request.finish()
        else:
            request.registerProducer(_Pieces(self, answer.body), False)

    def _stream(self, stream: Stream) -> None:
        """Send an answer without an end, until the client goes or falls behind."""
        request: Any = self
        channel: Any = self.channel
        channel.patience(None)
        waiting = _Waiting()
        request.registerProducer(waiting, True)

        def write(piece: bytes) -> bool:
            if not waiting.takes(len(piece)):
                channel.cut()
                return False
            request.write(piece)
            return True

        request.write(b"")
        if self.method == b"HEAD":
            request.unregisterProducer()
            request.finish()
            return
        channel.streaming = True
        ended = stream.begin(write)
        self.notifyFinish().addErrback(lambda _: ended())

    def _defect(self, failure: Failure) -> None:
        _log.failure("an answer of the admin interface could not be sent", failure)


@implementer(IPushProducer)
class _Waiting:
    """Counts what waits for a client that does not read."""

    def __init__(self) -> None:
        self._paused = False
        self._octets = 0

    def takes(self, octets: int) -> bool:
        """Return whether so many octets more may wait."""
        if self._paused:
            self._octets += octets
        return self._octets <= _WAITING

    def pauseProducing(self) -> None:
        """As C{IPushProducer.pauseProducing}."""
        self._paused = True

    def resumeProducing(self) -> None:
        """As C{IPushProducer.resumeProducing}."""
        self._paused = False
        self._octets = 0

    def stopProducing(self) -> None:
        """As C{IPushProducer.stopProducing}."""


def _text(octets: bytes) -> str:
    """Return what a field or a path says; what is not ASCII is never meant."""
    return octets.decode("ascii", "replace")


def refusal(refused: Refused) -> Answer:
    """Return the answer that tells of a refusal."""
    found: dict[str, Any] = {"error": str(refused)}
    if refused.problems:
        found["problems"] = list(refused.problems)
    octets = json.dumps(found).encode() + b"\n"
    return Answer(octets, refused.status, JSON, refused.fields)


@final
class AdminSite(BoundedSite):
    """
    What serves the clients of one place.

    @ivar access: who may ask; it changes with the configuration.
    @ivar local: whether the place is a Unix socket.
    """

    def __init__(
        self,
        gateway: Gateway,
        reactor: Any,
        access: Access,
        events: Events,
        local: bool,
    ) -> None:
        super().__init__(None, AdminRequest, _MOST)
        self.gateway = gateway
        self.reactor = reactor
        self.access = access
        self.events = events
        self.local = local
