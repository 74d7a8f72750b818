"""
What a decision of the policy costs, with ten rules and with ten thousand: the
same ten among many more, asked the same questions and others; and what it
costs to load them.

Each ruleset has a process of its own. Times are user and system time; a
decision is L{socksgw.policy.decision.Policy.decide} with a resolver that
answers at once. A part of C{make bench}.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from socksgw.config.loading import load
from socksgw.gateway.examination import examine
from socksgw.interfaces import Asker
from socksgw.policy.decision import Policy
from socksgw.wire.address import Address

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.aims import verdict
from tests.bench.machine import described, parsed

LISTS = 100_000
RULES = 10_000
#: Times what ten rules cost, of which most is what each decision takes.
AIM = 3.0
#: Numbers of rules that one thing alone tells apart: a cost that grows with them shows.
ALIKE = (100, 1_000, 10_000)

HEAD = """
[[listen]]
name = "lan"
address = ["127.0.0.1:1080"]
[services]
web = ["tcp/80", "tcp/443"]
[groups]
engineers = ["alice"]
contractors = ["bob"]
monitoring = ["nms"]
"""
NETWORKS = """
dc = ["10.1.0.0/16", "*.corp.example"]
lab = ["10.64.0.0/12", "192.168.40.0/24", "*.lab.example"]
"""
FIRST = """
[[rule]]
id = "no-ads"
deny = "any"
to = ["*.ads.example", "=tracker.example"]
[[rule]]
id = "engineers"
allow = ["connect"]
who = ["@engineers"]
to = ["*.corp.example"]
resolving_to = ["private"]
ports = [22, 443, "8000-8099"]
[[rule]]
id = "contractors"
allow = ["connect"]
who = ["@contractors"]
to = ["10.1.2.0/24"]
services = ["web"]
[[rule]]
id = "snmp"
allow = ["udp"]
who = ["@monitoring"]
to = ["dc"]
ports = [161]
[[rule]]
id = "lab"
allow = ["connect"]
who = ["@engineers"]
to = ["lab"]
ports = [22, 443]
"""
LAST = """
[[rule]]
id = "no-private"
deny = "any"
to = ["private"]
[[rule]]
id = "no-multicast"
deny = "any"
to = ["multicast", "reserved"]
[[rule]]
id = "ssh"
allow = ["connect"]
who = ["@engineers", "@contractors"]
ports = [22]
[[rule]]
id = "web"
allow = ["connect"]
from = ["10.0.0.0/8"]
services = ["web"]
[[rule]]
id = "quic"
allow = ["udp"]
who = ["users"]
ports = [53, 443]
"""


def patterns(count: int) -> list[str]:
    """Different ones of every kind."""
    kinds = ("=", "*.", ".")
    return [f"{kinds[i % 3]}h{i}.d{i % 977}.example" for i in range(count)]


def networks(count: int) -> list[str]:
    """Different ones, of the lengths that lists of networks have."""
    random = Random(1)
    found: dict[str, None] = {}
    while len(found) < count:
        if random.random() < 0.8:
            length = random.choice((16, 20, 22, 24, 24, 24, 26, 28, 29, 32, 32))
            first = random.choice((20, 44, 52, 80, 91, 151, 185))
            number = first << 24 | random.getrandbits(24) >> 32 - length << 32 - length
            octets = number.to_bytes(4, "big")
        else:
            length = random.choice((32, 40, 44, 48, 56, 64))
            number = 0x2600 << 48 | random.getrandbits(48) >> 64 - length << 64 - length
            octets = number.to_bytes(8, "big") + bytes(8)
        found[f"{Address(octets)}/{length}"] = None
    return list(found)


def array(words: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"


def spread() -> Iterator[str]:
    """Rules of many teams, each with names and networks of its own."""
    names, nets = patterns(LISTS), networks(LISTS)
    each = LISTS // (RULES - 10) + 1
    for i in range(RULES - 10):
        to = names[i * each : (i + 1) * each] + nets[i * each : (i + 1) * each]
        yield (
            f'[[rule]]\nid = "r{i}"\nallow = ["connect"]\nwho = ["@team{i % 500}"]\n'
            f"to = {array(to or [f'=none{i}.example'])}\n"
            'ports = [443, "8000-8099"]\n'
        )


def matrix() -> Iterator[str]:
    """Which of many teams may go to which of many places."""
    random = Random(1)
    pairs = [(team, to) for team in range(500) for to in random.sample(range(200), 20)]
    for i, (team, to) in enumerate(pairs[: RULES - 10]):
        yield (
            f'[[rule]]\nid = "r{i}"\nallow = ["connect"]\nwho = ["@team{team}"]\n'
            f'to = ["place{to}"]\nports = [443]\n'
        )


def places() -> Iterator[str]:
    names, nets = patterns(LISTS), networks(LISTS)
    each = LISTS // 200
    for i in range(200):
        part = slice(i * each, (i + 1) * each)
        yield f"place{i} = {array(names[part] + nets[part])}\n"


TEAMS = "".join(f'team{i} = ["user{i}"]\n' for i in range(500))


def ten() -> str:
    return f"{HEAD}[networks]{NETWORKS}{FIRST}{LAST}"


def tenThousand() -> str:
    return f"{HEAD}{TEAMS}[networks]{NETWORKS}{FIRST}{''.join(spread())}{LAST}"


def teamsAndPlaces() -> str:
    entries = "".join(places())
    return f"{HEAD}{TEAMS}[networks]{NETWORKS}{entries}{FIRST}{''.join(matrix())}{LAST}"


def lists() -> str:
    names, nets = array(patterns(LISTS)), array(networks(LISTS))
    first = FIRST.replace('"=tracker.example"]', '"=tracker.example", "listed"]')
    entries = f"listed = {names[:-1]}, {nets[1:]}\n"
    return f"{HEAD}[networks]{NETWORKS}{entries}{first}{LAST}"


def hours(count: int) -> str:
    """Return schedules none of which is now, nor within an hour."""
    day = time.localtime().tm_wday + 3
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return "[schedules]\n" + "".join(
        f's{i} = {{ days = ["{days[day % 7]}"], hours = "08:{i % 60:02}-17:00" }}\n'
        for i in range(count)
    )


TAGGED = '[auth]\ntag_separator = "+"\n'
#: What alone tells rules apart: the condition of a rule, which never holds, and the
#: tables that so many of them need.
APART: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    "schedule": (lambda i: f'during = ["s{i}"]', hours),
    "tag": (lambda i: f'tag = ["job-{i}"]', lambda _: TAGGED),
    "tag-pattern": (lambda i: f'tag = ["job-{i}-*"]', lambda _: TAGGED),
    "user": (lambda i: f'who = ["user{i}"]', lambda _: ""),
}


def alike(kind: str, count: int) -> Callable[[], str]:
    """Return what makes a ruleset: the ten, and so many rules of a kind before them."""
    condition, tables = APART[kind]

    def text() -> str:
        rules = "".join(
            f'[[rule]]\nid = "r{i}"\nallow = ["connect"]\n{condition(i)}\n'
            "ports = [443]\n"
            for i in range(count)
        )
        return f"{tables(count)}{HEAD}[networks]{NETWORKS}{rules}{FIRST}{LAST}"

    return text


RULESETS: dict[str, tuple[str, Callable[[], str]]] = {
    "ten": ("10 rules", ten),
    "spread": ("10,000 rules, each with names and networks of its own", tenThousand),
    "matrix": ("10,000 rules, from 500 teams to 200 places", teamsAndPlaces),
    "lists": ("10 rules, one with everything", lists),
} | {
    f"{kind} {count}": (
        f"{count:,} rules that a {kind} alone tells apart",
        alike(kind, count),
    )
    for kind in APART
    for count in ALIKE
}


@dataclass(frozen=True)
class Somebody:
    """A user who asks."""

    name: str
    groups: frozenset[str]
    method: str = "userpass"
    expires: float | None = None
    anonymous: bool = False
    unsure: frozenset[str] = frozenset()
    doubt: str = ""


ALICE = Somebody("alice", frozenset({"engineers"}))
#: In so many teams as people are in.
CAROL = Somebody("carol", frozenset(f"team{i}" for i in range(7, 500, 50)))


@dataclass(frozen=True)
class Asked:
    """
    A question, and the rule that answers it where it is among ten.
    """

    title: str
    host: str
    port: int
    rule: str
    user: Somebody = ALICE
    answer: Sequence[str] = field(default=("8.8.8.8",))


QUESTIONS = [
    Asked("a name, allowed", "db.corp.example", 443, "engineers", answer=["10.1.2.3"]),
    Asked("a name, allowed at the end", "www.some.where.example", 443, "web"),
    Asked("a name of two addresses", "www.example", 443, "web",
          answer=["8.8.8.8", "2620:fe::fe"]),
    Asked("a name, never looked up", "www.some.where.example", 25, "default"),
    Asked("an address, allowed", "8.8.8.8", 443, "web"),
    Asked("an address, denied", "10.200.0.1", 443, "no-private"),
    Asked("an address, denied at the end", "8.8.8.8", 25, "default"),
    Asked("an address in NAT64", "64:ff9b::8.8.8.8", 443, "web"),
    Asked("a user of ten teams", "www.example", 443, "web", CAROL),
]  # fmt: skip


class Answers:
    """A resolver that knows one answer."""

    def __init__(self, answer: Sequence[str]) -> None:
        self._answer = tuple(map(Address.parse, answer))

    def known(self, name: str) -> tuple[Address, ...] | None:
        """Return nothing: each question is a look-up."""
        return None

    async def lookUp(self, name: str, source: Address) -> tuple[Address, ...]:
        return self._answer

    def ask(self, name: str, source: Address, done: object) -> tuple[Address, ...]:
        return self._answer


class Nowhere:
    """A host without any address."""

    def isSelf(self, address: Address, listener: str | None = None) -> bool:
        return address.isLoopback or address.isUnspecified

    def isListener(
        self, address: Address, port: int, listener: str | None = None
    ) -> bool:
        return False


def resident() -> int:
    """The memory of this process, in octets."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def measure(name: str, seconds: float) -> dict[str, float]:
    """
    @param seconds: for each question.
    """
    from twisted.internet import reactor

    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "gw.toml"
        file.write_text(RULESETS[name][1]())
        gc.collect()
        before, began = resident(), time.process_time()
        examination = examine(load(str(file)), Nowhere(), reactor, [])
        found["seconds to load"] = time.process_time() - began
    assert not examination.errors, examination.errors[:3]
    gc.collect()
    found["MiB of memory"] = (resident() - before) / 2**20
    for asked in QUESTIONS:
        policy = Policy(examination.ruleset, Answers(asked.answer))
        asker = Asker(asked.user, Address.parse("10.3.4.5"), "lan")
        try:
            host: Address | str = Address.parse(asked.host)
        except ValueError:
            host = asked.host

        def decide(times: int) -> float:
            began = time.process_time()
            for _ in range(times):
                try:
                    policy.decide(asker, "connect", host, asked.port).send(None)  # noqa: B023
                except StopIteration as e:
                    decision = e.value
            assert decision.rule == asked.rule, (asked.title, decision.rule)  # noqa: B023
            return time.process_time() - began

        times = int(seconds / 5 / (decide(1000) / 1000)) + 1
        found[asked.title] = min(decide(times) for _ in range(5)) / times * 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=RULESETS, help="print one as JSON")
    parser.add_argument("--seconds", type=float, default=0.2, help="for each question")
    options = parsed(parser, seconds=0.05)
    if options.only:
        print(json.dumps(measure(options.only, options.seconds)))
        return
    print(described())
    found: dict[str, dict[str, float]] = {}
    for name, (title, _) in RULESETS.items():
        print(f"{name}: {title}", flush=True)
        out = subprocess.run(
            [
                sys.executable,
                __file__,
                "--only",
                name,
                "--seconds",
                str(options.seconds),
            ],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        found[name] = json.loads(out)
    print(f"\nµs CPU per decision, beside {RULESETS['ten'][0]}")
    names = [each for each in found if each.partition(" ")[0] not in APART]
    for some in (
        names,
        *([x for x in found if x.partition(" ")[0] == kind] for kind in APART),
    ):
        print("\n" + f"{'':<34}" + "".join(f"{name:>16}" for name in some))
        for row in found["ten"]:
            figures = "".join(f"{found[name][row]:>16.1f}" for name in some)
            print(f"{row:<34}{figures}")
    print()
    for name, each in list(found.items())[1:]:
        rows = [each[asked.title] / found["ten"][asked.title] for asked in QUESTIONS]
        most = max(rows)
        print(
            f"{name}: {most:.1f} x ten rules' at most (aim {AIM}): {verdict(most <= AIM)}"
        )


if __name__ == "__main__":
    main()
