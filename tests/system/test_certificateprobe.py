"""
What is said of certificates, CRLs and keytabs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cryptography import x509

from socksgw.system.certificateprobe import (
    ofAuthorities,
    ofChain,
    ofKeytab,
    ofRevocations,
)
from tests.tools.certificates import CLIENT, HOUR, NOW, SERVER, Authority, dns

DAY = 24 * HOUR


def later(by: timedelta = timedelta()) -> float:
    return (NOW + by).timestamp()


def states(said: Any) -> list[tuple[str, str]]:
    return [(state, text) for text, state, _ in said]


def test_chain() -> None:
    """Expiry, order of the chain, and what it is for."""
    root = Authority("Root", after=400 * DAY)
    below = Authority("Below", root, after=400 * DAY)
    leaf = below.issue(dns("gw.example"), usage=(SERVER,), after=100 * DAY)
    whole = [leaf.certificate, below.certificate]
    ((state, text),) = states(ofChain(whole, True, later()))
    assert state == "ok"
    assert 'for gw.example, issued by "CN=Root", until ' in text
    ((state, text),) = states(ofChain(whole, True, later(95 * DAY + HOUR)))[:1]
    assert (state, "expires in 4 days" in text) == ("warning", True)
    ((state, text),) = states(ofChain(whole, True, later(101 * DAY)))
    assert (state, "it has expired" in text) == ("failed", True)
    ((state, text),) = states(ofChain(whole, True, later(-50 * DAY)))[:1]
    assert (state, "is not valid before" in text) == ("failed", True)
    ((state, text),) = states(
        ofChain([leaf.certificate, root.certificate], True, later())
    )
    assert (state, 'has not issued "' in text) == ("failed", True)
    ((state, text),) = states(ofChain(whole, False, later()))
    assert (state, "not for clients" in text) == ("failed", True)
    other = below.issue(dns("x"), usage=(CLIENT,), after=100 * DAY)
    found = states(ofChain([other.certificate, below.certificate], False, later()))
    assert [state for state, _ in found] == ["ok"]


def test_authorities() -> None:
    """One that has expired harms while it is the only one."""
    old = Authority("Old", after=HOUR).certificate
    new = Authority("New", after=400 * DAY).certificate
    at = later(2 * HOUR)
    assert [state for state, _ in states(ofAuthorities([new], at))] == ["ok"]
    assert [state for state, _ in states(ofAuthorities([new, old], at))] == ["warning"]
    ((state, text),) = states(ofAuthorities([old], at))
    assert (state, text.startswith('the authority "CN=Old" has expired')) == (
        "failed",
        True,
    )


def test_revocations() -> None:
    """A list that is stale, or soon will be."""
    pem = Authority("Root").revoke(until=10 * DAY)
    lists = [x509.load_pem_x509_crl(pem)]
    for by, state, word in (
        (timedelta(), "ok", "is good until"),
        (10 * DAY - HOUR, "warning", "is stale from"),
        (10 * DAY + HOUR, "failed", "is stale since"),
    ):
        ((found, text),) = states(ofRevocations(lists, later(by)))
        assert (found, word in text) == (state, True), text


def test_keytab() -> None:
    """What is none, and one that is empty."""
    ((state, text),) = states(ofKeytab(b"nonsense"))
    assert (state, text) == ("failed", "it is no keytab (version 0x0502)")
    ((state, text),) = states(ofKeytab(b"\x05\x02"))
    assert (state, text) == ("failed", "it has no key")
