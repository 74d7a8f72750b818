"""
Sessions with SOCKS 6 proxies: what is said of them is from the draft, octet by octet.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from socksgw.client.endpoint import socksProxy
from socksgw.client.errors import (
    LoginFailed,
    LoginRefused,
    NoMethodAccepted,
    NotAllowed,
    TokenRefused,
)
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.proxy import Again
from socksgw.client.session import Part, Session
from socksgw.client.socks6 import Socks6Proxy
from socksgw.negotiate.resumption import Window
from socksgw.wire.address import Address
from socksgw.wire.socks6options import AuthOptions
from tests.fakes.links import MemoryLink, begun, failed, result

LOGIN = PasswordLogin("alice", "pw!")
#: Port, padding, address type, the length of a name, the name (section 4).
PLACE = "01bb 00 03 0b 6578616d706c652e636f6d"
#: Authentication data (8.3) with the message of RFC 1929, and the advertisement (8.2).
DATA = "0004 0010 02 01 05 616c696365 03 707721"
ADVERTISED = "0002 0008 0000 02 00"
#: Sections 8.4 and 8.5, in their order.
REQUEST, TEARDOWN = "0005 0004", "000a 0004"
SESSION, ANOTHER = "0006 0008 61626364", "0006 0008 65666768"
OK, INVALID = "0008 0004", "0009 0004"
ASKED_TOKENS = "000b 0008 00000008"
ACCEPTED, REJECTED = "000e 0004", "000f 0004"
RIGHT = "0004 0008 02 0100 00"
GRANTED = bytes.fromhex("06 00 0000 1f90 00 01 c0000207")


def window(base: int, size: int = 8) -> str:
    """An Idempotence Window option (8.5.1)."""
    return f"000c 000c {base:08x} {size:08x}"


def spending(token: int) -> str:
    """An Idempotence Expenditure option (8.5.2), as its text has its length."""
    return f"000d 0008 {token:08x}"


def asked(options: str, command: int = 1, place: str = PLACE) -> bytes:
    """A request (section 4)."""
    length = len(bytes.fromhex(options))
    return bytes.fromhex(f"06 {command:02x} {length:04x} {place} {options}")


def told(options: str, kind: int = 0) -> bytes:
    """An authentication reply (section 5)."""
    length = len(bytes.fromhex(options))
    return bytes.fromhex(f"06 {kind:02x} {length:04x} {options}")


class Proxied:
    """Requests of a session."""

    def __init__(self, tokens: int = 0) -> None:
        self.session = Session(tokens)
        self.proxy = Socks6Proxy(LOGIN, session=self.session)

    def ask(self, proxy: Any = None, secured: bool = False) -> tuple[MemoryLink, Any]:
        """Begin a request."""
        link = MemoryLink()
        link.secured = secured
        return link, begun((proxy or self.proxy).connect(link, "example.com", 443))

    def served(self, said: str, answer: str, **options: Any) -> None:
        """Make a request that has these options, and is granted."""
        link, running = self.ask(**options)
        assert link.taken() == asked(said)
        link.came(told(answer) + GRANTED)
        assert result(running).bound[1] == 8080

    def open(self, more: str = "") -> Proxied:
        """Begin the session."""
        wanted = f"{REQUEST} {ASKED_TOKENS}" if more else REQUEST
        self.served(f"{DATA} {wanted} {ADVERTISED}", f"{RIGHT} {SESSION} {more}")
        assert self.session.isOpen
        return self


def test_laterRequests() -> None:
    """They have the ID, and no login; initial data is behind them (section 11)."""
    proxied = Proxied().open()
    for _ in range(2):
        proxied.served(SESSION, OK)
    initial = Socks6Proxy(LOGIN, initial=b"GET", session=proxied.session)
    link, _ = proxied.ask(initial)
    assert link.taken() == asked(SESSION) + b"GET"


def test_aRequestThatIsDenied() -> None:
    """The session goes on."""
    proxied = Proxied().open()
    link, running = proxied.ask()
    link.came(told(OK) + bytes.fromhex("06 02 0000 0000 00 01 00000000"))
    assert isinstance(failed(running), NotAllowed)
    proxied.served(SESSION, OK)


def test_beginning() -> None:
    """
    One request at a time asks for it; where there is none, the next one asks. Nobody
    who is not let in has one.
    """
    proxied = Proxied()
    first, running = proxied.ask()
    assert first.taken() == asked(f"{DATA} {REQUEST} {ADVERTISED}")
    proxied.served(f"{DATA} {ADVERTISED}", RIGHT)
    running.cancel()
    proxied.served(f"{DATA} {REQUEST} {ADVERTISED}", RIGHT)
    link, running = proxied.ask()
    link.came(told(f"0004 0008 02 0101 00 {SESSION}", 1))
    assert isinstance(failed(running), LoginRefused)
    assert not proxied.session.isOpen
    proxied.open()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (INVALID, 1),
        # A proxy that has no sessions ignores the option (section 8): it wants a login,
        # by messages or in the request, or has no method.
        ("", 1),
        ("0003 0008 02 000000", 1),
        ("0003 0008 ff 000000", 1),
        (f"{INVALID} {REJECTED}", 1),
    ],
)
def test_forgotten(answer: str, kind: int) -> None:
    """The request logs in on a new connection, and asks for a new session."""
    proxied = Proxied().open()
    link, running = proxied.ask()
    late, waiting = proxied.ask()
    link.came(told(answer, kind))
    again = failed(running)
    assert isinstance(again, Again)
    assert not proxied.session.isOpen
    link, running = proxied.ask(again.proxy)
    assert link.taken() == asked(f"{DATA} {REQUEST} {ADVERTISED}")
    link.came(told(f"{RIGHT} {ANOTHER}") + GRANTED)
    result(running)
    # The answer to one of the old session is not that of the new one; and who was
    # refused once presents no session again.
    late.came(told(answer, kind))
    again = failed(waiting)
    assert isinstance(again, Again)
    proxied.served(f"{DATA} {ADVERTISED}", RIGHT, proxy=again.proxy)
    proxied.served(ANOTHER, OK)


def test_letInWithoutTheSession() -> None:
    """A proxy that wants no login, and has no sessions: there is none any more."""
    proxied = Proxied().open()
    proxied.served(SESSION, "")
    assert not proxied.session.isOpen


def test_ofOneProtection() -> None:
    """What began in clear is not said inside TLS, where it is unknown."""
    proxied = Proxied().open()
    proxied.served(f"{DATA} {ADVERTISED}", RIGHT, secured=True)
    proxied.served(SESSION, OK)


def test_tokens() -> None:
    """Each request spends the next one; an old window counts for nothing (8.5.4)."""
    proxied = Proxied(8).open(window(0xFFFFFFFE))
    for token in (0xFFFFFFFE, 0xFFFFFFFF, 0, 1):
        base = (token + 1) % (1 << 32)
        proxied.served(
            f"{SESSION} {spending(token)}", f"{OK} {ACCEPTED} {window(base)}"
        )
    proxied.served(f"{SESSION} {spending(2)}", f"{OK} {ACCEPTED} {window(0xFFFFFFFE)}")
    # The proxy has moved it on.
    proxied.served(f"{SESSION} {spending(3)}", f"{OK} {ACCEPTED} {window(9)}")
    proxied.served(f"{SESSION} {spending(9)}", f"{OK} {ACCEPTED} {window(9)}")


def test_tokensAtOnce() -> None:
    """No two requests spend one; of a window at most half is under way."""
    proxied = Proxied(8).open(window(5))
    links = [proxied.ask()[0] for _ in range(5)]
    options = [f"{SESSION} {spending(token)}" for token in (5, 6, 7, 8)]
    said = [link.taken() for link in links]
    assert said == [asked(each) for each in [*options, SESSION]]
    links[0].came(told(f"{OK} {ACCEPTED} {window(6)}"))
    assert proxied.ask()[0].taken() == asked(f"{SESSION} {spending(9)}")


def test_noTokens() -> None:
    """Where the proxy grants none, each request asks, and spends none."""
    proxied = Proxied(8)
    proxied.served(
        f"{DATA} {REQUEST} {ASKED_TOKENS} {ADVERTISED}", f"{RIGHT} {SESSION}"
    )
    proxied.served(f"{SESSION} {ASKED_TOKENS}", f"{OK} {window(1, 1)}")
    proxied.served(f"{SESSION} {spending(1)}", f"{OK} {ACCEPTED} {window(1, 1)}")
    # The window has not moved: there is none left, and a session has no second one.
    proxied.open(window(0))
    proxied.served(f"{SESSION} {spending(0)}", f"{OK} {ACCEPTED} {window(1)}")


#: A request that logs in and asks for a session with tokens.
BEGINNING = f"{DATA} {REQUEST} {ASKED_TOKENS} {ADVERTISED}"


def test_tokenRefused() -> None:
    """The request is made again, once, with a login; it begins another session."""
    proxied = Proxied(8).open(window(0))
    link, running = proxied.ask()
    assert link.taken() == asked(f"{SESSION} {spending(0)}")
    link.came(told(REJECTED, 1))
    again = failed(running)
    assert isinstance(again, Again)
    proxied.served(BEGINNING, f"{RIGHT} {ANOTHER} {window(5)}", proxy=again.proxy)
    proxied.served(f"{ANOTHER} {spending(5)}", f"{OK} {ACCEPTED} {window(6)}")
    # Once: what is made again spends no token, also where there is a session.
    link, running = proxied.ask(again.proxy)
    assert link.taken() == asked(f"{DATA} {ADVERTISED}")
    link.came(told(REJECTED, 1))
    assert isinstance(failed(running), NoMethodAccepted)


def test_tokenOfInitialDataRefused() -> None:
    """
    Such a request is not made again, since the destination may have the data; the next
    one begins another session. No login has failed.
    """
    proxied = Proxied(8).open(window(0))
    initial = Socks6Proxy(LOGIN, initial=b"GET", session=proxied.session)
    link, running = proxied.ask(initial)
    link.came(told(REJECTED, 1))
    failure = failed(running)
    assert isinstance(failure, TokenRefused)
    assert not isinstance(failure, LoginFailed)
    link, _ = proxied.ask()
    assert link.taken() == asked(BEGINNING)


@pytest.mark.parametrize("command", ["bind", "associate"])
def test_tokenOfAnotherCommandRefused(command: str) -> None:
    """Initial data is of CONNECT alone: the others are made again."""
    proxied = Proxied(8).open(window(0))
    proxy = Socks6Proxy(LOGIN, initial=b"GET", session=proxied.session)
    link = MemoryLink()
    where = (Address.parse("192.0.2.1"), 0)
    running = begun(getattr(proxy, command)(link, *where))
    assert link.taken().endswith(bytes.fromhex(f"{SESSION} {spending(0)}"))
    link.came(told(REJECTED, 1))
    assert isinstance(failed(running), Again)


def test_leave() -> None:
    """NOOP with both options, and a login (8.4.3); then there is no session."""
    proxied = Proxied().open()
    link = MemoryLink()
    running = begun(proxied.proxy.leave(link))
    nowhere = "0000 00 01 00000000"
    said = asked(f"{DATA} {SESSION} {TEARDOWN} {ADVERTISED}", 0, nowhere)
    assert link.taken() == said
    assert not proxied.session.isOpen
    link.came(told(RIGHT) + GRANTED)
    result(running)


def test_whatItCannotBe() -> None:
    """A window of 2^31 tokens (8.5.1); a session of another version."""
    for tokens in (-1, 1 << 31):
        with pytest.raises(ValueError, match="fewer than"):
            Session(tokens)
    for version in (4, 5):
        with pytest.raises(ValueError, match="no sessions"):
            socksProxy(version, None, b"", session=Session())


class Tokens(RuleBasedStateMachine):
    """
    Requests of one session, and the gateway's window: they come in any order, some not
    at all, and the answers, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(12)
        self.under: list[Part] = []
        self.answers: list[tuple[Part, AuthOptions]] = []
        first = self.session.part(False)
        self.begin(first)
        first.over()

    def begin(self, part: Part) -> None:
        """Begin a session."""
        assert part.begins
        self.seen: set[int] = set()
        self.window = Window(12, 0xFFFFFFF8)
        self.answer(part, session=b"abcd")

    def answer(self, part: Part, **options: Any) -> None:
        """Answer a request."""
        found = AuthOptions()
        found.window = self.window.base, self.window.size
        for name, value in options.items():
            setattr(found, name, value)
        if part.presented:
            self.answers.append((part, found))
        else:
            part.told(True, found)

    @rule()
    def ask(self) -> None:
        """A request is made; each has a token of its own."""
        part = self.session.part(False)
        if part.token is None:
            # There is none left until others are answered. If none is, as many as the
            # window has were lost one after the other.
            assert bool(self.under or self.answers) is bool(part.presented)
            if not part.presented:
                self.begin(part)
            part.over()
            return
        assert part.token not in self.seen
        self.seen.add(part.token)
        self.under.append(part)

    @precondition(lambda self: self.under)
    @rule(data=st.data())
    def arrives(self, data: st.DataObject) -> None:
        """One comes to the gateway, which spends its token."""
        part = self.under.pop(data.draw(st.integers(0, len(self.under) - 1)))
        assert part.token is not None
        assert self.window.spend(part.token)
        self.answer(part, sessionOK=True, spent=True)

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answered(self, data: st.DataObject) -> None:
        """An answer comes."""
        number = data.draw(st.integers(0, len(self.answers) - 1))
        part, options = self.answers.pop(number)
        part.told(True, options)
        part.over()

    @precondition(lambda self: self.under)
    @rule(data=st.data())
    def lost(self, data: st.DataObject) -> None:
        """One never comes: its client is told that the connection has ended."""
        number = data.draw(st.integers(0, len(self.under) - 1))
        self.under.pop(number).over()


TestTokens = Tokens.TestCase
TestTokens.settings = settings(max_examples=30, stateful_step_count=50, deadline=None)
