"""
The description: good for a public validator, and true of the running server.
"""

from __future__ import annotations

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from socksgw.admin.openapi import description
from socksgw.admin.paths import ENTRIES, find, methodsOf
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


@pytest.mark.parametrize(
    "path",
    ["", "//", "/dashboard", "/index.html", "/healthz/", "/HEALTHZ", "/api", "*"],
)
def test_nothingElse(path: str) -> None:
    """No other path is served."""
    assert find("GET", path) is None
    assert methodsOf(path) == []
