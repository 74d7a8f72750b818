"""
Which methods a client is offered.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.cred.credentials import IUsernamePassword

from socksgw.negotiate.capabilities import capabilitiesOf
from socksgw.negotiate.discovery import findMethods
from socksgw.negotiate.methods import Choice, Methods, OfferedMethod, firstFor
from socksgw.wire.address import Address

LOOPBACK = Address.parse("127.0.0.1")
NONE = OfferedMethod("none", 0, None)
USERPASS = OfferedMethod("userpass", 2, None)


def loopback(address: Address, port: int, listener: str) -> bool:
    return address.isLoopback


def test_firstChoice() -> None:
    """By listener and source; the first that matches counts alone."""
    methods = Methods(
        [
            Choice([USERPASS], frozenset({"lan"}), None),
            Choice([NONE], None, loopback),
            Choice([USERPASS, NONE], frozenset({"dmz", "lan"}), loopback),
            Choice([], frozenset({"dmz"}), None),
        ]
    )
    there = Address.parse("192.0.2.1")
    assert methods.wanted("lan", LOOPBACK) == (USERPASS,)
    assert methods.wanted("lan", there) == (USERPASS,)
    assert methods.wanted("dmz", LOOPBACK) == (NONE,)
    assert methods.wanted("dmz", there) == ()
    assert methods.wanted("other", LOOPBACK) == (NONE,)
    assert methods.wanted("other", there) == ()
    assert firstFor(methods.choices, "dmz", LOOPBACK) == (1, methods.choices[1])
    assert firstFor(methods.choices, "dmz", there) == (3, methods.choices[3])
    assert firstFor(methods.choices, "other", there) is None


@pytest.mark.parametrize(
    ("listeners", "sources", "matches"),
    [
        (None, None, True),
        (frozenset({"lan"}), None, True),
        (frozenset({"dmz"}), None, False),
        # An empty list matches nothing.
        (frozenset(), None, False),
        (None, loopback, True),
        (None, lambda *_: False, False),
        (frozenset({"lan"}), loopback, True),
        (frozenset({"dmz"}), loopback, False),
        (frozenset({"lan"}), lambda *_: False, False),
    ],
)
def test_matches(
    listeners: frozenset[str] | None,
    sources: Callable[[Address, int, str], bool] | None,
    matches: bool,
) -> None:
    """An absent field matches all; both have to match."""
    assert Choice([NONE], listeners, sources).matches("lan", LOOPBACK) is matches


def test_noChoices() -> None:
    """Without any choice nobody gets in."""
    assert Methods([]).wanted("lan", LOOPBACK) == ()


class Passwords:
    """A checker of passwords."""

    credentialInterfaces = (IUsernamePassword,)


def test_bring() -> None:
    """A checker of passwords is asked where some method, also inside, has passwords."""
    found = {name: capabilitiesOf(each) for name, each in findMethods()[0].items()}
    none, password, ticket, challenge = (
        OfferedMethod(name, code, None, capabilities=found[name])
        for name, code in (("none", 0), ("userpass", 2), ("gssapi", 1), ("chap", 3))
    )
    inside = OfferedMethod("tls", 6, None, [password], found["tls"])
    unknown = OfferedMethod("own", 0x80, None)
    for methods, brings in (
        ([none, ticket, challenge], False),
        ([ticket, password], True),
        ([inside], True),
        # Of what declares nothing, the worst is assumed.
        ([unknown], True),
    ):
        offered = Methods(
            [Choice([none], frozenset({"x"}), None), Choice(methods, None, None)]
        )
        assert offered.bring(Passwords()) is brings
