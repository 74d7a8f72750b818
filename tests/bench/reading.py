"""
How long the commands take that read a journal: seconds for a GB, and for a million
decisions.

The journal is made here, by what writes the gateway's: users who go to hosts that most
of them share, some of which are denied, for some days. A part of C{make bench}.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from socksgw.audit.tail import TURNS, Tail
from socksgw.config.schema import AuditConfig
from tests.bench import peers
from tests.bench.machine import described, parsed
from tests.tools.journals import decision, ending

USERS, HOSTS, DAYS = 400, 20_000, 15
#: GB, or million decisions, of which an aim speaks: of fewer the command's start is most.
ENOUGH: Final = 0.5
#: Lines that are written at a time, with one stamp.
BATCH: Final = 32

CONFIGURATION: Final = """
[[listen]]
name = "main"
address = ["127.0.0.1:1080"]
[auth]
checkers = ["memory:user1:secret"]
[[auth.choose]]
from = ["any"]
methods = ["userpass"]
[groups]
staff = ["user1", "user2", "user3"]
[[rule]]
id = "staff"
allow = ["connect"]
who = ["@staff"]
ports = [22, 443]
[[rule]]
id = "denied"
deny = "any"
to = ["*.denied.example"]
[[rule]]
id = "web"
allow = ["connect"]
ports = [{ports}]
"""


class Command(NamedTuple):
    """
    What is measured.

    @ivar arguments: of C{socksgw}.
    @ivar per: what the seconds are told for: C{GB} or C{M decisions}.
    @ivar aim: seconds.
    @ivar statuses: those it may end with.
    """

    arguments: tuple[str, ...]
    per: str
    aim: float
    statuses: tuple[int, ...] = (0,)


def bodies(sessions: int) -> Iterator[list[str]]:
    """Yield the two lines of each session, in batches."""
    pick = random.Random(1)
    batch: list[str] = []
    for session in range(1, sessions + 1):
        host = int(HOSTS * pick.random() ** 3)
        allowed = host % 20 > 0
        name = f"host{host}.{'www' if allowed else 'denied'}.example"
        address = f"44.{host % 2}.{host // 250 % 250}.{host % 250}"
        user = int(USERS * pick.random() ** 2)
        fields: dict[str, Any] = {
            "client": f"10.1.{user // 200}.{user % 200 + 1}:{1024 + session % 60000}",
            "user": f"user{user}", "asked": name, "name": name,
        }  # fmt: skip
        if not allowed:
            fields |= {
                "verdict": "deny", "rule": "denied", "addresses": [], "reply": 2,
                "reason": "policy",
            }  # fmt: skip
            batch.append(decision(session, **fields))
        else:
            batch += [
                decision(session, **fields, addresses=[address]),
                ending(
                    session,
                    address=address,
                    sent=pick.randrange(5000),
                    received=pick.randrange(500_000),
                    seconds=round(pick.random() * 60, 3),
                ),
            ]
        if len(batch) >= BATCH:
            yield batch
            batch = []
    yield batch


def write(directory: Path, sessions: int) -> None:
    """Make the journal, in the days before now."""
    from twisted.internet import reactor

    directory.mkdir(0o700, parents=True)
    config = AuditConfig(sync="never")
    tail = Tail(directory, config, reactor, time.time, print, print, False)
    tail.open()
    step = DAYS * 86400 / max(1, sessions) * BATCH / 2
    at = time.time() - DAYS * 86400
    for batch in bodies(sessions):
        at += step
        stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        assert tail.take(TURNS)
        tail.put(batch, stamp.replace("+00:00", "Z"))
        tail.settle()
        tail.give()
    tail.close()


def ran(command: Command, directory: Path) -> tuple[float, float]:
    """Return the seconds that a command took, and those of CPU."""
    before, began = os.times(), time.monotonic()
    done = subprocess.run(
        [peers.SOCKSGW, *command.arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    took, after = time.monotonic() - began, os.times()
    if done.returncode not in command.statuses or not done.stdout:
        raise RuntimeError(f"{command.arguments}: {done.returncode}: {done.stderr}")
    used = after.children_user + after.children_system
    return took, used - before.children_user - before.children_system


def told(
    name: str, command: Command, found: Sequence[tuple[float, float]], units: float
) -> str:
    """Return what came of one."""
    took, used = (statistics.median(each) / units for each in zip(*found, strict=True))
    text = f"{name:<34} {took:6.2f} s a {command.per}, {used:6.2f} of CPU"
    if units >= ENOUGH:
        met = "ok" if took <= command.aim else "NOT REACHED"
        text += f" (aim {command.aim:g}): {met}"
    return text


def main() -> None:
    """Print how long they take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=1_400_000)
    options = parsed(parser, rounds=1, sessions=20_000)
    print(described(), flush=True)
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        journal = directory / "var" / "audit"
        # A process of its own: the threads that sync files end with it.
        writing = multiprocessing.get_context("fork").Process(
            target=write, args=(journal, options.sessions)
        )
        writing.start()
        writing.join()
        for name, ports in (("gw", "443"), ("new", "80, 443, 8443")):
            file = directory / f"{name}.toml"
            text = '[gateway]\nstate_dir = "var"\n' + CONFIGURATION
            file.write_text(text.format(ports=ports))
        octets = sum(each.stat().st_size for each in journal.iterdir())
        lines = sum(each.read_bytes().count(b"\n") for each in journal.glob("*.jsonl"))
        print(f"a journal of {octets / 1e9:.2f} GB, {lines} lines", flush=True)
        config = ("--config", "gw.toml")
        commands = {
            "audit verify": Command(("audit", "verify", *config), "GB", 5.0),
            "audit search --user U --denied": Command(
                ("audit", "search", *config, "--user", "user399", "--denied", "--last", "50"),
                "GB", 1.0,
            ),
            "explain --record N": Command(
                ("explain", *config, "--record", str(lines // 2)), "GB", 1.0, (0, 1)
            ),
            "diff": Command(("diff", "gw.toml", "new.toml"), "M decisions", 10.0, (0, 1)),
        }  # fmt: skip
        units = {"GB": octets / 1e9, "M decisions": options.sessions / 1e6}
        for name, command in commands.items():
            found = [ran(command, directory) for _ in range(options.rounds)]
            print(told(name, command, found, units[command.per]), flush=True)


if __name__ == "__main__":
    main()
