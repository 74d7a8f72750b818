"""
For how long others wait, as a client sees it: while ten thousand rules are read again
with nine thousand sessions open, and while a file of a hundred thousand users changes.

A client connects, and is greeted, again and again; another one logs in; a third one
asks for echoes all the time in a session that stays. The longest that each has waited is
told beside the longest without a change: the median of all rounds, and the worst of
them, which are both held to the aim. A part of C{make bench}.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench import peers, policy
from tests.bench.aims import verdict
from tests.bench.machine import described, parsed
from tests.live import raw

PORT, TARGET = 990, 980
#: Milliseconds that anybody may wait for a reload.
AIM: Final = 50

HEAD: Final = f"""
[[listen]]
name = "lan"
address = ["127.0.0.1:{PORT}"]
half_open = 20000
half_open_per_source = 20000
[services]
web = ["tcp/80", "tcp/443"]
[groups]
engineers = ["alice"]
contractors = ["bob"]
monitoring = ["nms"]
"""
TAIL: Final = """
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none", "userpass"]
[never]
except = ["127.0.0.0/8"]
[[limit]]
per = "source"
sessions = 50000
[[rule]]
id = "bench"
allow = ["connect"]
to = ["127.0.0.0/8"]
"""
#: Changes something, now.
Change = Callable[[], object]

LOGIN: Final = b"\x01\x05user1\x04pass"
ECHO: Final = b"x" * 64


class Asking:
    """
    A client that asks again and again.

    @ivar waits: when it asked, and how long it waited, in seconds.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        """
        Begin.

        @param ask: asks once, and returns when the answer is there.
        """
        self.waits: list[tuple[float, float]] = []
        self._ask = ask
        self._over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over:
            began = time.monotonic()
            self._ask()
            self.waits.append((began, time.monotonic() - began))
            time.sleep(0.002)

    def longest(self, since: float, until: float) -> float:
        """
        Return the longest wait that began then, in milliseconds.

        @raise ValueError: none did: the client has failed.
        """
        return max(wait for at, wait in self.waits if since <= at < until) * 1e3

    def end(self) -> None:
        """Ask no more."""
        self._over = True
        self._thread.join()


def greeted(login: bool = False) -> None:
    """Connect, and have the method chosen; and log in, where that is asked for."""
    with socket.create_connection(("127.0.0.1", PORT), 30) as client:
        client.sendall(b"\x05\x01\x02" if login else b"\x05\x01\0")
        assert client.recv(2)[:1] == b"\x05"
        if login:
            client.sendall(LOGIN)
            assert client.recv(2) == b"\x01\0", "the login is refused"


