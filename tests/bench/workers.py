"""
How much more two workers serve than one process, where the load is not in the count.

The load generator, what it reaches, the supervisor and each worker would share the
machine's few cores, and so two workers could never show twice of one. Here each
process that serves may use a fifth of a core (a control group of its own; a tenth
where octets are counted, of which the load moves fewer), and
the rest is for all others: as if each had a core, which is slow. So many more sessions
a second and octets a second come through two of them.

And what it costs that limits hold for all workers together: CPU of a session under a
limit, which two workers share or one process has, beside the same without limits. Each
process may use a whole core then. As root.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench import peers, usage
from tests.bench.aims import verdict
from tests.bench.machine import described, parsed

FIRST, TARGET = 990, 980
#: Times as many sessions, or octets, as one process.
AIM: Final = 1.9
#: Microseconds for which a group may run before it has to wait, for as long as its
#: share says. The kernel looks at that with each tick, and no sooner.
QUOTA: Final = 5_000
#: Octets of a stream that is cut off.
ENDLESS: Final = 1 << 40
GROUPS: Final = Path("/sys/fs/cgroup")
#: Never reached, and counted for each session: those of a source, and those of all.
LIMITS: Final = """
[[limit]]
per = "source"
sessions = 20000
[[limit]]
per = "all"
sessions = 50000
new_sessions = 1000000
"""


class Group:
    """
    A control group, whose processes have a share of a core together.

    @ivar directory: where it is.
    """

    def __init__(self, name: str) -> None:
        """
        Make one.

        @raise OSError: this machine lets us make none.
        """
        controllers = GROUPS / "cgroup.controllers"
        if controllers.exists() and "cpu" in controllers.read_text().split():
            (GROUPS / "cgroup.subtree_control").write_text("+cpu")
            self.directory = GROUPS / name
            self.directory.mkdir()
            self._limits = {"cpu.max": f"{QUOTA} {{}}"}
        else:
            self.directory = GROUPS / "cpu" / name
            self.directory.mkdir()
            self._limits = {
                "cpu.cfs_quota_us": str(QUOTA),
                "cpu.cfs_period_us": "{}",
            }

    def limit(self, share: float, cores: Set[int]) -> None:
        """Have it run for a part of the time only, on some cores."""
        for thread in (self.directory / "cgroup.threads", self.directory / "tasks"):
            if thread.exists():
                for each in thread.read_text().split():
                    os.sched_setaffinity(int(each), cores)
        for file, text in self._limits.items():
            (self.directory / file).write_text(text.format(int(QUOTA / share)))

    def add(self, pid: int) -> None:
        """Have a process be in it, with all its threads."""
        (self.directory / "cgroup.procs").write_text(str(pid))

    def held(self) -> tuple[int, int]:
        """Return how many periods there were, and how many that used all they had."""
        lines = (self.directory / "cpu.stat").read_text().split("\n")
        found = dict(each.split() for each in lines if each)
        return int(found["nr_periods"]), int(found["nr_throttled"])

    def close(self) -> None:
        """Remove it: nobody is in it any more."""
        self.directory.rmdir()


class Served(NamedTuple):
    """
    A gateway.

    @ivar pid: of its first process.
    @ivar groups: of those that serve.
    """

    pid: int
    port: int
    groups: list[Group]

    def held(self) -> tuple[int, int]:
        """As L{Group.held}, of all."""
        found = [each.held() for each in self.groups]
        return sum(a for a, _ in found), sum(b for _, b in found)


def serving(directory: Path, pid: int, count: int) -> list[int]:
    """Return the processes that have clients: workers tell the journal who they are."""
    if count == 1:
        return [pid]
    lines = [
        json.loads(line)
        for file in directory.rglob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    return [
        x["pid"] for x in lines if x["event"] == "worker" and x["state"] == "started"
    ]


@contextmanager
def gateway(directory: Path, port: int, count: int, more: str = "") -> Iterator[Served]:
    """
    A gateway of so many workers, each of which is in a group of its own.

    @param more: tables of its configuration.
    """
    directory.mkdir()
    text = f"[gateway]\nworkers = {count}\n{more}"
    command = peers.startSocksgw(port, directory, text)
    with ExitStack() as stack, (directory / "log").open("wb") as log:
        groups: list[Group] = []
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
        stack.callback(lambda: [each.close() for each in groups])
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        if not peers.listening(port, 60):
            sys.exit((directory / "log").read_text()[-500:])
        peers.answering(port)
        # The process that waits begins, too, and no slice is to pay for it.
        time.sleep(4)
        for pid in serving(directory, process.pid, count):
            groups.append(Group(f"socksgw-bench-{pid}"))
            groups[-1].add(pid)
        assert len(groups) == count
        yield Served(process.pid, port, groups)


class Kind(NamedTuple):
    """
    What is measured.

    @ivar share: the part of a core that a process has: the load keeps up with two.
    @ivar apart: whether all that serve have one core, and the others the rest: what
        one process does near the load costs less, and two have no common lock.
    @ivar figure: what the load tells of it, with its C{unit}.
    @ivar did: how many C{per} were done, of what the load tells.
    """

    arguments: tuple[object, ...]
    share: float
    apart: bool
    figure: str
    unit: str
    per: str
    did: Callable[[dict[str, Any]], float]


class Slice(NamedTuple):
    """
    What one gateway did for some seconds.

    @ivar rate: how much.
    @ivar cost: CPU, of all its processes.
    @ivar full: in what part of the time those that serve used all of their share.
    """

    rate: float
    cost: float
    full: float


def sliced(kind: Kind, each: Served) -> Slice:
    """Measure one gateway once."""
    before, (periods, full) = usage.cpu(each.pid), each.held()
    what, *rest = kind.arguments
    done = peers.load(what, each.port, TARGET, *rest)
    assert not done["failed"], done
    used = usage.cpu(each.pid) - before
    after, held = each.held()
    part = (held - full) / max(1, after - periods)
    return Slice(done[kind.figure], used / kind.did(done), part)


def told(name: str, kind: Kind, found: Sequence[Sequence[Slice]], workers: int) -> str:
    """Return what came of it: of one process, and of several."""
    (rate, cost, full), more = (
        [statistics.median(figure) for figure in zip(*slices, strict=True)]
        for slices in found
    )
    one, several = found
    ratio = statistics.median(
        b.rate / a.rate for a, b in zip(one, several, strict=True)
    )
    return (
        f"{name}: {rate:.4g} {kind.unit} by one process, {more[0]:.4g} by {workers} "
        f"workers: {ratio:.2f} x (aim {AIM}): {verdict(ratio >= AIM)}"
        f"\n    CPU {cost:.3g} and {more[1]:.3g} {kind.per}: {more[1] / cost:.2f} x; all "
        f"of the share was used for {full:.0%} and {more[2]:.0%} of the time"
    )


def inTurns(kind: Kind, served: Sequence[Served], rounds: int) -> list[list[Slice]]:
    """Measure several gateways in turns, and return what each did."""
    *cores, last = sorted(os.sched_getaffinity(0))
    for group in (group for each in served for group in each.groups):
        group.limit(kind.share, {last} if kind.apart else {*cores, last})
    found: list[list[Slice]] = [[] for _ in served]
    for _ in range(rounds):
        for each, slices in zip(served, found, strict=True):
            slices.append(sliced(kind, each))
    return found


def counted(found: Sequence[Sequence[Slice]], workers: int) -> Iterator[str]:
    """
    Yield what limits cost.

    @param found: of one process, and of several workers; then of both with limits.
    """
    costs = [[each.cost for each in slices] for slices in found]
    for name, without, limited in zip(
        ("one process", f"{workers} workers"), costs[:2], costs[2:], strict=True
    ):
        ratio = statistics.median(b / a for a, b in zip(without, limited, strict=True))
        more = statistics.median(b - a for a, b in zip(without, limited, strict=True))
        yield (
            f"limits, {name}: {statistics.median(without):.1f} us a session without, "
            f"{statistics.median(limited):.1f} with: {ratio:.2f} x, {more:+.1f} us"
        )


def measure(options: argparse.Namespace) -> None:
    """Print how much more comes through, and what limits cost."""
    flow = (options.streams, ENDLESS, "noauth", options.seconds)

    def octets(done: dict[str, Any]) -> float:
        return float(done["bytes"]) / 2**30

    sessions = Kind(
        ("rate", options.once, options.seconds, "noauth"),
        options.share, False, "per_s", "a second", "us", lambda done: done["done"] / 1e6,
    )  # fmt: skip
    kinds = {"sessions": sessions}
    for way in ("down", "up"):
        kinds[way] = Kind(
            (way, *flow), options.share / 2, True, "gbit_s", "Gbit/s", "s a GiB", octets
        )
    *cores, last = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        target = subprocess.Popen([peers.LOAD, "target", str(TARGET)])
        stack.callback(target.wait)
        stack.callback(target.kill)
        peers.listening(TARGET)

        def serve(number: int, count: int, more: str = "") -> Served:
            place = Path(directory) / str(number)
            return stack.enter_context(gateway(place, FIRST + number, count, more))

        served = [serve(0, 1), serve(1, options.workers)]
        for name, kind in kinds.items():
            for pid in (os.getpid(), target.pid):
                os.sched_setaffinity(pid, cores if kind.apart else {*cores, last})
            found = inTurns(kind, served, options.rounds)
            print(told(name, kind, found, options.workers), flush=True)
        for pid in (os.getpid(), target.pid):
            os.sched_setaffinity(pid, {*cores, last})
        served += [serve(2, 1, LIMITS), serve(3, options.workers, LIMITS)]
        found = inTurns(sessions._replace(share=1.0), served, options.rounds)
        print("\n".join(counted(found, options.workers)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3, help="for each timed slice")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--share",
        type=float,
        default=0.2,
        help="of a core, for each; half of it for octets",
    )
    parser.add_argument("--once", type=int, default=128, help="sessions at once")
    parser.add_argument("--streams", type=int, default=64)
    options = parsed(parser, rounds=2, seconds=1)
    peers.prepare([])
    if os.environ.get("SOCKSGW_BENCH_NETWORK") is None:
        # In a network of its own: ports in TIME_WAIT are nobody else's.
        network = (
            "ip link set lo up && sysctl -qw net.ipv4.ip_local_port_range='1024 65535'"
        )
        command = [sys.executable, __file__, *sys.argv[1:]]
        prepared = f'{network} && exec "$@"'
        os.environ["SOCKSGW_BENCH_NETWORK"] = "own"
        os.execvp("unshare", ["unshare", "--net", "sh", "-c", prepared, "sh", *command])
    print(described())
    measure(options)


if __name__ == "__main__":
    main()
