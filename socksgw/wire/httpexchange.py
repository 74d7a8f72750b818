"""
One request that a proxy passes on, and its answer.

It reads on both sides and writes on both sides, by h11, and moves no octet itself.
A body is never held: what comes of it goes at once, in the framing of the other
side.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final

import h11

from socksgw.wire.codes import Reply
from socksgw.wire.httphead import (
    MOST_OCTETS,
    Chunks,
    Fields,
    endOfHead,
    looked,
    options,
    passedOn,
    released,
    strict,
    trailersOf,
)
from socksgw.wire.httpreplies import Refusals, bodiless
from socksgw.wire.httptarget import Target, readTarget
from socksgw.wire.reader import WireError

__all__ = ["Exchange", "forwarded"]

#: RFC 9110 section 9.2.2.
_IDEMPOTENT: Final = frozenset(
    (b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE")
)
_SWITCHING: Final = 101
_NO_CONTENT: Final = 204
_NOT_MODIFIED: Final = 304


def forwarded(request: h11.Request) -> Target:
    """
    Return where a request is passed on to.

    @raise WireError: it is not passed on.
    """
    looked(request)
    if request.method in (b"OPTIONS", b"TRACE"):
        # RFC 9110 section 7.6.2.
        if b"0" in (options(request.headers, b"max-forwards") or [b""])[:1]:
            raise WireError(
                "Max-Forwards is 0, and this is a proxy", reason="not-implemented"
            )
    return readTarget(request.method, request.target)


def _chunksIn(head: h11.Request | h11.Response) -> Chunks | None:
    """Return the end of the body in chunks; L{None} where the body is in none."""
    named = any(name == b"transfer-encoding" for name, _ in head.headers)
    return Chunks() if named else None


def _fewer(fields: Fields) -> Fields:
    """Return the fields with one fewer to go (RFC 9110 section 7.6.2)."""
    return [
        (name, b"%d" % (int(value) - 1))
        if name.lower() == b"max-forwards" and value.isdigit() and len(value) < 10
        else (name, value)
        for name, value in fields
    ]


@final
class Exchange:
    """
    One request and its answer.

    @ivar target: where it goes.
    @ivar closing: whether the client's connection ends with this answer, whatever
        the client wants.
    @ivar conclusion: what the answer says to the end of a login: the scheme, and
        its word; empty for nothing.
    @ivar requestDone: whether the request is passed on to its end.
    @ivar answered: whether the client has the head of the final answer.
    @ivar answerDone: whether it has all of it.
    @ivar upgraded: whether both speak another protocol from here on.
    @ivar heard: whether the destination has said anything.
    @ivar untilClose: whether the client takes the end of the connection for the end
        of the answer.
    """

    __slots__ = (
        "_answered", "_asked", "_far", "_goesOn", "_head", "_looked", "_near", "_old",
        "_refusals", "_request", "_trailers", "answerDone", "answered", "closing", "conclusion",
        "heard", "requestDone", "target", "untilClose", "upgraded",
    )  # fmt: skip

    def __init__(
        self,
        parser: h11.Connection,
        request: h11.Request,
        target: Target,
        refusals: Refusals,
    ) -> None:
        """
        Take over a request of which only the head was read.

        @param parser: the client's, which has returned the request, and nothing yet
            of its body.
        @param target: of the request (L{forwarded}).
        @param refusals: the answers of our own.
        """
        self._near = parser
        self._request = request
        self._refusals = refusals
        self._goesOn = False
        self.target = target
        self.conclusion = ""
        # An HTTP/1.0 client knows neither chunks nor 1xx (RFC 9110 section 15.2).
        self._old = request.http_version < b"1.1"
        self._asked = _chunksIn(request)
        self._answered: Chunks | None = None
        self.closing = False
        self.requestDone = False
        self.answered = False
        self.answerDone = False
        self.upgraded = False
        self.untilClose = False
        self._trailers = False
        self._prepare()

    def _prepare(self) -> None:
        self._far = h11.Connection(h11.CLIENT, MOST_OCTETS)
        # What came of the destination's next head; None when its body comes.
        self._head: bytearray | None = bytearray()
        self._looked = 0
        self.heard = False

    # The request.

    def begin(self) -> bytes:
        """
        Return the request as far as it is there.

        It may be called again, for another connection, while L{repeatable}.

        @raise WireError: the client's body is not what it says.
        """
        self._prepare()
        request = self._request
        fields = request.headers
        passed = passedOn(fields, b"host", *((b"expect",) if self._old else ()))
        if request.method in (b"OPTIONS", b"TRACE"):
            passed = _fewer(passed)
        passed.insert(0, (b"Host", self.target.authority))
        if self._asked is not None:
            passed.append((b"Transfer-Encoding", b"chunked"))
        passed += self._upgrade(fields)
        out = self._far.send_with_data_passthrough(
            h11.Request(method=request.method, target=self.target.path, headers=passed)
        )
        assert out is not None
        if self.requestDone:
            out += self._far.send_with_data_passthrough(h11.EndOfMessage()) or ()
        else:
            self._fromNear(out)
        return b"".join(out)

    def _upgrade(self, fields: Iterable[tuple[bytes, bytes]]) -> Fields:
        """Return the fields that ask for another protocol (RFC 9110 section 7.8)."""
        fields = list(fields)
        if self._old or b"upgrade" not in options(fields, b"connection"):
            return []
        # HTTP/2 without TLS is not to be had by a request that is passed on (RFC
        # 9113 section 3.1): its settings are of one connection, too.
        wanted = [p for p in options(fields, b"upgrade") if p != b"h2c"]
        if not wanted:
            return []
        return [(b"Connection", b"Upgrade"), (b"Upgrade", b", ".join(wanted))]

    @property
    def repeatable(self) -> bool:
        """
        Whether the request may be sent again (RFC 9112 section 9.3.1).

        That is on a new connection, when the old one turns out to have been closed
        before a word of the answer.
        """
        return self.safe and not self.heard

    @property
    def method(self) -> str:
        """As L{socksgw.wire.dialect.Exchange.method}."""
        return self._request.method.decode("ascii")

    @property
    def safe(self) -> bool:
        """Whether it can do no harm twice, and nothing of it is gone."""
        fields = self._request.headers
        return self._request.method in _IDEMPOTENT and not any(
            name in (b"content-length", b"transfer-encoding") for name, _ in fields
        )

    def fromClient(self, octets: bytes | memoryview) -> bytes:
        """
        Take octets of the client.

        Those behind the request are kept (L{surplus}).

        @return: what the destination is sent.
        @raise WireError: they are no body such as the request's head has told.
        """
        # Without octets it would be the end.
        assert octets
        self._near.receive_data(octets)  # type: ignore[arg-type]
        out: list[bytes] = []
        if not self.requestDone:
            self._fromNear(out, octets)
        return out[0] if len(out) == 1 else b"".join(out)

    def _fromNear(self, out: list[bytes], octets: bytes | memoryview = b"") -> None:
        send = self._far.send_with_data_passthrough
        while True:
            try:
                event = self._near.next_event()
            except h11.RemoteProtocolError as e:
                released(e)
                # h11's text has octets of the client.
                raise WireError("the body is not what the head says") from None
            if type(event) is h11.Data:
                out += send(h11.Data(event.data)) or ()
            elif type(event) is h11.EndOfMessage:
                if self._asked is not None:
                    self._asked.ended(octets, len(self.surplus))
                trailers: Any = trailersOf(event)
                out += send(h11.EndOfMessage(headers=trailers)) or ()
                self.requestDone = True
                return
            else:
                if self._asked is not None:
                    self._asked.went(octets)
                return

    @property
    def surplus(self) -> bytes:
        """What came of the client behind its request."""
        return self._near.trailing_data[0]

    # The answer.

    def fromDestination(self, octets: bytes | memoryview) -> bytes:
        """
        Take octets of the destination.

        @return: what the client is sent.
        @raise WireError: they are no answer that is passed on.
        """
        self.heard = True
        out: list[bytes] = []
        head = self._head
        if head is not None:
            head += octets
            if not self._heads(head, out):
                return b"".join(out)
            octets = bytes(head)
        if octets:
            self._far.receive_data(octets)  # type: ignore[arg-type]
        self._fromFar(out, octets)
        return out[0] if len(out) == 1 else b"".join(out)

    def destinationEnded(self) -> bytes:
        """
        Take note that the destination has ended its side in order.

        @return: what the client is sent.
        @raise WireError: that is not the end of the answer.
        """
        out: list[bytes] = []
        if self._head is None and not self.answerDone:
            self._far.receive_data(b"")
            self._fromFar(out)
        if not self.answerDone:
            raise WireError("the destination closed the connection before it answered")
        return b"".join(out)

    def _heads(self, head: bytearray, out: list[bytes]) -> bool:
        """
        Take the heads that have come: any number of 1xx, and the final one.

        @return: whether the final one was among them; what is left is its body.
        """
        while end := endOfHead(head, self._looked):
            self._looked = 0
            raw = bytes(head[:end])
            del head[:end]
            event = self._parsed(raw)
            if type(event) is h11.Response:
                self._head = None
                if self._hasBody(event):
                    self._answered = _chunksIn(event)
                self._answer(event, out)
                return True
            self._inform(event, out)
            if self.upgraded:
                return False
        self._looked = len(head)
        if len(head) > MOST_OCTETS:
            raise WireError("the head of the answer is too long")
        return False

    def _parsed(self, raw: bytes) -> Any:
        """
        Return the head of an answer.

        @raise WireError: two parsers might read it in two ways.
        """
        try:
            strict(raw)
            self._far.receive_data(raw)
            event = self._far.next_event()
            if not isinstance(event, h11.Response | h11.InformationalResponse):
                raise WireError("the answer is out of order")
            looked(event)
        except h11.RemoteProtocolError as e:
            released(e)
            raise WireError("the answer of the destination is not HTTP/1") from None
        except WireError as e:
            raise WireError(
                f"the answer of the destination is not taken: {e}"
            ) from None
        return event

    def _inform(self, event: h11.InformationalResponse, out: list[bytes]) -> None:
        """Pass on a 1xx, unless the client could not know it."""
        fields = passedOn(event.headers, b"content-length")
        if event.status_code == _SWITCHING:
            if not self.requestDone:
                raise WireError("another protocol before the request's end")
            fields += [
                (b"Connection", b"Upgrade"),
                (b"Upgrade", b", ".join(options(event.headers, b"upgrade"))),
            ]
            fields += self._concluded()
            self.upgraded = True
        if not self._old:
            self._send(
                h11.InformationalResponse(
                    status_code=event.status_code,
                    headers=fields,
                    reason=event.reason,
                ),
                out,
            )

    def _concluded(self) -> Fields:
        """Return what ends a login (RFC 4559 section 5)."""
        if not self.conclusion:
            return []
        return [(b"Proxy-Authenticate", self.conclusion.encode("ascii"))]

    def _answer(self, event: h11.Response, out: list[bytes]) -> None:
        """Pass on the head of the final answer."""
        status = event.status_code
        others = (b"content-length",) if status == _NO_CONTENT else ()
        fields = passedOn(event.headers, *others)
        if self.closing or not self.requestDone:
            fields.append((b"Connection", b"close"))
        fields += self._concluded()
        if self._hasBody(event) and not any(
            name == b"content-length" for name, _ in event.headers
        ):
            self.untilClose, self._trailers = self._old, not self._old
        self._send(
            h11.Response(
                status_code=status,
                headers=fields,
                reason=event.reason,
            ),
            out,
        )
        self.answered = True

    def _hasBody(self, answer: h11.Response) -> bool:
        """Tell whether an answer may have a body (RFC 9112 section 6.3)."""
        without = answer.status_code in (_NO_CONTENT, _NOT_MODIFIED)
        return not without and self._request.method != b"HEAD"

    def _fromFar(self, out: list[bytes], octets: bytes | memoryview = b"") -> None:
        while True:
            try:
                event = self._far.next_event()
            except h11.RemoteProtocolError as e:
                released(e)
                raise WireError(
                    "the answer of the destination breaks off, or its framing",
                ) from None
            if type(event) is h11.Data:
                self._send(h11.Data(event.data), out)
            elif type(event) is h11.EndOfMessage:
                if self._answered is not None:
                    self._answered.ended(octets, len(self._far.trailing_data[0]))
                trailers: Any = trailersOf(event) if self._trailers else []
                self._send(h11.EndOfMessage(headers=trailers), out)
                self.answerDone = True
                return
            else:
                if self._answered is not None:
                    self._answered.went(octets)
                return

    def _send(self, event: h11.Event, out: list[bytes]) -> None:
        try:
            out += self._near.send_with_data_passthrough(event) or ()
        except h11.LocalProtocolError:
            raise WireError("the answer is out of order") from None

    def refuse(self, reason: str, why: str, late: bool = False) -> bytes:
        """
        Return an answer of our own in the place of the destination's.

        The client has the head of none yet.

        @param reason: a fixed word, as in the record.
        @param why: for people, where refusals tell it.
        @param late: whether the time was up.
        """
        reply = Reply.TTL_EXPIRED if late else Reply.GENERAL_FAILURE
        over = self.requestDone and self._near.their_state is h11.DONE
        self._goesOn = over and not self.closing
        octets = self._refusals.of(reply, reason, why, "", self._goesOn)
        self.answered = self.answerDone = True
        return bodiless(octets) if self._request.method == b"HEAD" else octets

    # Afterwards.

    @property
    def heading(self) -> bool:
        """Whether a head has come in part."""
        return bool(self._head)

    @property
    def early(self) -> bytes:
        """What came of the destination behind the head of its 101."""
        return bytes(self._head or b"")

    @property
    def keepsClient(self) -> bool:
        """Whether the client may make another request on its connection."""
        near = self._near
        return self._goesOn or (
            near.our_state is h11.DONE and near.their_state is h11.DONE
        )

    @property
    def keepsDestination(self) -> bool:
        """Whether the destination may be asked again on its connection."""
        far = self._far
        return (
            far.our_state is h11.DONE
            and far.their_state is h11.DONE
            and not far.trailing_data[0]
        )
