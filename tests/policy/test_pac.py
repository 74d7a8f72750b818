"""
The program for browsers, run by a JavaScript engine, against the rules themselves.
"""

from __future__ import annotations

import json
import subprocess
from random import Random
from typing import Any

import pytest

from socksgw.config.schema import Config, Group, Listen
from socksgw.interfaces import Asker
from socksgw.policy.pac import pacOf
from socksgw.policy.questions import Question
from socksgw.wire.address import Address
from tests.fakes.policy import ruleset
from tests.live.servers import program
from tests.policy.naive import (
    ADDRESSES,
    GROUPS,
    LEVELS,
    MOMENTS,
    NETWORKS,
    SCHEDULES,
    SERVICES,
    USERS,
    compile_,
    someRule,
)

PROXY = "PROXY gw.corp.example:1080"
#: What the browser's own look-up says.
NAMES = {"inside.example": "10.1.2.3", "far.example": "93.184.216.34"}
CASES = [None, "db.corp.example", "corp.example", "y.x.test"]
#: Clients of every kind.
ASKERS = [
    Asker(user, Address.parse(source), "main", level, tag)
    for user in USERS
    for source in ("10.1.2.3", "8.8.8.8")
    for level in LEVELS
    for tag in ("", "job-47")
]
#: Runs the program for each question, with those names.
DRIVER = """
const [text, questions] = JSON.parse(require("fs").readFileSync(0, "utf8"));
let names, asked;
const dnsResolve = name => { asked.push(name); return names[name] || null; };
const find = new Function("dnsResolve", text + "; return FindProxyForURL;")(dnsResolve);
process.stdout.write(JSON.stringify(questions.map(([known, url]) => {
    [names, asked] = [known, []];
    const host = new URL(url).hostname.replace(/^\\[|\\]$/g, "");
    return [find(url, host), asked];
})));
"""


def browsers(text: str, questions: list[tuple[dict[str, str], str]]) -> Any:
    """
    What a browser does for each URL, and which names it looks up for that.

    @param questions: what names it can look up, and the URL.
    """
    done = subprocess.run(
        [program("node", "nodejs"), "-e", DRIVER],
        input=json.dumps([text, questions]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("rules", "gateway", "direct"),
    [
        ('allow = ["connect"]\nto = ["*.corp.example"]', ["a.corp.example", "a.b.corp.example:8080"], ["corp.example", "far.example"]),
        ('allow = ["connect"]\nto = [".corp.example", "=x.test"]', ["corp.example", "x.test"], ["y.x.test"]),
        ('allow = ["connect"]\nto = ["10.1.0.0/16"]', ["10.1.9.9", "inside.example", "unknown.example"], ["10.2.0.1", "far.example", "[2620:fe::9]"]),
        ('allow = ["connect"]\nports = [443, "8000-8099"]', ["x.test", "x.test:8050"], ["x.test:8100"]),
        ('allow = ["connect"]\nto = ["2620:fe::/48"]', ["[2620:fe::9]", "unknown.example"], ["10.1.2.3"]),
        ('allow = ["connect"]\nto = ["*.example"]\nresolving_to = ["private"]', ["inside.example", "unknown.example"], ["far.example"]),
        ('allow = ["udp"]', [], ["x.test"]),
        ('allow = ["connect"]\nlistener = ["second"]', [], ["x.test"]),
        ('allow = ["connect"]\nreport_only = true', [], ["x.test"]),
        # It depends on the client: the gateway is asked.
        ('allow = ["connect"]\nwho = ["alice"]', ["x.test"], ["127.0.0.1", "169.254.169.254"]),
        ('deny = "any"\nwho = ["alice"]\n[[rule]]\nid = "b"\nallow = ["connect"]', ["x.test"], []),
        ('deny = "any"\nto = ["private", "=x.test"]\n[[rule]]\nid = "b"\nallow = ["connect"]', ["far.example", "unknown.example"], ["x.test", "inside.example", "10.0.0.1"]),
    ],
)  # fmt: skip
def test_rules(rules: str, gateway: list[str], direct: list[str]) -> None:
    """What some rule allows to somebody goes to the gateway, the rest directly."""
    text = pacOf(ruleset(f'[[rule]]\nid = "a"\n{rules}\n'), "main", PROXY)
    urls = [f"https://{each}/" for each in (*gateway, *direct)]
    found = [answer for answer, _ in browsers(text, [(NAMES, url) for url in urls])]
    assert found == [PROXY] * len(gateway) + ["DIRECT"] * len(direct)


def test_lookUps() -> None:
    """A name is looked up where a network decides, once, and else not at all."""
    rules = '[[rule]]\nid = "a"\nallow = ["connect"]\nto = ["*.corp.example"]\n'
    text = pacOf(ruleset(rules), "main", PROXY)
    urls = ["https://a.corp.example/", "https://x.test/", "https://10.1.2.3/"]
    assert [asked for _, asked in browsers(text, [(NAMES, url) for url in urls])] == [
        [],
        [],
        [],
    ]
    for number in range(2):
        rules += f'[[rule]]\nid = "b{number}"\nallow = ["connect"]\nto = ["10.{number}.0.0/16"]\n'
    text = pacOf(ruleset(rules), "main", PROXY)
    assert [asked for _, asked in browsers(text, [(NAMES, url) for url in urls])] == [
        [],
        ["x.test"],
        [],
    ]


def test_ports() -> None:
    """The port is the URL's, or that of its scheme."""
    rules = '[[rule]]\nid = "a"\nallow = ["connect"]\nports = [80]\n'
    text = pacOf(ruleset(rules), "main", PROXY)
    urls = [
        "http://x.test/",
        "ws://x.test/",
        "http://x.test:443/",
        "https://x.test/a:80/",
    ]
    urls += ["https://x.test:80/", "http://user:81@x.test/", "http://[2620:fe::9]/"]
    found = [
        answer == PROXY for answer, _ in browsers(text, [(NAMES, url) for url in urls])
    ]
    assert found == [True, True, False, False, True, True, True]


def test_nothingThatIsServedGoesDirectly() -> None:
    """
    Whatever the rules: what the gateway would allow, browsers bring to it; and what
    it allows to nobody there is no need to bring.
    """
    random = Random(13)
    checked = 0
    for _ in range(30):
        config = Config(
            listen=(Listen(name="main"), Listen(name="second")),
            groups={name: Group(members) for name, members in GROUPS.items()},
            networks=NETWORKS,
            services=SERVICES,
            schedules=SCHEDULES,
            rule=tuple(someRule(random, number) for number in range(3)),
        )
        rules = compile_(config)
        cases = [
            (name, Address.parse(address), port)
            for name in CASES
            for address in ADDRESSES
            if ":" not in address
            for port in (80, 8080)
        ]
        text = pacOf(rules, "main", PROXY)
        answers = browsers(
            text,
            [
                (
                    {} if name is None else {name: address.text},
                    f"https://{name or address.text}:{port}/",
                )
                for name, address, port in cases
            ],
        )
        for (name, address, port), (answer, _) in zip(cases, answers, strict=True):
            allowed = any(
                rules.judge(Question(asker, "connect", name, port, at), address).allowed
                for asker in ASKERS
                for at in MOMENTS[:2]
            )
            assert not allowed or answer == PROXY, (config.rule, name, address, port)
            checked += allowed
    assert checked > 50
