"""
Lines of the journal in CEF, read back as ArcSight's specification says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.audit.formats.cef import cef
from socksgw.audit.formats.facts import Origin
from tests.tools.journallines import LINES, line, ofEvery

_ORIGIN = Origin("edge-1", "0.1.0")
#: A key stands behind a space; an equals sign in a value is escaped.
_KEY = re.compile(r"(?:^| )([A-Za-z0-9]+)=")
_ESCAPE = re.compile(r"\\(.)")
_MEANS = {"n": "\n", "r": "\r"}


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda m: _MEANS.get(m[1], m[1]), text)


def _read(octets: bytes) -> tuple[list[str], dict[str, str]]:
    """Return the seven parts of a record's header, and its extension."""
    text = octets.decode()
    assert text.isprintable()
    *header, extension = re.split(r"(?<!\\)\|", text, maxsplit=7)
    assert len(header) == 7
    found = {}
    keys = list(_KEY.finditer(extension))
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        end = following.start() if following else len(extension)
        assert key[1] not in found
        found[key[1]] = _unescaped(extension[key.end() : end])
    return [_unescaped(each) for each in header], found


def _of(fields: Mapping[str, Any]) -> dict[str, str]:
    return _read(cef(fields, _ORIGIN))[1]


def test_request() -> None:
    """A request has header, both ends, verdict and rule."""
    header, found = _read(cef(LINES["allowed"], _ORIGIN))
    assert header == [
        "CEF:0", "socksgw", "socksgw", "0.1.0", "decision", "Request judged", "2",
    ]  # fmt: skip
    assert found == {
        "rt": "1795832055003",
        "dvchost": "edge-1",
        "externalId": "17",
        "cat": "decision",
        "src": "192.0.2.7",
        "spt": "40000",
        "suser": "alice",
        "dst": "198.51.100.3",
        "dpt": "443",
        "proto": "TCP",
        "dhost": "db.corp.example",
        "app": "socks5",
        "act": "allow",
        "outcome": "success",
        "cn1": "7",
        "cn1Label": "session",
        "cs1": "engineers",
        "cs1Label": "rule",
        "cs2": "lan",
        "cs2Label": "listener",
        "cs3": "userpass",
        "cs3Label": "method",
        "msg": 'the rule allows it {"groups":["engineers","staff"]}',
    }


def test_policyAndTLS() -> None:
    """The dictionary's free texts have policy and certificate, the message the rest."""
    found = _of(LINES["in TLS"])
    assert (found["flexString1"], found["flexString1Label"]) == (
        "0123456789ab",
        "policy",
    )
    assert (found["flexString2"], found["flexString2Label"]) == (
        "5a" * 32,
        "fingerprint",
    )
    assert '"tls_group":"X25519"' in found["msg"]


def test_versionSix() -> None:
    """The dictionary has other keys for addresses of version 6."""
    found = _of(LINES["literal"])
    assert found["c6a3"] == "2001:db8::9"
    assert found["c6a3Label"] == "Destination IPv6 Address"
    assert "dst" not in found
    assert "dhost" not in found


def test_end() -> None:
    """C{in} is what goes from the source to the destination, in CEF's words."""
    found = _of(LINES["closed"])
    assert (found["in"], found["out"]) == ("1200", "88000")
    assert int(found["end"]) - int(found["start"]) == 2125
    assert found["sourceTranslatedAddress"] == "203.0.113.1"


@pytest.mark.parametrize("fields", ofEvery(), ids=lambda each: str(each["event"]))
def test_everyEvent(fields: Mapping[str, Any]) -> None:
    """Every event has a record; what has no key of its own is in the text."""
    found = _of(fields)
    assert found["cat"] == fields["event"]
    for name in ("problems", "told", "files"):
        assert name not in fields or f'"{name}":' in found["msg"]


@given(st.text(max_size=60).filter(str.strip))
def test_everyText(text: str) -> None:
    """Whatever a user is called, there is one line, and the name can be read back."""
    fields = line("login-failed", claimed=text, reason="a|b=c\\d", why=f"x\n{text}")
    name = _of(fields)["suser"]
    assert name == "".join(
        c if c.isprintable() or c in "\r\n" else ascii(c)[1:-1] for c in text
    )


def test_bounded() -> None:
    """No value and no record is longer than it may be."""
    long = "\xfc=" * 100_000
    fields = {
        **LINES["denied"],
        **dict.fromkeys(
            ("user", "tag", "ticket", "via", "method", "why", "rule"), long
        ),
        "groups": [long] * 100,
    }
    octets = cef(fields, _ORIGIN)
    assert len(octets) <= 7168
    found = _read(octets)[1]
    assert max(map(len, found.values())) <= 1023
    assert found["suser"].endswith("...")
