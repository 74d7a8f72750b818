"""
A connection to a directory: questions and answers of LDAP (RFC 4511).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, final

from attrs import frozen
from ldaptor.protocols import pureber, pureldap
from ldaptor.protocols.ldap.ldapclient import LDAPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.login.stores.ldaplayer import Layer, LayerBroken, Layered
from socksgw.login.stores.ldappolicy import CONTROL, MUST_CHANGE, stateIn
from socksgw.system.tlsname import PeerRefused
from socksgw.system.tlspeer import TLSPeer

__all__ = ["Entry", "Link", "NotServed", "ResultError", "TooMany", "TooMuch"]

#: Octets of a diagnostic message that are looked at.
_DIAGNOSTIC: Final = 500
#: Octets of the answer to one question at most.
_LONGEST: Final = 1 << 20
#: How an attribute is called of which some values are left out, in lower case: its
#: name, and the last value that is there; and of how many such parts it may be.
_RANGE: Final = re.compile(r"(.+);range=[0-9]+-([0-9]{1,9}|\*)")
_RANGES: Final = 64
#: The control for results in pages (RFC 2696 section 2), entries of a page, and pages
#: at most.
_PAGED: Final = b"1.2.840.113556.1.4.319"
_PAGE: Final = 100
_PAGES: Final = 64
#: Result codes (RFC 4511 section 4.1.9).
_SUCCESS: Final = 0
_SIZE_LIMIT: Final = 4
_REFERRAL: Final = 10
_STRONGER: Final = frozenset({8, 13})
_IN_PROGRESS: Final = 14
_BUSY: Final = frozenset({51, 52})
_ANYTHING: Final = pureldap.LDAPFilter_present("objectClass")


class ResultError(Exception):
    """
    The directory answered, and it was not success.

    @ivar code: RFC 4511 section 4.1.9.
    @ivar message: its diagnostic message, as the server wrote it: for no log.
    @ivar state: why the account that was bound as may not log in, as a word of the
        journal; empty if the directory does not say. With one, the code may be success:
        the password is right, and is good for nothing but to be changed.
    """

    def __init__(self, code: int, message: str = "", state: str = "") -> None:
        text = f"the directory answers with result code {code}"
        if state:
            text += f" ({state})"
        if code in _STRONGER:
            # Active Directory: "The server requires binds to turn on integrity
            # checking if SSL\\TLS are not already active".
            text += ": it wants signing or TLS; use ldaps:// or start_tls = true"
        if code == _REFERRAL:
            text += (
                ": it refers to another server, which is not followed; name that "
                "server in url, or the domain of this one in base"
            )
        super().__init__(text)
        self.code = code
        self.message = message
        self.state = state


class NotServed(Exception):
    """A server cannot do its service."""


class TooMuch(Exception):
    """
    An answer has more than was asked for, or is larger than what is read.

    That is a matter of the question, and says nothing of the server.
    """


class TooMany(TooMuch):
    """There are more entries than were asked for."""


@frozen
class Entry:
    """
    An entry that a search has found.

    @ivar dn: its distinguished name, as the directory wrote it.
    @ivar values: its attributes, by their names in lower case.
    """

    dn: str
    values: dict[str, list[bytes]]


@implementer(IHandshakeListener)
@final
class Link(LDAPClient):  # type: ignore[misc]
    """
    One connection; one question at a time.

    @ivar retiring: closes it when it is unused for long.
    @ivar kept: since when it is kept idle, in the reactor's seconds.
    @ivar host: the server's name.
    """

    retiring: Any = None
    kept = 0.0
    connected: Any
    transport: Any
    host = ""

    def __init__(self) -> None:
        super().__init__()
        self._secured: Deferred[None] = Deferred()
        self._failure: Failure | None = None
        self._peer: TLSPeer | None = None
        self._came = 0
        self._layer: Layer | None = None

    # What comes.

    def dataReceived(self, octets: bytes) -> None:
        """Octets from the directory; whatever is wrong with them ends the link."""
        try:
            self._came += len(octets)
            if self._came > _LONGEST:
                raise TooMuch(f"an answer of more than {_LONGEST} octets")
            if self._layer is None:
                super().dataReceived(octets)
            else:
                for each in self._layer.unwrapped(octets):
                    super().dataReceived(each)
        except TooMuch:
            self._failure = Failure()
            self.abort()
        except LayerBroken as e:
            self._failure = Failure(NotServed(f"Kerberos: {e}"))
            self.abort()
        except Exception as e:
            # The library raises whatever its decoding runs into.
            self._failure = Failure(NotServed(f"no LDAP: {type(e).__name__}"))
            self.abort()

    def unsolicitedNotification(self, message: Any) -> None:
        """Take note that the server will close (RFC 4511 section 4.4.1)."""
        self.abort()

    def handshakeCompleted(self) -> None:
        """TLS stands: the server has to have the name that was configured."""
        # A certificate that was refused ends in connectionLost.
        if self._peer is None or self._secured.called or self.transport.disconnecting:
            return
        try:
            self._peer.confirm(self.transport)
        except PeerRefused:
            self._failure = Failure()
            self.abort()
        else:
            self._secured.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take note that nothing comes any more."""
        super().connectionLost(self._failure or reason)
        if not self._secured.called:
            self._failure = self._failure or reason
            self._secured.callback(None)

    # What is asked.

    def _send(self, op: Any, controls: Any = None) -> Any:
        """Send a message of the library's; each question has octets of its own."""
        self._came = 0
        return super()._send(op, controls)

    def abort(self) -> None:
        """Close at once."""
        if self.connected:
            self.connected = 0
            self.transport.abortConnection()

    async def startTLS(self, peer: TLSPeer) -> None:
        """
        Ask for TLS, and wait for it (RFC 4511 section 4.14).

        @param peer: whom the server has to prove to be.
        @raise ResultError: the server has none.
        @raise Exception: the connection was lost, or the certificate refused.
        """
        answer = await self.send(pureldap.LDAPStartTLSRequest())
        _succeeded(answer, pureldap.LDAPExtendedResponse)
        if self.buffer:
            # An attacker on the path may have put it there, to be taken for the server's.
            raise NotServed("octets between the answer to StartTLS and TLS")
        self._peer = peer
        self.transport.startTLS(peer)
        await self._secured
        if self._failure is not None:
            self._failure.raiseException()

    async def bind(self, dn: str, password: bytes) -> None:
        """
        Bind as a user (RFC 4511 section 4.2).

        @raise ResultError: the directory says no, or that the password has to be changed
            first.
        """
        if not dn or not password:
            # That would be another kind of bind, which succeeds for anybody
            # (RFC 4513 sections 5.1.1 and 5.1.2).
            raise ValueError("a bind needs a name and a password")
        done: Deferred[tuple[Any, str]] = Deferred()

        def came(message: Any, controls: Any) -> bool:
            done.callback((message, stateIn(controls)))
            return True

        request = pureldap.LDAPBindRequest(dn=dn.encode(), auth=password)
        asked = [(CONTROL, False, None)]
        self.send_multiResponse_ex(request, asked, came).addErrback(done.errback)
        answer, state = await done
        _succeeded(answer, pureldap.LDAPBindResponse, state)
        if state == MUST_CHANGE:
            raise ResultError(_SUCCESS, state=state)

    async def hello(self) -> None:
        """
        Ask for the root entry, to hear from the server: whatever it says.
        """
        try:
            await self.search("", False, _ANYTHING, ("1.1",), 1)
        except ResultError:
            pass

    async def sasl(self, mechanism: str, token: bytes, last: bool = False) -> bytes:
        """
        Take one step of a bind by SASL (RFC 4511 section 4.2).

        @param last: whether the directory has to be content.
        @return: its own token.
        @raise ResultError: the directory says no.
        """
        request = pureldap.LDAPBindRequest(dn="", auth=(mechanism, token), sasl=True)
        answer = await self.send(request)
        if not isinstance(answer, pureldap.LDAPBindResponse):
            raise NotServed("an answer to another question")
        if answer.resultCode != (_SUCCESS if last else _IN_PROGRESS):
            raise ResultError(answer.resultCode, _diagnostic(answer))
        return answer.serverSaslCreds or b""

    def protect(self, layer: Layer) -> None:
        """
        Have all that follows go through a security layer, each way.

        @raise NotServed: something has come before, outside of it.
        """
        if self.buffer:
            raise NotServed("octets between the bind by SASL and its layer")
        self._layer = layer
        self.transport = Layered(self.transport, layer)

    @property
    def peer(self) -> Any:
        """The certificate that the server has shown; L{None} without TLS."""
        show = getattr(self.transport, "getPeerCertificate", None)
        return None if show is None else show()

    async def search(
        self, base: str, subtree: bool, node: Any, attributes: Sequence[str], most: int
    ) -> list[Entry]:
        """
        Find entries (RFC 4511 section 4.5).

        References to other servers are not followed: these are not named in the
        configuration, and must not get a password or a question.

        @param most: how many are wanted at most.
        @raise ResultError: the directory says no.
        @raise TooMany: there are more.
        @raise TooMuch: they are too large.
        """
        found = await self._ask(base, subtree, node, attributes, most)
        for entry in found:
            await self._complete(entry)
        return found

    async def _ask(
        self, base: str, subtree: bool, node: Any, attributes: Sequence[str], most: int
    ) -> list[Entry]:
        """
        As L{search}, with values left out.

        What may be many entries is asked for in pages: a server's limit is often one
        of entries that come at a time. One that knows no pages sends all of them.
        """
        found: list[Entry] = []
        request = pureldap.LDAPSearchRequest(
            baseObject=base,
            scope=pureldap.LDAP_SCOPE_wholeSubtree
            if subtree
            else pureldap.LDAP_SCOPE_baseObject,
            sizeLimit=most,
            filter=node,
            attributes=attributes,
        )
        cookie: bytes | None = b"" if most > _PAGE else None
        for _ in range(_PAGES):
            answer, cookie = await self._page(request, cookie, found, most)
            if getattr(answer, "resultCode", None) == _SIZE_LIMIT:
                raise TooMany(f"more than {len(found)} entries")
            _succeeded(answer, pureldap.LDAPSearchResultDone)
            if not cookie:
                return found
        raise TooMuch(f"an answer of more than {_PAGES} pages")

    async def _page(
        self, request: Any, cookie: bytes | None, found: list[Entry], most: int
    ) -> tuple[Any, bytes]:
        """
        Ask for one page.

        @param cookie: what the page before ended with; L{None} for no pages.
        @param found: where its entries are added.
        @return: the answer, and the cookie for the next page, which is empty if there
            is none.
        @raise TooMany: C{found} has more than C{most}.
        """
        done: Deferred[tuple[Any, bytes]] = Deferred()

        def came(message: Any, controls: Any) -> bool:
            if isinstance(message, pureldap.LDAPSearchResultEntry):
                found.append(_entry(message))
                if len(found) > most:
                    # Samba knows no size limit.
                    raise TooMany(f"more than {most} entries")
                return False
            if isinstance(message, pureldap.LDAPSearchResultReference):
                return False
            done.callback((message, _cookieOf(controls)))
            return True

        wanted = None if cookie is None else [(_PAGED, False, _paging(cookie))]
        self.send_multiResponse_ex(request, wanted, came).addErrback(done.errback)
        return await done

    async def _complete(self, entry: Entry) -> None:
        """
        Read the values that the server has left out of an entry.

        Active Directory gives some values of an attribute at a time, and says which
        ([MS-ADTS] section 3.1.1.3.1.3.3).

        @raise TooMuch: the server does not come to an end.
        """
        for _ in range(_RANGES):
            parts = [m for m in map(_RANGE.fullmatch, entry.values) if m is not None]
            if not parts:
                return
            for part in parts:
                entry.values.setdefault(part[1], []).extend(entry.values.pop(part[0]))
            wanted = [f"{p[1]};range={int(p[2]) + 1}-*" for p in parts if p[2] != "*"]
            if not wanted:
                return
            more = await self._ask(entry.dn, False, _ANYTHING, wanted, 1)
            if not more:
                raise TooMuch("an entry that is gone before all of it was read")
            entry.values.update(
                (name, values)
                for name, values in more[0].values.items()
                if _RANGE.fullmatch(name)
            )
        raise TooMuch(f"an attribute of more than {_RANGES} ranges")


