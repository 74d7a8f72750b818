"""
The catalogue of the journal's events: the manual and its tables say the same.
"""

from __future__ import annotations

import ast
import errno
import re

import pytest

from socksgw.audit.catalogue import CATALOGUE, COMMON, EVENTS
from socksgw.errors import SocksError
from socksgw.login.refusal import WRONG
from socksgw.login.stores.activedirectory import REASONS
from socksgw.route.failures import UPSTREAM_REASONS, failureFor
from tests.live.running import ROOT
from tests.tools.catalogue import catalogued

#: The heading of the fields that lines about a client share.
_SHARED = "Fields of lines about a client"


def described() -> dict[str, set[str]]:
    """The fields that each section of the chapter has a row for."""
    text = (ROOT / "socksgw" / "manual" / "records.rst").read_text("utf-8")
    parts = re.split(r"(?m)^(.+)\n-+\n", text)
    return {
        heading: set(re.findall(r"(?m)^``(\w+)``", body))
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_theCatalogueIsTheDocumentedOne() -> None:
    """Each event has a section in the manual, and no other has one."""
    headings = {each for each in described() if re.fullmatch(r"[a-z][a-z-]+", each)}
    assert headings == EVENTS


def test_theFieldsAreTheDocumentedOnes() -> None:
    """Each section describes each field that a line of the event may have."""
    found = described()
    shared = found[_SHARED]
    assert found["Fields of every line"] == set(COMMON)
    for event, fields in CATALOGUE.items():
        common = shared if "client" in fields else set()
        assert found[event] == set(fields) - common, event
    # Of multicast groups.
    groups = {"direction", "interface", "ttl", "senders"}
    assert set(CATALOGUE["flow"]) - groups == set(CATALOGUE["decision"])
    named = re.findall(r"``([a-z-]+)``", _introduction())
    sharing = {event for event, fields in CATALOGUE.items() if "client" in fields}
    assert set(named) == sharing


def _introduction() -> str:
    """The sentence that says which events the shared fields belong to."""
    text = (ROOT / "socksgw" / "manual" / "records.rst").read_text("utf-8")
    return text.partition(_SHARED)[2].partition("have these")[0]


@pytest.mark.parametrize("key", ["event", "why"])
def test_whatTheCatalogueDoesNotKnow(key: str) -> None:
    """Every test that reads a journal notices an event or a field that it lacks."""
    with pytest.raises(AssertionError):
        catalogued({"event": "stop", "gateway": "g", key: "new"})


def _words() -> set[str]:
    """The reasons that the code gives."""
    found: set[str] = set()
    givers = ("Refused", "finish", "_end", "end")
    for path in (ROOT / "socksgw").rglob("*.py"):
        if path.parent.name == "console":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            values: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                if getattr(node.targets[0], "attr", "") == "reason":
                    values = [node.value]
            elif isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                values = [each.value for each in node.keywords if each.arg == "reason"]
                if name in givers:
                    values += node.args[:1]
                elif name == "ConnectFailed":
                    values += node.args[2:3]
            for value in values:
                found.update(
                    each.value
                    for each in ast.walk(value)
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                )
    found |= REASONS.keys()
    kinds = [SocksError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        found.add(kind.reason)
    for code in errno.errorcode:
        found.add(failureFor(code).reason)
    return {*found, *UPSTREAM_REASONS, WRONG, "store-unavailable", "upstream-tls"}


def test_reasons() -> None:
    """The manual has each reason that the code gives, and no other."""
    text = (ROOT / "socksgw" / "manual" / "records.rst").read_text("utf-8")
    reasons = text.partition("Reasons\n-------\n")[2]
    documented = set(re.findall(r"(?m)^``([a-z-]+)``", reasons))
    given = {each for each in _words() if re.fullmatch(r"[a-z][a-z-]+", each)}
    # Put together of two words, or passed on.
    assert documented - given == {"client-reset", "destination-reset"}
    assert given - documented == set()
