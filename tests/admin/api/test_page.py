"""
The page and its parts, as they are served.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import socksgw.admin
from socksgw.admin.api.page import KINDS
from tests.live.serving import Serving

FOLDER = Path(socksgw.admin.__file__).parent / "dashboard"
PARTS = sorted(each.name for each in FOLDER.iterdir() if each.name != "index.html")


def test_page(serving: Serving) -> None:
    """Everybody may have it; it runs what comes from here, and nothing else."""
    answer = serving.nobody.ask("/")
    assert (answer.status, answer.octets) == (200, (FOLDER / "index.html").read_bytes())
    policy = dict(
        each.strip().split(" ", 1)
        for each in answer.fields["content-security-policy"].split(";")
    )
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert policy["frame-ancestors"] == policy["form-action"] == "'none'"


@pytest.mark.parametrize("name", PARTS)
def test_parts(serving: Serving, name: str) -> None:
    """Each is served as what it is."""
    answer = serving.nobody.ask(f"/dashboard/{name}")
    assert (answer.status, answer.octets) == (200, (FOLDER / name).read_bytes())
    assert answer.fields["content-type"] == KINDS[name.rpartition(".")[2]]


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fserver.py", "index.html%00"])
def test_otherFiles(serving: Serving, name: str) -> None:
    """Nothing else is."""
    assert serving.nobody.ask(f"/dashboard/{name}").status in (400, 404)


@pytest.mark.parametrize("name", ["index.html", *PARTS])
def test_nothingFromOutside(name: str) -> None:
    """Nothing is fetched from anywhere else, and no markup is made of text."""
    text = (FOLDER / name).read_text()
    found = set(re.findall(r"https?://[^\"'\s]*", text))
    assert found <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|\beval\b|\bon\w+=", text)
