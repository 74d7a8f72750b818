"""
The description: good for a public validator, and true of the running server.
"""

from __future__ import annotations

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from socksgw.admin.openapi import description
from socksgw.admin.paths import ENTRIES, find, methodsOf
from socksgw.admin.table import Entry
from tests.live.serving import Serving


def test_valid(serving: Serving) -> None:
    """The document that is served is valid OpenAPI 3.1."""
    document = serving.nobody.get("/openapi.json")
    OpenAPIV31SpecValidator(document).validate()
    assert document == description(ENTRIES)


def test_theTable() -> None:
    """Each path once with each method; names of operations are unique."""
    assert len({(each.method, each.path) for each in ENTRIES}) == len(ENTRIES)
    operations = [
        operation["operationId"]
        for path in description(ENTRIES)["paths"].values()
        for operation in path.values()
    ]
    assert len(set(operations)) == len(operations) == len(ENTRIES)
    for each in ENTRIES:
        # Whatever changes something needs the role for that; who may ask for a grant,
        # and approve it, is told by [grants].
        needed = bool(each.act) and not each.path.startswith("/api/grants")
        assert (each.role == "operate") is needed, each.path


def filled(path: str) -> str:
    """Return a path with something in place of each field."""
    return re.sub(r"\{\w+\}", "7", path)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.method} {e.path}")
def test_guarded(serving: Serving, entry: Entry) -> None:
    """
    Nobody gets at what needs a role, and who may look does nothing; each answer is
    one that the description has (L{AdminClient.ask}).
    """
    path = filled(entry.path)
    if not entry.role or entry.public == "health":
        assert serving.nobody.ask(path, entry.method).status in (200, 404)
        return
    assert serving.nobody.ask(path, entry.method).status == 401
    assert serving.nobody.ask(path, entry.method, Origin="http://x").status == 403
    if entry.role == "operate":
        assert serving.looker.ask(path, entry.method).status == 403
    elif entry.path != "/api/events" and not entry.act:
        assert serving.looker.ask(path, entry.method).status in (200, 400, 404)
    assert serving.own.ask(f"{path}?nix=1", entry.method).status == 400


@pytest.mark.parametrize(
    "path",
    ["", "//", "/dashboard", "/index.html", "/healthz/", "/HEALTHZ", "/api", "*"],
)
def test_nothingElse(path: str) -> None:
    """No other path is served."""
    assert find("GET", path) is None
    assert methodsOf(path) == []
