"""
The client's side of HTTP CONNECT (RFC 9110 section 9.3.6), in HTTP/1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, final

import h11

from socksgw.wire.address import Address, escaped
from socksgw.wire.httphead import (
    MOST_OCTETS,
    endOfHead,
    looked,
    options,
    released,
    strict,
)
from socksgw.wire.reader import WireError

__all__ = ["MOST_BODY", "ConnectAnswer", "ConnectConversation", "challenges"]

#: The most octets of a refusal's content that are read for another request behind it.
MOST_BODY: Final = 1 << 16
#: The most interim answers (1xx) before the final one.
_MOST_INTERIM: Final = 16
#: The most characters of the proxy's words that are told.
_TOLD: Final = 200

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105
#: An item of a list, between commas that are not inside quotes. The group is the last
#: quote, or what the value ends with where that has no end: so nothing is read twice.
_ITEM: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*("|\\?\Z))+', re.DOTALL)
#: A parameter of a challenge (RFC 9110 section 11.2), and the head of a challenge.
_PARAMETER: Final = re.compile(
    rf"{_TOKEN}[ \t]*=[ \t]*(?:{_TOKEN}|\"(?:[^\"\\]|\\.)*\")"
)
_CHALLENGE: Final = re.compile(rf"({_TOKEN})(?:[ \t]+(.*))?")


class ConnectAnswer(NamedTuple):
    """
    The final answer to one request.

    @ivar status: the status.
    @ivar told: status and reason phrase as printable text.
    @ivar granted: whether the tunnel is open: any 2xx.
    @ivar challenges: the schemes of logins in lower case that the proxy names, each
        with what stands behind it.
    @ivar problem: the error type of Proxy-Status (RFC 9209), or squid's word for it;
        empty for none.
    @ivar kept: whether the proxy takes another request on this connection, when the
        content of the answer has come.
    """

    status: int
    told: str
    granted: bool
    challenges: tuple[tuple[str, str], ...]
    problem: str
    kept: bool


def challenges(values: Iterable[str]) -> Iterator[tuple[str, str]]:
    """
    Return the challenges of a field, which may have several (RFC 9110 section 11.6.1).

    @param values: of each line of the field.
    @return: each scheme in lower case, and what stands behind it.
    """
    for value in values:
        items = list(_ITEM.finditer(value))
        if items and items[-1][1] not in (None, '"'):
            # A quote without its end: what stands where is not known.
            continue
        scheme, parameters = "", ""
        for match in items:
            item = match[0].strip(" \t")
            if not item:
                continue
            if _PARAMETER.fullmatch(item):
                parameters += f", {item}" if parameters else item
                continue
            head = _CHALLENGE.fullmatch(item)
            if scheme:
                yield scheme, parameters
            scheme = head[1].lower() if head else ""
            parameters = (head[2] or "").strip(" \t") if head else ""
        if scheme:
            yield scheme, parameters


@final
class ConnectConversation:
    """
    The requests for one tunnel on one connection, and their answers.

    Each request is made when the answer before it, with its content, has come.
    """

    def __init__(self, host: Address | str, port: int) -> None:
        """
        Prepare the request.

        @param host: a name is looked up by the proxy.
        @raise ValueError: there is no such port.
        """
        if not 0 <= port <= 0xFFFF:
            raise ValueError("a port is within 0 to 65535")
        text = str(host)
        if isinstance(host, Address) and host.version == 6:
            text = f"[{text}]"
        self._target = f"{text}:{port}"
        self._http = self._new()
        self._head = bytearray()
        self._interim = 0
        self._body = 0
        self._answer: ConnectAnswer | None = None

    @staticmethod
    def _new() -> h11.Connection:
        return h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_OCTETS)

    @property
    def held(self) -> int:
        """How many octets have come behind all that was read."""
        return len(self._http.trailing_data[0]) + len(self._head)

    def request(self, authorization: str = "") -> bytes:
        """
        Return the request.

        @param authorization: the value of C{Proxy-Authorization}; empty for none.
        @raise ValueError: a field cannot say it.
        """
        fields = [("Host", self._target)]
        if authorization:
            fields.append(("Proxy-Authorization", authorization))
        try:
            octets = self._http.send(
                h11.Request(method="CONNECT", target=self._target, headers=fields)
            )
            self._http.send(h11.EndOfMessage())
        except h11.LocalProtocolError as e:
            released(e)
            raise ValueError(
                "the request has an octet that HTTP does not take"
            ) from None
        self._answer = None
        self._interim = self._body = 0
        return octets or b""

    def receive(self, octets: bytes) -> None:
        """
        Take octets of the proxy.

        @raise WireError: a head breaks the form of HTTP, or is too long.
        """
        if self._answer is not None:
            self._http.receive_data(octets)
            return
        # Heads are looked at before h11, which is lenient, reads them.
        head = self._head
        searched = len(head)
        head += octets
        while end := endOfHead(head, searched):
            whole = bytes(head[:end])
            strict(whole)
            if end > MOST_OCTETS:
                raise WireError(f"a head of more than {MOST_OCTETS} octets")
            del head[:end]
            self._http.receive_data(whole)
            if not self._headRead():
                searched = 0
                continue
            if head:
                self._http.receive_data(bytes(head))
                head.clear()
            return
        if len(head) > MOST_OCTETS:
            raise WireError(f"a head of more than {MOST_OCTETS} octets")

    def _headRead(self) -> bool:
        """Read one head, and return whether it is that of the final answer."""
        event = self._event()
        if isinstance(event, h11.InformationalResponse):
            looked(event)
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise WireError(f"more than {_MOST_INTERIM} interim answers")
            return False
        if not isinstance(event, h11.Response):
            raise WireError("no answer of HTTP")
        self._answer = self._answered(event)
        return True

    def _event(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as e:
            text = str(e)
            released(e)
            raise WireError(f"no answer of HTTP: {text[:_TOLD]}") from None

    def _answered(self, event: h11.Response) -> ConnectAnswer:
        """Return what a head says."""
        granted = 200 <= event.status_code < 300
        if not granted:
            looked(event)
        elif event.http_version not in (b"1.1", b"1.0"):
            # Of success neither Content-Length nor Transfer-Encoding counts.
            raise WireError("neither HTTP/1.1 nor HTTP/1.0", reason="version")
        named: dict[bytes, list[str]] = {}
        for name, value in event.headers:
            named.setdefault(name, []).append(value.decode("latin-1"))
        asked = named.get(b"proxy-authenticate", [])
        if event.status_code == 401:
            asked = asked + named.get(b"www-authenticate", [])
        words = options(event.headers, b"connection")
        words += options(event.headers, b"proxy-connection")
        kept = b"close" not in words and (
            event.http_version != b"1.0" or b"keep-alive" in words
        )
        told = escaped(b"%d %s" % (event.status_code, bytes(event.reason)))
        return ConnectAnswer(
            event.status_code,
            told[:_TOLD].strip(),
            granted,
            tuple(challenges(asked)),
            _problem(named),
            kept and not granted,
        )

    @property
    def answer(self) -> ConnectAnswer | None:
        """The final answer to the last request, when its head has come."""
        return self._answer

    def drained(self) -> bool:
        """
        Return whether the content of a refusal has come: it is thrown away.

        @raise WireError: it is not what the head says, or longer than L{MOST_BODY}.
        """
        while True:
            event = self._event()
            if event is h11.NEED_DATA:
                return False
            if isinstance(event, h11.Data):
                self._body += len(event.data)
                if self._body > MOST_BODY:
                    raise WireError(f"a refusal of more than {MOST_BODY} octets")
                continue
            if not isinstance(event, h11.EndOfMessage):
                raise WireError("the content of a refusal has no end")
            behind = bytes(self._http.trailing_data[0])
            self._http = self._new()
            self._head = bytearray(behind)
            return True

    def surplus(self) -> bytes:
        """Return what has come behind the head of an answer that grants the tunnel."""
        octets, _ = self._http.trailing_data
        return bytes(octets)


def _problem(named: dict[bytes, list[str]]) -> str:
    """Return the proxy's own word for what went wrong; empty for none."""
    for value in named.get(b"proxy-status", []):
        # The last proxy in the list is the one nearest to us (RFC 9209 section 2).
        found = re.findall(r";[ \t]*error=([a-z_]{1,64})", value)
        if found:
            return str(found[-1])
    for value in named.get(b"x-squid-error", []):
        return escaped(value.encode("latin-1"))[:64]
    return ""