@contextmanager
def session() -> Iterator[Callable[[], None]]:
    """A session that stays, as what asks it for an echo."""
    with socket.create_connection(("127.0.0.1", PORT), 30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(b"\x05\x01\0")
        assert raw.exactly(client, 2) == b"\x05\0"
        client.sendall(raw.request5("127.0.0.1", TARGET))
        assert raw.reply5(client)[0] == 0
        # The target echoes what is behind this letter.
        client.sendall(b"E")

        def ask() -> None:
            client.sendall(ECHO)
            assert raw.exactly(client, len(ECHO)) == ECHO

        yield ask


@contextmanager
def serving(directory: Path, text: str) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway, and what its sessions lead to."""
    file = directory / "gw.toml"
    file.write_text(text)
    command = [str(peers.TWISTD), "-n", "--pidfile=", "socksgw", "--quiet"]
    with (directory / "log").open("wb") as log:
        target = subprocess.Popen([peers.LOAD, "target", str(TARGET)])
        gateway = subprocess.Popen(
            [*command, "--config", str(file)], cwd=directory, stdout=log, stderr=log
        )
    try:
        if not peers.listening(PORT, 120):
            sys.exit((directory / "log").read_text()[-500:])
        yield gateway
    finally:
        for each in (gateway, target):
            each.kill()
            each.wait()


@contextmanager
def held(sessions: int) -> Iterator[None]:
    """Sessions that are open."""
    command = [str(peers.LOAD), "idle", str(PORT), str(TARGET), str(sessions), "noauth"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holding:
        assert holding.stdin is not None
        assert holding.stdout is not None
        print("held:", holding.stdout.readline().strip(), file=sys.stderr)
        yield
        holding.stdin.close()


def measure(
    what: str, prepare: Callable[[int], Change], rounds: int, seconds: float
) -> None:
    """
    Change something again and again, and print how long others waited.

    @param prepare: makes a change ready, which is made when others are watched.
    @param seconds: after a change, until all is done that comes of it.
    """
    with ExitStack() as stack:
        kinds = {
            "greeted": greeted,
            "login": lambda: greeted(True),
            "echo": stack.enter_context(session()),
        }
        askings = {word: Asking(ask) for word, ask in kinds.items()}
        for each in askings.values():
            stack.callback(each.end)
        time.sleep(2)
        began = time.monotonic()
        time.sleep(seconds)
        usual = {x: y.longest(began, time.monotonic()) for x, y in askings.items()}
        found: dict[str, list[float]] = {word: [] for word in askings}
        for number in range(rounds):
            change = prepare(number)
            began = time.monotonic()
            change()
            time.sleep(seconds)
            for word, each in askings.items():
                found[word].append(each.longest(began, time.monotonic()))
    for word, waits in found.items():
        middle, worst = statistics.median(waits), max(waits)
        print(
            f"{what}: longest wait of a client ({word}): {middle:.0f} ms (median of "
            f"{rounds}), {worst:.0f} ms (worst of them; {usual[word]:.0f} without a "
            f"change; aim {AIM} for both): {verdict(worst <= AIM)}",
            flush=True,
        )


def users(number: int, directory: Path, others: Sequence[str] = ()) -> Change:
    """Return what writes a file of users: one more each time."""
    known = peers.stormUsers().partition(":")[2].partition("\n")[0]
    names = (*(f"user{each}" for each in range(number)), *others)
    lines = (f"{name}:{known}\n" for name in names)
    new = directory / "users.new"
    new.touch(0o600)
    new.write_text("".join(lines) + f"new{time.monotonic_ns()}:{known}\n")
    return lambda: new.rename(directory / "users")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rules", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, default=9000)
    parser.add_argument("--only", choices=["rules", "users", "list"])
    parser.add_argument("--users", type=int, default=100_000)
    options = parsed(parser, rounds=2, rules=1000, sessions=300, users=10_000)
    peers.prepare(["socksgw"])
    print(described())
    for name, what in (("rules", rules), ("users", passwords), ("list", blocked)):
        if options.only in (None, name):
            what(options)


def rules(options: argparse.Namespace) -> None:
    """Many rules are read again, with many sessions."""
    policy.RULES, policy.LISTS = options.rules, options.rules * 10
    body = "".join(policy.spread())
    networks = f"{policy.TEAMS}[networks]\n{policy.NETWORKS}"
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        # All whom the groups name: nobody is warned of.
        users(500, directory, ("alice", "bob", "nms"))()
        text = HEAD + networks + body + TAIL
        with serving(directory, text) as gateway, held(options.sessions):

            def reload(number: int) -> Change:
                first = (
                    f'[[rule]]\nid = "first"\ndeny = "any"\nports = [{number + 1}]\n'
                )
                changed = HEAD + networks + first + body + TAIL
                (directory / "gw.toml").write_text(changed)
                return lambda: os.kill(gateway.pid, signal.SIGHUP)

            title = f"reload of {options.rules} rules, {options.sessions} sessions"
            measure(title, reload, options.rounds, 2 + options.rules / 1000)


def passwords(options: argparse.Namespace) -> None:
    """A large file of users changes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        users(options.users, directory)()

        def replaced(_: int) -> Change:
            return users(options.users, directory)

        with serving(directory, HEAD + TAIL):
            title = f"a file of {options.users} users changes"
            measure(title, replaced, options.rounds, 4)


def blocked(options: argparse.Namespace) -> None:
    """A long list of networks and names changes."""
    lists = '[networks]\nblocked = { file = "blocked.txt" }\n'
    deny = '[[rule]]\nid = "blocked"\ndeny = "any"\nto = ["blocked"]\n'
    half = options.users // 2
    words = [*policy.networks(half), *policy.patterns(half)]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        users(500, directory)()

        def replaced(number: int) -> Change:
            new = directory / "blocked.new"
            new.write_text("\n".join([*words, f"=new{number}.example"]))
            return lambda: new.rename(directory / "blocked.txt")

        replaced(-1)()
        with serving(directory, HEAD + lists + deny + TAIL), held(options.sessions):
            title = f"a list of {options.users} networks and names changes"
            measure(title, replaced, options.rounds, 8)


if __name__ == "__main__":
    main()