def _paging(cookie: bytes) -> bytes:
    """Return the value of the control that asks for a page."""
    parts = [pureber.BERInteger(_PAGE), pureber.BEROctetString(cookie)]
    octets: bytes = pureber.BERSequence(parts).toWire()
    return octets


def _cookieOf(controls: Any) -> bytes:
    """Return the cookie for the next page; empty if there is none, or no pages."""
    for kind, _, value in controls or ():
        if kind == _PAGED:
            decoded, _ = pureber.berDecodeObject(pureber.BERDecoderContext(), value)
            cookie: bytes = decoded[1].value
            return cookie
    return b""


def _entry(message: Any) -> Entry:
    """
    @raise UnicodeDecodeError: its name is no UTF-8.
    """
    values = {
        name.decode("ascii").lower(): list(values)
        for name, values in message.attributes
    }
    return Entry(message.objectName.decode("utf-8"), values)


def _diagnostic(answer: Any) -> str:
    said: bytes = getattr(answer, "errorMessage", None) or b""
    return said[:_DIAGNOSTIC].decode("utf-8", "replace")


def _succeeded(answer: Any, kind: type, state: str = "") -> None:
    if not isinstance(answer, kind):
        raise NotServed("an answer to another question")
    code: int = answer.resultCode  # type: ignore[attr-defined]
    if code in _BUSY:
        raise NotServed(f"it is busy, or unavailable (result code {code})")
    if code != _SUCCESS:
        raise ResultError(code, _diagnostic(answer), state)
