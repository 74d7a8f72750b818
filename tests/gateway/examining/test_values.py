"""
Values that are odd by themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from socksgw.config.loading import loads
from socksgw.gateway.examining import values
from socksgw.route.resolvconf import readChoice
from tests.tools.examining import HEAD, LISTEN, RULE, examined, problems, wrong


@pytest.mark.parametrize(
    ("hosts", "text", "warned"),
    [
        ("files dns", RULE, False),
        ("files dns myhostname", RULE, False),
        ("files mdns4_minimal dns", RULE, True),
        ("files mdns4_minimal dns", f'{RULE}[resolver]\nservers = ["::1"]\n', False),
    ],
)
def test_whatOnlyTheLibraryLooksUp(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hosts: str,
    text: str,
    warned: bool,
) -> None:
    """It has threads, and so a bound: said, with the remedy."""
    file = tmp_path / "nsswitch.conf"
    file.write_text(f"hosts: {hosts}\n")
    monkeypatch.setattr(values, "readChoice", lambda: readChoice(file))
    found = [
        w
        for w in examined(HEAD + text, checkers=False).warnings
        if w.path == "resolver.servers"
    ]
    assert len(found) == warned
    if warned:
        assert "128 threads" in found[0].text
        assert '"mdns4_minimal"' in found[0].text


@pytest.mark.parametrize("per", ["all", "source", "listener", "user", "group", "rule"])
def test_limits(per: str) -> None:
    """Every amount, of everybody, in general and of a rule."""
    amounts = (
        'sessions = 0, associations = 1, new_sessions = 2, rate = "1MB/s", '
        'quota = "1GB/1d", flows = 3, binds = 4'
    )
    rule = RULE.replace('"connect"', '"udp", "bind"')
    text = (
        f'limit = [{{ per = "{per}", {amounts} }}]\n'
        f'groups = {{ staff = ["alice"] }}\n{LISTEN}'
        f'{rule}limits = {{ per = "{per}", {amounts} }}\n'
    )
    found = examined(text)
    assert found.errors == []
    # Groups that are counted are used.
    assert (not found.warnings) is (per == "group")


def test_oddLimits() -> None:
    """What counts nothing is warned of."""
    text = (
        LISTEN
        + '[[limit]]\nper = "group"\nsessions = 1\n'
        + RULE
        + 'limits = { per = "user", flows = 1, associations = 1, binds = 1, sessions = 1 }'
    )
    assert [problem.path for problem in examined(text).warnings] == [
        "limit[0].per",
        "rule[0].limits.associations",
        "rule[0].limits.flows",
        "rule[0].limits.binds",
    ]


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("rate", ["1B/s", "10MB/s", "64KiB/s"], ["10MB", "0/s", "MB/s", 5, "1MB/m"]),
        ("quota", ["1GB/1d", "500/10s"], ["1GB", "1GB/d", "0/1d", "1GB/0s", 7]),
        (
            "new_sessions",
            [5, "10/1m", "1/1h", "0/1s"],
            ["10", "-1/1m", "1/2h", "1/0s", "1/m", "x/1m", "1.5/1m", 1.5, True],
        ),
    ],
)
def test_ratesAndQuotas(key: str, good: list[Any], bad: list[Any]) -> None:
    """Octets per second, octets per window."""
    for value in good:
        loads(f'limit = [{{ per = "all", {key} = {json.dumps(value)} }}]', "f")
    for value in bad:
        text = f'limit = [{{ per = "all", {key} = {json.dumps(value)} }}]'
        assert [path for path, _ in problems(text)] == [f"limit[0].{key}"]


@pytest.mark.parametrize("where", ["limit[0]", "rule[0].limits"])
def test_aClusterCountsByTheSecond(where: str) -> None:
    """It says so where another time is wanted."""
    limit = 'per = "user"\nnew_sessions = "10/1m"\n'
    text = HEAD + "[[limit]]\n" + limit
    if where != "limit[0]":
        text = HEAD + RULE + "[rule.limits]\n" + limit
    said = dict(wrong(text + '[cluster]\nname = "a"\nmembers = ["b"]\nurl = "x"\n'))
    assert said[f"{where}.new_sessions"].startswith("a [cluster] counts what begins")
    assert f"{where}.new_sessions" not in dict(wrong(text))


@pytest.mark.parametrize("separator", ["++", "a", " ", "@", ":", "*", "\\\\", "é"])
def test_noSeparator(separator: str) -> None:
    """One character that names seldom have, and that no method splits names by."""
    ((path, said),) = wrong(f'{HEAD}[auth]\ntag_separator = "{separator}"\n')
    assert (path, said.startswith("must be one of + ")) == ("auth.tag_separator", True)


@pytest.mark.parametrize("separator", ["", "+"])
def test_whatGoesByTags(separator: str) -> None:
    """Where there are none, it is an error."""
    text = (
        f'{HEAD}[auth]\ntag_separator = "{separator}"\n[[limit]]\nper = "tag"\n'
        'sessions = 1\n[[rule]]\nid = "r"\nallow = ["connect"]\ntag = ["job-*"]\n'
        'limits = { per = "tag", sessions = 1 }\n[[expect]]\nwho = "alice"\n'
        'to = "8.8.8.8:80"\nverdict = "deny"\ntag = "job-1"\n'
    )
    paths = [path for path, said in wrong(text) if "tag" in said]
    if separator:
        assert paths == []
    else:
        assert paths == [
            "limit[0].per",
            "rule[0].limits.per",
            "rule[0].tag",
            "expect[0].tag",
        ]
