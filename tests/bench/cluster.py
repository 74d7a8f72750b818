"""
What a session costs with limits that three machines count together, beside the same
limits counted alone: CPU of the gateway's process tree, in turns, medians.

All members run here, with a real Redis; one of them has the load. A part of C{make
bench}.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench import peers, usage
from tests.bench.aims import verdict
from tests.bench.machine import described, parsed

NAMES: Final = ("alone", "a", "b", "c")
FIRST, TARGET, REDIS = 970, 969, 968
AIM: Final = 1.3

TEXT: Final = """
[[limit]]
per = "source"
sessions = 20000
new_sessions = 100000
quota = "900GB/1d"
[[limit]]
per = "all"
sessions = 50000
"""
CLUSTER: Final = f"""
[cluster]
url = "redis://127.0.0.1:{REDIS}"
members = ["a", "b", "c"]
"""


@contextmanager
def serving(directory: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The gateways, their Redis, and what their sessions lead to."""
    server = shutil.which("redis-server")
    if server is None:
        sys.exit("redis-server is not here (Debian's package redis-server)")
    found: dict[str, subprocess.Popen[bytes]] = {}
    with ExitStack() as stack:

        def started(*command: str, cwd: Path = directory) -> subprocess.Popen[bytes]:
            log = stack.enter_context((cwd / "log").open("ab"))
            process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        started(str(peers.LOAD), "target", str(TARGET))
        started(server, "--port", str(REDIS), "--save", "", "--bind", "127.0.0.1")
        for i, name in enumerate(NAMES):
            own = directory / name
            own.mkdir()
            (own / "users").write_text("")
            (own / "users").chmod(0o600)
            text = f'[gateway]\nname = "{name}"\n'
            text += peers.CONFIGURATION.format(port=FIRST + i) + TEXT
            (own / "gw.toml").write_text(text + (CLUSTER if i else ""))
            command = [str(peers.TWISTD), "-n", "--pidfile=", "socksgw", "--quiet"]
            found[name] = started(*command, "--config", "gw.toml", cwd=own)
        for i, name in enumerate(NAMES):
            if not peers.listening(FIRST + i, 60):
                sys.exit((directory / name / "log").read_text()[-500:])
        yield found


def measure(rounds: int, seconds: int) -> None:
    """Print the cost of a session, alone and as a member."""
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory)) as found:
        for what, *arguments in (
            ("32 at once", "rate", 32, seconds),
            ("one at a time", "rate", 1, seconds),
            ("200 a second", "pace", 200, seconds),
        ):
            kind, *rest = arguments
            costs: dict[str, list[float]] = {"alone": [], "a": []}
            failed = 0
            for _ in range(rounds):
                for i, name in enumerate(costs):
                    before = usage.cpu(found[name].pid)
                    done = peers.load(kind, FIRST + i, TARGET, *rest, "noauth")
                    used = usage.cpu(found[name].pid) - before
                    costs[name].append(used / max(1, done["done"]) * 1e6)
                    failed += done["failed"]
            alone, member = (statistics.median(each) for each in costs.values())
            ratio = statistics.median(
                theirs / own for own, theirs in zip(*costs.values(), strict=True)
            )
            print(
                f"{what}: {alone:.0f} us a session alone, {member:.0f} as one of three: "
                f"{ratio:.2f} x (aim {AIM}), {failed} sessions failed (aim 0): "
                f"{verdict(ratio <= AIM and not failed)}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3)
    options = parsed(parser, rounds=2, seconds=1)
    print(described())
    peers.prepare([])
    measure(options.rounds, options.seconds)


if __name__ == "__main__":
    main()
