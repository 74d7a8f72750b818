"""
The usual messages as octets, written down from RFC 1035, RFC 3596 and RFC 6891; and
what is left to a library, which the same octets are held against.
"""

from __future__ import annotations

import dns.message
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.route.dnswire import (
    Unusual,
    addressesIn,
    nameOctets,
    questionOctets,
)

#: www.example, A, IN (RFC 1035 sections 3.1 and 4.1.2).
NAME = b"\x03www\x07example\x00"
ASKED = NAME + b"\x00\x01\x00\x01"
#: The same, AAAA (RFC 3596 section 2.1).
ASKED6 = NAME + b"\x00\x1c\x00\x01"
#: The name that stands behind the header (RFC 1035 section 4.1.4), A, IN, a minute.
A = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04"
AAAA = b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10"
CNAME = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c"
#: An OPT record without options (RFC 6891 section 6.1.2): 1232 octets, version 0.
OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
SIX = bytes.fromhex("20010db8000000000000000000000001")


def answer(
    records: bytes = b"",
    answers: int = 0,
    flags: bytes = b"\x81\x80",
    asked: bytes = ASKED,
    others: int = 0,
    more: int = 0,
) -> bytes:
    """Return a message: QR, RD and RA are set, and there is one question."""
    counts = b"".join(n.to_bytes(2, "big") for n in (1, answers, others, more))
    return b"\x12\x34" + flags + counts + asked + records


def test_aQuestion() -> None:
    """RFC 1035 section 4.1, with and without RFC 6891."""
    assert nameOctets("www.example") == NAME
    plain = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + ASKED
    assert questionOctets(b"\x12\x34", ASKED, False) == plain
    edns = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01" + ASKED + OPT
    assert questionOctets(b"\x12\x34", ASKED, True) == edns


@pytest.mark.parametrize(
    ("octets", "asked", "found"),
    [
        (answer(A + bytes([192, 0, 2, 1]), 1), ASKED, [b"\xc0\x00\x02\x01"]),
        (
            answer(A + b"\xc0\x00\x02\x01" + A + b"\xc0\x00\x02\x02", 2),
            ASKED,
            [b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02"],
        ),
        (answer(AAAA + SIX + OPT, 1, asked=ASKED6, more=1), ASKED6, [SIX]),
        # www CNAME a.example, with the name of the zone where it stands first: 16.
        (
            answer(
                CNAME + b"\x00\x04\x01a\xc0\x10"
                # The alias's data begins behind 12 of header, 17 of question, 12.
                + b"\xc0\x29" + A[2:] + b"\xc0\x00\x02\x01",
                2,
            ),
            ASKED,
            [b"\xc0\x00\x02\x01"],
        ),
        (answer(), ASKED, []),
        (answer(OPT, more=1), ASKED, []),
        (answer(flags=b"\x84\x00"), ASKED, []),
        (answer(flags=b"\x81\x83"), ASKED, None),
        (answer(OPT, flags=b"\x81\x83", more=1), ASKED, None),
    ],
)  # fmt: skip
def test_theUsualAnswers(
    octets: bytes, asked: bytes, found: list[bytes] | None
) -> None:
    """The library reads the same in them."""
    kind = 28 if asked is ASKED6 else 1
    assert addressesIn(octets, asked, kind, 48) == found
    read = dns.message.from_wire(octets)
    if found is None:
        assert read.rcode() == dns.rcode.NXDOMAIN
    else:
        assert isinstance(read, dns.message.QueryMessage)
        theirs = read.resolve_chaining().answer
        packed = [each.to_wire() for each in theirs or ()]
        assert packed == found


@pytest.mark.parametrize(
    "octets",
    [
        answer(flags=b"\x01\x80"),
        answer(flags=b"\x89\x80"),
        answer(flags=b"\x83\x80"),
        answer(flags=b"\x81\x82"),
        answer(A + b"\xc0\x00\x02\x01", 1, flags=b"\x81\x83"),
        # A referral: not authoritative, and no recursion.
        answer(flags=b"\x80\x00"),
        answer(asked=ASKED6),
        answer(asked=ASKED.upper()),
        # BADVERS has its upper bits in the OPT record (RFC 6891 section 6.1.3).
        answer(OPT[:5] + b"\x01" + OPT[6:], more=1),
        # An OPT record with an option, and what is none.
        answer(OPT[:9] + b"\x00\x04\x00\x0a\x00\x00", more=1),
        answer(A + b"\xc0\x00\x02\x01", more=1),
        # Of another name, another class, another type, of a wrong length, cut.
        answer(b"\xc0\x10" + A[2:] + b"\xc0\x00\x02\x01", 1),
        answer(A[:5] + b"\x03" + A[6:] + b"\xc0\x00\x02\x01", 1),
        answer(b"\xc0\x0c\x00\x10" + A[4:] + b"\xc0\x00\x02\x01", 1),
        answer(A[:11] + b"\x05\xc0\x00\x02\x01\x01", 1),
        answer(A + b"\xc0\x00\x02", 1),
        answer(A[:7], 1),
        answer(A + b"\xc0\x00\x02\x01", 2),
        # Its name written out, which is right, too.
        answer(NAME + A[2:] + b"\xc0\x00\x02\x01", 1),
        # An alias that leads nowhere, an alias of itself, one behind an address.
        answer(CNAME + b"\x00\x04\x01a\xc0\x10", 1),
        answer(CNAME + b"\x00\x02\xc0\x0c", 1),
        answer(A + b"\xc0\x00\x02\x01" + CNAME + b"\x00\x04\x01a\xc0\x10", 2),
        b"",
        answer()[:12],
    ],
)  # fmt: skip
def test_whatIsLeftToTheLibrary(octets: bytes) -> None:
    """Everything that is not plain."""
    with pytest.raises(Unusual):
        addressesIn(octets, ASKED, 1, 48)


def test_recordsBeyondTheMostAreNotLookedAt() -> None:
    """However many there are."""
    records = b"".join(A + bytes([192, 0, 2, n]) for n in range(60))
    found = addressesIn(answer(records, 60), ASKED, 1, 48)
    assert found is not None
    assert len(found) == 48


@given(
    st.binary(max_size=64),
    st.binary(min_size=2, max_size=2),
    st.integers(0, 3),
    st.integers(0, 2),
)
def test_anyOctetsAreReadOrUnusual(
    tail: bytes, flags: bytes, answers: int, more: int
) -> None:
    """Nothing else is raised, and what is found has its length."""
    try:
        found = addressesIn(answer(tail, answers, flags, more=more), ASKED, 1, 48)
    except Unusual:
        return
    assert found is None or all(len(each) == 4 for each in found)
