"""
Filters and distinguished names: filled by what clients say, never read again.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldaptor.protocols import pureber, pureldap

from socksgw.login.stores.ldapnames import (
    attributeOf,
    either,
    fill,
    fillAs,
    fillDN,
    firstOf,
    normalDN,
    parseFilter,
)

#: Everything that UTF-8 can say.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def decoded(node: Any) -> Any:
    """What a directory reads in a filter."""
    octets = node.toWire()
    context = pureldap.LDAPBERDecoderContext_Filter(
        fallback=pureber.BERDecoderContext()
    )
    found, used = pureber.berDecodeObject(context, octets)
    assert used == len(octets)
    return found


@given(TEXT)
def test_nothingIsInjected(user: str) -> None:
    """
    Whatever a name is, the filter has the shape that the configuration gave it,
    and the name stands in its place, octet by octet.
    """
    node = decoded(fill(parseFilter("(&(objectClass=person)(uid={user}))"), user=user))
    assert isinstance(node, pureldap.LDAPFilter_and)
    kind, uid = node
    for each, attribute, value in ((kind, b"objectClass", b"person"), (uid, b"uid", user.encode())):  # fmt: skip
        assert isinstance(each, pureldap.LDAPFilter_equalityMatch)
        assert each.attributeDesc.value == attribute
        assert each.assertionValue.value == value


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        # RFC 4511 section 4.5.1: Filter. equalityMatch is [3], and [0], or [1],
        # not [2], substrings [4], present [7], extensibleMatch [9].
        ("(cn={user})", "a308" "0402636e" "0402582a"),
        ("(!(cn={user}))", "a20a" "a308" "0402636e" "0402582a"),
        ("(cn=*)", "8702636e"),
        ("(cn={user}*)", "a40a" "0402636e" "3004" "8002582a"),
        ("(cn=*{user})", "a40a" "0402636e" "3004" "8202582a"),
        ("(cn:dn:2.4:={user})", "a910" "8103322e34" "8202636e" "8302582a" "8401ff"),
        ("(|(a={user})(b=c))", "a110" "a307" "040161" "0402582a" "a306" "040162" "040163"),
    ],
)  # fmt: skip
def test_filters(text: str, wire: str) -> None:
    """Every kind of filter is filled where a place stands in a value."""
    filled = fill(parseFilter(text), user="X*").toWire().hex()
    if "a910" in wire:
        wire = wire.replace("a910", f"a9{len(bytes.fromhex(wire)) - 2:02x}")
    if "a110" in wire:
        wire = wire.replace("a110", f"a1{len(bytes.fromhex(wire)) - 2:02x}")
    assert filled == wire


def test_placesInValues() -> None:
    """A name that looks like a place is none."""
    node = fill(parseFilter("(a={user}{dn})"), user="{dn}", dn="{user}")
    assert node.assertionValue.value == "{dn}{user}"
    assert either([node]) is node
    assert attributeOf(parseFilter("(&(x=y)(|(uid={user})(m=a)))"), "{user}") == "uid"
    assert attributeOf(parseFilter("(uid={user}*)"), "{user}") is None


@pytest.mark.parametrize(
    "text", ["", "uid=x", "(uid=x", "(uid=x))", "()", "(a=\\c3\\a9)"]
)
def test_noFilter(text: str) -> None:
    """What is no filter is an error when the configuration is read."""
    with pytest.raises(ValueError, match=r"4515|escaped"):
        parseFilter(text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("CN=Contractors,OU=Groups,DC=corp", "cn=contractors, ou=groups ,dc=CORP"),
        # RFC 4514 section 4's own examples, in their several spellings.
        ("CN=James \\\"Jim\\\" Smith\\, III,DC=net", "cn=James \\22Jim\\22 Smith\\2c III,dc=net"),
        ("CN=Before\\0dAfter,DC=net", "CN=Before\\0DAfter,DC=net"),
        ("CN=Lu\\C4\\8Di\\C4\\87", "cn=Lučić"),
        ("OU=Sales+CN=J.  Smith,DC=net", "cn=J. Smith+ou=Sales,dc=net"),
        ("cn=a\\ ", "cn=a"),
        ("cn=\u00dcBER \u03a3", "cn=\u00fcber \u03c3"),
    ],
)  # fmt: skip
def test_sameName(text: str, other: str) -> None:
    """Two spellings of the same name."""
    assert normalDN(text) == normalDN(other)
    assert normalDN(normalDN(text)) == normalDN(text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("cn=a,dc=b", "cn=a\\,dc=b"),
        ("cn=a,dc=b", "cn=a\\2cdc\\3db"),
        ("cn=\\C3\\A9", "cn=C3A9"),
        ("cn=a", "cn=a,dc=b"),
        ("cn=a+cn=b", "cn=a\\+cn\\=b"),
        ("cn=a\\\\2c", "cn=a\\2c"),
        # Active Directory keeps these apart, and Python's casefold does not.
        ("cn=Stra\u00dfe", "cn=Strasse"),
        ("cn=\u017f", "cn=s"),
    ],
)
def test_otherName(text: str, other: str) -> None:
    """What escapes say is not what they stand in."""
    assert normalDN(text) != normalDN(other)


@pytest.mark.parametrize(
    "text", ["", "a", "cn=", "=x", "cn=a,,dc=b", "cn=\\ff", "cn=a\\"]
)
def test_noName(text: str) -> None:
    """What is no name is an error."""
    with pytest.raises(ValueError, match="not a distinguished name"):
        normalDN(text)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1))
def test_escapedName(user: str) -> None:
    """A name that is filled in stays within its place."""
    whole = normalDN(fillDN("uid={user},ou=people,dc=x", user))
    assert whole.endswith(",ou=people,dc=x")
    with_ = normalDN(fillDN("uid={user}", user))
    assert whole == f"{with_},ou=people,dc=x"
    assert whole.startswith("uid=")


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("uid=alice,dc=x", "UID", "alice"),
        ("cn=M\u00fcller\\, R.,dc=x", "cn", "M\u00fcller, R."),
        ("cn=a+uid=b,dc=x", "uid", "b"),
        ("cn=a,uid=b", "uid", ""),
        ("", "uid", ""),
    ],
)
def test_firstOf(text: str, attribute: str, value: str) -> None:
    """What the first part of a name says."""
    assert firstOf(text, attribute) == value


def test_fillAs() -> None:
    """Whatever a client is found by gives way to a name; the rest stays."""
    node = parseFilter("(&(|(mail={user}@x)(!(cn=*{user}*)))(!(a=b))(k=*))")
    expected = parseFilter("(&(|(uid={user})(!(uid={user})))(!(a=b))(k=*))")
    found = fillAs(node, "uid", "al*ice")
    assert found.toWire() == fill(expected, user="al*ice").toWire()
