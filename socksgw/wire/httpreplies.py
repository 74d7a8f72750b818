"""
What a client of HTTP is answered: one status for each cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, final

from socksgw.wire.codes import Reply

__all__ = [
    "CONNECTED",
    "STATUSES",
    "Refusals",
    "bodiless",
    "challenge",
    "concluded",
]

#: The answer to CONNECT, behind which the tunnel begins (RFC 9110 section 9.3.6).
CONNECTED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
#: Statuses, each with its phrase (RFC 9110 section 15, RFC 6585) and what people read.
_STATUSES: Final[Mapping[int, tuple[str, str]]] = {
    400: ("Bad Request", "The gateway does not take such a request."),
    403: ("Forbidden", "The gateway does not allow this."),
    405: ("Method Not Allowed", "The gateway does not serve this method."),
    407: ("Proxy Authentication Required", "The gateway wants a login."),
    408: ("Request Timeout", "No request came in time."),
    414: ("URI Too Long", "The request line is too long."),
    429: ("Too Many Requests", "There is no room for more at the moment."),
    431: ("Request Header Fields Too Large", "The fields are too long, or too many."),
    500: ("Internal Server Error", "The gateway failed."),
    501: ("Not Implemented", "The gateway does not know this."),
    502: ("Bad Gateway", "The destination cannot be reached."),
    503: ("Service Unavailable", "The gateway cannot serve this at the moment."),
    504: ("Gateway Timeout", "The destination did not answer in time."),
    505: ("HTTP Version Not Supported", "The gateway speaks HTTP/1.1."),
}
#: The status of each reason, as in the records, that does not follow its reply.
STATUSES: Final[Mapping[str, int]] = {
    "protocol": 400,
    "bad-destination": 400,
    "address-type": 400,
    "target-too-long": 414,
    "head-too-long": 431,
    "not-implemented": 501,
    "version": 505,
    "command": 405,
    "handshake-timeout": 408,
    "limit": 429,
    "audit": 503,
    "draining": 503,
    "internal": 500,
    "resources": 503,
    "connect-timeout": 504,
    "lookup-timeout": 504,
    "upstream-timeout": 504,
}
#: For every other reason, by the reply that SOCKS has for it.
_BY_REPLY: Final[Mapping[Reply, int]] = {
    Reply.GENERAL_FAILURE: 502,
    Reply.NOT_ALLOWED: 403,
    Reply.NETWORK_UNREACHABLE: 502,
    Reply.HOST_UNREACHABLE: 502,
    Reply.CONNECTION_REFUSED: 502,
    Reply.TTL_EXPIRED: 504,
    Reply.COMMAND_NOT_SUPPORTED: 502,
    Reply.ADDRESS_TYPE_NOT_SUPPORTED: 502,
}
#: Seconds after which it is of use to try again.
_RETRY: Final = 1
#: What some statuses have besides.
_BESIDES: Final[Mapping[int, str]] = {
    405: "Allow: CONNECT\r\n",
    429: f"Retry-After: {_RETRY}\r\n",
    503: f"Retry-After: {_RETRY}\r\n",
}
#: Error types of Proxy-Status (RFC 9209 section 2.3), by the reason of the record.
_ERRORS: Final[Mapping[str, str]] = {
    "no-such-host": "dns_error",
    "lookup-failed": "dns_error",
    "lookup-timeout": "dns_timeout",
    "self": "destination_ip_prohibited",
    "network-unreachable": "destination_ip_unroutable",
    "host-unreachable": "destination_ip_unroutable",
    "refused": "connection_refused",
    "connect-timeout": "connection_timeout",
    "ttl-expired": "connection_timeout",
    "upstream-timeout": "connection_timeout",
    "upstream-unreachable": "destination_unavailable",
    "upstream-closed": "connection_terminated",
    "upstream-tls": "tls_protocol_error",
    "loop": "proxy_loop_detected",
    "policy": "http_request_denied",
    "quota": "http_request_denied",
    "revoked": "http_request_denied",
    "internal": "proxy_internal_error",
    "leave-by": "proxy_configuration_error",
}
#: Characters of a reason for people, and of it in the first line.
_TOLD: Final = 1000
_PHRASED: Final = 200


def _phrased(told: str) -> str:
    """
    Return a text as a reason phrase can have it (RFC 9112 section 4).

    Programs differ in how they read other characters than those of ASCII there.
    """
    return "".join(c if " " <= c <= "~" else "?" for c in told[:_PHRASED])


def _answer(
    status: int, text: str, besides: str = "", keep: bool = False, told: str = ""
) -> bytes:
    """
    Return a whole answer.

    @param besides: more fields, each with its end of line.
    @param keep: whether the connection is kept.
    @param told: more of the reason phrase. Of the answer to CONNECT no program shows
        more than that.
    """
    phrase, _ = _STATUSES[status]
    if told:
        phrase += f": {_phrased(told)}"
    body = f"{text}\n".encode()
    # Old programs read the second name alone.
    words = "keep-alive" if keep else "close"
    return (
        f"HTTP/1.1 {status} {phrase}\r\n"
        f"{besides}"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"Connection: {words}\r\n"
        f"Proxy-Connection: {words}\r\n"
        "\r\n"
    ).encode("latin-1") + body


def challenge(challenges: Sequence[str], keep: bool) -> bytes:
    """
    Return 407 (RFC 9110 section 15.5.8).

    @param challenges: the values of Proxy-Authenticate.
    """
    fields = "".join(f"Proxy-Authenticate: {each}\r\n" for each in challenges)
    return _answer(407, _STATUSES[407][1], fields, keep)


def bodiless(octets: bytes) -> bytes:
    """Return the head of an answer: to HEAD there is no more of it."""
    head, end, _ = octets.partition(b"\r\n\r\n")
    return head + end


def concluded(reply: bytes, conclusion: str) -> bytes:
    """Return a reply with one more Proxy-Authenticate (RFC 4559 section 5)."""
    line, _, rest = reply.partition(b"\r\n")
    field = f"Proxy-Authenticate: {conclusion}\r\n".encode("ascii")
    return line + b"\r\n" + field + rest


def _statusOf(reply: Reply, reason: str) -> int:
    return STATUSES.get(reason) or _BY_REPLY.get(reply, 502)


@final
class Refusals:
    """The answers to requests that are refused."""

    def __init__(self, reasons: bool) -> None:
        """
        @param reasons: whether they tell the rule and the reason.
        """
        self._reasons = reasons
        self._constant = {
            (status, keep): _answer(status, text, _BESIDES.get(status, ""), keep)
            for status, (_, text) in _STATUSES.items()
            for keep in (False, True)
        }

    def of(
        self, reply: Reply, reason: str, why: str, rule: str, keep: bool = False
    ) -> bytes:
        """
        Return an answer.

        @param reason: the fixed word of the record.
        @param why: for people.
        @param rule: the id of the rule that denies it; empty where none does.
        @param keep: whether the connection is kept.
        """
        status = _statusOf(reply, reason)
        if not self._reasons:
            return self._constant[status, keep]
        by = f'rule "{rule}": ' if rule else ""
        told = f"{by}{why or reason}"[:_TOLD]
        told += f" ({reason})" if why and reason else ""
        text = f"{_STATUSES[status][1]}\n{told[:1].upper()}{told[1:]}"
        besides = _BESIDES.get(status, "")
        if reason in _ERRORS:
            besides += f"Proxy-Status: socksgw; error={_ERRORS[reason]}\r\n"
        return _answer(status, text, besides, keep, told)
