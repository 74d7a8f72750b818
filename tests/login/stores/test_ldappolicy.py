"""
What a directory says of a password, from the ASN.1 of
draft-behera-ldap-password-policy-10 section 6.2.
"""

from __future__ import annotations

import pytest

from socksgw.login.stores.ldappolicy import CONTROL, stateIn


@pytest.mark.parametrize(
    ("value", "state"),
    [
        # SEQUENCE {}; with error [1]: expired, locked, after a reset, one of a change.
        (b"\x30\x00", ""),
        (b"\x30\x03\x81\x01\x00", "password-expired"),
        (b"\x30\x03\x81\x01\x01", "account-locked"),
        (b"\x30\x03\x81\x01\x02", "password-must-change"),
        (b"\x30\x03\x81\x01\x06", ""),
        # With warning [0]: seconds [0], logins [1], whose tag is the error's.
        (b"\x30\x05\xa0\x03\x80\x01\x02", ""),
        (b"\x30\x05\xa0\x03\x81\x01\x02", ""),
        (b"\x30\x08\xa0\x03\x81\x01\x02\x81\x01\x00", "password-expired"),
        # A length in its long form, which BER allows.
        (b"\x30\x81\x03\x81\x01\x02", "password-must-change"),
    ],
)
def test_states(value: bytes, state: str) -> None:
    """The error counts, whatever else is told."""
    # 389-ds puts a control of its own before it.
    other = (b"2.16.840.1.113730.3.4.4", None, b"0")
    assert stateIn([other, (CONTROL, None, value)]) == state


def test_none() -> None:
    """A server that does not know the control sends none."""
    assert stateIn(None) == stateIn([]) == ""


@pytest.mark.parametrize("value", [None, b"", b"\x30\x03\x81\x01", b"\x02\x01\x02"])
def test_malformed(value: bytes | None) -> None:
    """What is no value is an error, and never a state that lets in."""
    with pytest.raises(Exception, match=r"."):
        stateIn([(CONTROL, None, value)])
