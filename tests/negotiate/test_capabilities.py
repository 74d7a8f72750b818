"""
What methods declare of themselves, and what is assumed where they do not.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from zope.interface import implementer
from zope.interface.exceptions import Invalid

from socksgw.console.plugins import assumedOf
from socksgw.interfaces import IAuthMethod, IBearerToken, IVerifyingMethod
from socksgw.negotiate.capabilities import UNDECLARED, Capabilities, capabilitiesOf
from socksgw.negotiate.discovery import findMethods

BUILT_IN = {
    "none": (True, False, (), False),
    "userpass": (False, True, (IUsernamePassword,), False),
    "chap": (False, False, (IUsernameHashedPassword,), False),
    "gssapi": (False, False, (), False),
    "certificate": (False, False, (), True),
    "gateway": (False, False, (), False),
    "peer": (False, False, (), False),
    "tls": (False, False, (), False),
    "token": (False, True, (IBearerToken,), False),
}


def declaring(interface: Any = IAuthMethod, **declared: object) -> Any:
    kind = type("Method", (), {"name": "x", "code": 0x80, "help": "x", **declared})
    return implementer(interface)(kind)()


def test_builtIn() -> None:
    """What ours declare; each has a phrase for the banner."""
    found = {name: capabilitiesOf(method) for name, method in findMethods()[0].items()}
    assert {
        name: (can.anonymous, can.cleartext, can.credentials, can.certificate)
        for name, can in found.items()
    } == BUILT_IN
    assert all(can.serves for can in found.values())
    assert [name for name, can in found.items() if can.mayBeAnonymous] == ["none"]
    assert [name for name, can in found.items() if not can.mayBeSomebody] == ["none"]
    assert {name for name, can in found.items() if can.verifies} == {
        "gssapi",
        "certificate",
        "gateway",
        "peer",
    }
    assert [name for name, can in found.items() if can.local] == ["peer"]


def test_nothingDeclaredIsTheWorst() -> None:
    """It may log nobody in, shows its secrets, and wants a checker."""
    can = capabilitiesOf(declaring())
    assert can == UNDECLARED == Capabilities()
    assert can.mayBeAnonymous
    assert can.mayBeSomebody
    assert can.showsSecrets
    assert can.needsChecker
    assert not can.anonymous


def test_theNameAndTheNumberSayNothing() -> None:
    """One that is called as ours are, with a number of ours, gets no credit."""
    for name, code in (("none", 0), ("userpass", 2), ("chap", 3)):
        assert capabilitiesOf(declaring(name=name, code=code)) == UNDECLARED


def test_whatVerifiesNeedsNoChecker() -> None:
    """It says so by its interface, also without other declarations."""
    can = capabilitiesOf(declaring(IVerifyingMethod))
    assert can.verifies
    assert not can.needsChecker
    assert not capabilitiesOf(declaring(credentials=())).needsChecker
    assert capabilitiesOf(declaring(credentials=(IUsernamePassword,))).needsChecker


@pytest.mark.parametrize(
    "declared",
    [
        {"anonymous": "no"},
        {"anonymous": 0},
        {"anonymous": None},
        {"cleartext": 1},
        {"certificate": "x"},
        {"credentials": IUsernamePassword},
        {"credentials": [IUsernamePassword]},
        {"credentials": ("password",)},
        {"serves": 5},
        {"serves": "two\nlines"},
    ],
)
def test_declarationsThatAreNone(declared: dict[str, object]) -> None:
    """Such a method is broken: it is not taken for what it may have meant."""
    with pytest.raises(Invalid) as told:
        capabilitiesOf(declaring(**declared))
    assert next(iter(declared)) in str(told.value)


def test_whatIsAssumedIsListed() -> None:
    """C{socksgw plugins} tells what a plug-in should declare."""
    assert assumedOf(UNDECLARED) == (
        " (not declared, so assumed: lets in without a login, shows passwords to the "
        "wire, needs some checker)"
    )
    some = Capabilities(anonymous=False, credentials=())
    assert assumedOf(some) == " (not declared, so assumed: shows passwords to the wire)"
    assert assumedOf(Capabilities(False, True, ())) == ""
