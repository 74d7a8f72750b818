"""
What would be decided now: by the rules, groups and limits in force.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.live import raw
from tests.live.running import HEAD
from tests.live.servers import Destination, echo
from tests.live.serving import Serving, served

RULES = """
[[rule]]
id = "no-mail"
deny = ["connect"]
ports = [25]
[[rule]]
id = "inside"
allow = ["connect"]
leave_by = ["127.0.0.1"]
to = ["127.0.0.0/8", "*.site.test", "=localhost"]
resolving_to = ["127.0.0.1", "::1"]
limits = { per = "source", sessions = 1 }
"""


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway with some rules."""
    yield from served(tmp_path_factory.mktemp("admin"), HEAD + RULES)


def explained(serving: Serving, **facts: Any) -> Any:
    """Ask by a body, and see that the query says the same."""
    facts = {"command": "connect", **facts}
    answered = serving.looker.ask("/api/explain", "POST", facts)
    assert answered.status == 200, answered
    query = "&".join(
        f"{name}={each}"
        for name, value in facts.items()
        for each in (value if isinstance(value, list) else [value])
    )
    assert serving.looker.get(f"/api/explain?{query}") == answered.json
    return answered.json


def test_verdicts(ruled: Serving) -> None:
    """The deciding rule, and those before it."""
    found = explained(ruled, destination="127.0.0.1:25")
    assert (found["verdict"], found["rule"]) == ("deny", "no-mail")
    found = explained(ruled, destination="127.0.0.1:80")
    assert (found["verdict"], found["rule"]) == ("allow", "inside")
    assert found["rules"][0]["tried"] == [
        {"rule": "no-mail", "unmet": "ports"},
        {"rule": "inside", "unmet": None},
    ]
    assert found["ways_in"][0]["listener"] == "main"
    assert found["leaves_by"] == "127.0.0.1"
    found = explained(ruled, destination="10.0.0.1:80")
    assert (found["verdict"], found["rule"]) == ("deny", "default")
    found = explained(ruled, destination="127.0.0.1:80", user="alice")
    assert (found["verdict"], found["rule"]) == ("deny", "auth.choose")


def test_names(ruled: Serving) -> None:
    """A name is looked up only if that is wanted; addresses may be given."""
    found = explained(ruled, destination="localhost:80")
    assert found == {"verdict": None, "missing": "resolving_to"}
    query = "command=connect&destination=localhost:80&dns=true"
    found = ruled.looker.get(f"/api/explain?{query}")
    assert (found["verdict"], found["rule"]) == ("allow", "inside")
    assert "127.0.0.1" in found["addresses"]
    found = explained(
        ruled, destination="www.site.test:80", resolving_to=["127.0.0.1", "10.0.0.1"]
    )
    assert found["addresses"] == ["127.0.0.1"]
    assert found["struck"][0][0] == "10.0.0.1"


def test_limits(ruled: Serving) -> None:
    """A limit that forbids one more session now is told, where all is known."""
    facts = {"destination": "127.0.0.1:80", "listener": "main"}
    assert explained(ruled, **facts)["limit"] is None
    facts["from"] = "127.0.0.1"
    assert explained(ruled, **facts)["limit"] == ""
    with Destination(echo) as server, raw.dial(ruled.gateway.port) as client:
        raw.through(client, "127.0.0.1", server.port)
        said = explained(ruled, **facts)["limit"]
        assert said == '1 sessions per source (rule "inside")'
        facts["from"] = "127.0.0.2"
        assert explained(ruled, **facts)["limit"] == ""


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "destination: is missing"),
        ({"destination": "x"}, "needs a port"),
        ({"destination": "http://x/"}, "a URL"),
        ({"destination": "127.0.0.1:80", "from": "here"}, "not an IPv4"),
        ({"destination": "127.0.0.1:80", "listener": "x"}, "listener: "),
        ({"destination": "127.0.0.1:80", "method": "x"}, "no method"),
        ({"destination": "127.0.0.1:80", "at": "noon"}, "such as 2026-03-02T"),
        ({"destination": "a:-1"}, '"a:-1"'),
        ({"destination": "127.0.0.1:80", "resolving_to": ["x"]}, "resolving_to "),
        ({"destination": "127.0.0.1:80", "usr": "x"}, "no field"),
    ],
)
def test_wrong(ruled: Serving, facts: dict[str, Any], words: str) -> None:
    """What cannot be is told, with the field's name."""
    answered = ruled.own.ask("/api/explain", "POST", {"command": "connect", **facts})
    assert answered.status == 400
    assert words in answered.json["error"]
    assert "--" not in answered.json["error"]
