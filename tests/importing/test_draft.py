"""
A configuration that is being made of another server's.
"""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from socksgw.importing.draft import Draft


def text(draft: Draft) -> str:
    """The file."""
    return "".join(f"{line}\n" for line in draft.lines("Made of x."))


def test_tables() -> None:
    """In their order, each with its comments; what has no value is left out."""
    draft = Draft()
    draft.add("[timeouts]", {"connect": "30s", "idle": None})
    draft.add("[[rule]]", {"id": "a", "ports": [1, "2-3"]}, "line 4: pass")
    draft.add("[[rule]]", {"id": "b", "limits": {"per": "rule", "sessions": 3}})
    assert text(draft) == (
        "# Made of x.\n"
        '\n[timeouts]\nconnect = "30s"\n'
        '\n# line 4: pass\n[[rule]]\nid = "a"\nports = [1, "2-3"]\n'
        '\n[[rule]]\nid = "b"\nlimits = { per = "rule", sessions = 3 }\n'
    )


def test_whatIsLeft() -> None:
    """It is told in the order of lines; once, where that is wanted."""
    draft = Draft()
    assert not draft.isWider
    draft.leave(7, "redirect", "nothing like it", wider=True)
    draft.leave(2, "debug", "is elsewhere")
    draft.leaveOnce(9, "debug", "is elsewhere")
    draft.leave(0, "all", "of it")
    assert draft.isWider
    assert text(draft) == (
        "# Made of x.\n#\n# Not the same here:\n"
        "# - all: of it\n"
        "# - line 2: debug: is elsewhere\n"
        "# - line 7: redirect: nothing like it (WIDER)\n"
    )


def test_fewAreTried() -> None:
    """Two requests for each rule, and ten for none."""
    draft = Draft()
    for by, verdict in ((4, "allow"), (None, "deny")):
        while draft.isWanted(by):
            draft.expect(by, verdict, {"to": "a.example:443"})
    found = tomllib.loads(text(draft))["expect"]
    assert [each["verdict"] for each in found] == ["allow"] * 2 + ["deny"] * 10


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_whateverIsSaid(value: str, flag: bool) -> None:
    """Values come back as they were; comments stay comments."""
    draft = Draft()
    draft.leave(1, value, value)
    draft.add("[x]", {"value": value, "more": [{"flag": flag}]}, value)
    assert tomllib.loads(text(draft)) == {
        "x": {"value": value, "more": [{"flag": flag}]}
    }
