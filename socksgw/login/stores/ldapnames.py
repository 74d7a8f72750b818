"""
Names and filters of a directory.

They are read once from the configuration, and filled with what clients say
without being read again.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ldaptor.ldapfilter import InvalidLDAPFilter
from ldaptor.ldapfilter import parseFilter as parse
from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap.distinguishedname import (
    DistinguishedName,
    InvalidRelativeDistinguishedName,
    escape,
)

__all__ = [
    "ANYTHING",
    "attributeOf",
    "either",
    "equal",
    "fill",
    "fillAs",
    "firstOf",
    "fillDN",
    "normalDN",
    "parseFilter",
    "present",
]

#: Holds for every entry.
ANYTHING: Final = pureldap.LDAPFilter_present("objectClass")
_PLACE: Final = re.compile(r"\{(user|dn)\}")
#: An escape in the text of a distinguished name (RFC 4514 section 2.4).
_ESCAPES: Final = re.compile(r"(?:\\[0-9A-Fa-f]{2})+|\\.", re.DOTALL)
_SPACES: Final = re.compile(r"\s+")


def parseFilter(text: str) -> Any:
    """
    Read a search filter (RFC 4515), with C{{user}} and C{{dn}} in values.

    @raise ValueError: it is none.
    """
    if re.search(r"\\[89A-Fa-f][0-9A-Fa-f]", text):
        # ldaptor takes them for characters, not for octets of UTF-8.
        raise ValueError("what is not ASCII is written as it is, not escaped")
    try:
        return parse(text)
    except InvalidLDAPFilter as e:
        raise ValueError(f"not a filter (RFC 4515): at {e.loc}: {e.msg}") from None


def fill(node: Any, **words: str) -> Any:
    """
    Return a copy of a filter with its places filled.

    This makes no text that is read again, so that nothing needs escapes and nothing
    can be injected.

    @param words: what to put in place of C{{user}} and C{{dn}}.
    """

    def put(value: Any) -> Any:
        return _PLACE.sub(lambda m: words.get(m[1], m[0]), value)

    if isinstance(node, pureldap.LDAPFilterSet):
        return type(node)([fill(each, **words) for each in node])
    if isinstance(node, pureldap.LDAPFilter_not):
        return pureldap.LDAPFilter_not(fill(node.value, **words))
    if isinstance(node, pureldap.LDAPFilter_extensibleMatch):
        return pureldap.LDAPFilter_extensibleMatch(
            node.matchingRule, node.type, put(node.matchValue.value), node.dnAttributes
        )
    if isinstance(node, pureldap.LDAPFilter_substrings):
        parts = [type(each)(put(each.value)) for each in node.substrings]
        return pureldap.LDAPFilter_substrings(node.type, parts)
    if isinstance(node, pureldap.LDAPAttributeValueAssertion):
        value = pureldap.LDAPAssertionValue(put(node.assertionValue.value))
        return type(node)(node.attributeDesc, value)
    return node


def either(nodes: list[Any]) -> Any:
    """Return a filter that holds where any of these does."""
    return nodes[0] if len(nodes) == 1 else pureldap.LDAPFilter_or(nodes)


def attributeOf(node: Any, place: str) -> str | None:
    """
    Return the attribute that a filter compares with a place alone.

    @param place: C{{user}} or C{{dn}}.
    @return: L{None} where there is none.
    """
    if isinstance(node, pureldap.LDAPFilterSet):
        found = (attributeOf(each, place) for each in node)
        return next((each for each in found if each is not None), None)
    if (
        isinstance(node, pureldap.LDAPFilter_equalityMatch)
        and node.assertionValue.value == place
    ):
        name: str = node.attributeDesc.value
        return name
    return None


def fillAs(node: Any, attribute: str, value: str) -> Any:
    """
    Return a copy of a filter that asks for an attribute where it has C{{user}}.

    It finds a user of whom another attribute is known than those by which clients
    are found. Its other conditions stay.
    """
    if isinstance(node, pureldap.LDAPFilterSet):
        return type(node)([fillAs(each, attribute, value) for each in node])
    if isinstance(node, pureldap.LDAPFilter_not):
        return pureldap.LDAPFilter_not(fillAs(node.value, attribute, value))
    if fill(node, user="").toWire() != node.toWire():
        return equal(attribute, value)
    return node


def equal(attribute: str, value: str) -> Any:
    """Return a filter that holds where the attribute has the value."""
    return pureldap.LDAPFilter_equalityMatch(
        pureldap.LDAPAttributeDescription(attribute),
        pureldap.LDAPAssertionValue(value),
    )


def present(attribute: str) -> Any:
    """Return a filter that holds where an entry has the attribute."""
    return pureldap.LDAPFilter_present(attribute)


def fillDN(template: str, user: str) -> str:
    """Return a distinguished name with C{{user}} filled, and escaped (RFC 4514)."""
    return template.replace("{user}", escape(user))


def normalDN(text: str) -> str:
    """
    Return the one form of a distinguished name.

    Case, spaces and kinds of escapes make no difference in it.

    @raise ValueError: it is none.
    """
    try:
        parsed = DistinguishedName(stringValue=_ESCAPES.sub(_unescaped, text))
        names = [sorted(map(_pair, name.split())) for name in parsed.split()]
        if not all(names):
            raise ValueError("an empty part")
    except (InvalidRelativeDistinguishedName, IndexError, ValueError):
        names = []
    if not names:
        raise ValueError(f'"{text}" is not a distinguished name')
    return ",".join("+".join(pairs) for pairs in names)


def firstOf(text: str, attribute: str) -> str:
    """
    Return the value of an attribute in the first part of a distinguished name.

    @return: empty where it is not there.
    """
    try:
        parsed = DistinguishedName(stringValue=_ESCAPES.sub(_unescaped, text))
        pairs = parsed.split()[0].split()
    except (InvalidRelativeDistinguishedName, IndexError, ValueError):
        return ""
    for pair in pairs:
        if pair.attributeType.strip().lower() == attribute.lower():
            value: str = pair.value.strip()
            return value
    return ""


def _folded(text: str) -> str:
    """
    Return a text in lower case, character by character.

    Directories tell apart what Python's C{casefold} makes the same, such as ß and
    ss, and the two small sigmas.
    """
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)


def _pair(pair: Any) -> str:
    kind = pair.attributeType.strip().lower()
    value = _folded(_SPACES.sub(" ", pair.value.strip()))
    if not kind or not value:
        raise ValueError("half a pair")
    return f"{escape(kind)}={escape(value)}"


def _unescaped(found: re.Match[str]) -> str:
    """
    Return an escape of a distinguished name as ldaptor can read it.

    It knows hexadecimal escapes in lower case, and of ASCII, only.
    """
    octets = found[0].replace("\\", "")
    if len(found[0]) == 2:
        return found[0]
    text = bytes.fromhex(octets).decode("utf-8")
    return "".join(c if ord(c) > 0x7F else f"\\{ord(c):02x}" for c in text)
