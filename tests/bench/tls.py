"""
TLS sessions of the gateway against HAProxy terminating the same TLS, in turns, the
CPU of the whole process trees: seconds for each GiB, beside HAProxy in front of Dante;
microseconds for each session, beside HAProxy in front of microsocks.

A part of C{make bench}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.machine import described, parsed
from tests.bench.peers import (
    CONFIGURATION,
    LOAD,
    TWISTD,
    listening,
    prepare,
    startDante,
    startMicrosocks,
)
from tests.bench.usage import cpu

#: From a port, the next one, and a directory to commands.
Make = Callable[[int, Path], list[list[str]]]

GREETING = b"\x05\x01\x00"
#: Of a GiB, and of a session.
AIM, SESSION = 1.2, 1.3
#: A session with a whole handshake, and with one that resumes the last one.
HANDSHAKES = ("new", "resumed")


def certificate(directory: Path) -> Path:
    """One file with all that HAProxy wants."""
    both, key, file = (directory / n for n in ("both.pem", "key.pem", "cert.pem"))
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"]
    command += ["-keyout", str(key), "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    both.touch(0o600)
    both.write_bytes(key.read_bytes() + file.read_bytes())
    return both


@contextmanager
def started(directory: Path, *commands: Sequence[str]) -> Iterator[list[int]]:
    """Processes that run, by their numbers."""
    with ExitStack() as stack:
        log = stack.enter_context((directory / "log").open("ab"))
        numbers = []
        for command in commands:
            process = subprocess.Popen(
                command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
            numbers.append(process.pid)
        yield numbers


def ours(port: int, directory: Path) -> list[list[str]]:
    text = CONFIGURATION.format(port=port).replace(
        "[auth]\n", f'[listen.tls]\ncertificate = "{directory}/both.pem"\n[auth]\n'
    )
    text = text.replace('checkers = ["passwd:users"]\n', "")
    text = text.replace(', "userpass"', "")
    (directory / "gw.toml").write_text(text)
    config = str(directory / "gw.toml")
    return [[str(TWISTD), "-n", "--pidfile=", "socksgw", "--quiet", "--config", config]]


def theirs(
    port: int, directory: Path, behind: Callable[[int, Path], list[str]] = startDante
) -> list[list[str]]:
    (directory / "haproxy.cfg").write_text(
        f"""
global
    nbthread 1
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen tls
    bind 127.0.0.1:{port} ssl crt {directory}/both.pem ssl-min-ver TLSv1.2
    server socks 127.0.0.1:{port + 1}
"""
    )
    return [
        ["haproxy", "-db", "-f", f"{directory}/haproxy.cfg"],
        behind(port + 1, directory),
    ]


def lean(port: int, directory: Path) -> list[list[str]]:
    return theirs(port, directory, startMicrosocks)


def sessions(how: str, port: int, target: int, number: int) -> None:
    """So many sessions, one after the other: 64 octets there and back."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    before = None
    for _ in range(number):
        plain = socket.create_connection(("127.0.0.1", port), 30)
        with context.wrap_socket(plain, session=before) as client:
            client.sendall(GREETING)
            assert client.recv(2) == b"\x05\x00"
            request = b"\x05\x01\x00\x01\x7f\x00\x00\x01"
            client.sendall(request + target.to_bytes(2, "big"))
            assert client.recv(10)[:2] == b"\x05\x00"
            client.sendall(b"E" + bytes(64))
            left = 64
            while left:
                left -= len(client.recv(left))
            if how == "resumed":
                assert client.session_reused == (before is not None)
                before = client.session


def transfer(way: str, port: int, target: int, octets: int) -> None:
    """One stream, in a process of its own: C{--stream}."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), 30)
    client = context.wrap_socket(plain)
    client.sendall(GREETING)
    assert client.recv(2) == b"\x05\x00"
    client.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + target.to_bytes(2, "big"))
    assert client.recv(10)[:2] == b"\x05\x00"
    if way == "down":
        client.sendall(b"S" + octets.to_bytes(8, "big"))
        buffer = bytearray(1 << 18)
        left = octets
        while left:
            came = client.recv_into(buffer)
            assert came, f"{left} octets are missing"
            left -= came
    else:
        chunk = bytes(1 << 17)
        client.sendall(b"D")
        for _ in range(octets // len(chunk)):
            client.sendall(chunk)
    try:
        client.unwrap()
    except ssl.SSLError:
        # An upload is answered, and Python knows no half-close in TLS.
        assert way == "up"
    plain.close()


def perSession(
    make: Make, port: int, target: int, directory: Path, options: argparse.Namespace
) -> dict[str, float]:
    """Microseconds of CPU for a session, by its handshake."""
    found = {}
    with started(directory, *make(port, directory)) as numbers:
        for offset in range(len(numbers)):
            if not listening(port + offset):
                sys.exit((directory / "log").read_text()[-500:])
        for how in HANDSHAKES:
            command = [sys.executable, __file__, "--session", how, str(port)]
            command.append(str(target))
            # What is imported, and cached, at first does not count.
            subprocess.run([*command, "20"], check=True)
            before = sum(map(cpu, numbers))
            subprocess.run([*command, str(options.sessions)], check=True)
            used = sum(map(cpu, numbers)) - before
            found[how] = used / options.sessions * 1e6
    return found


def measured(
    make: Make,
    way: str,
    port: int,
    target: int,
    directory: Path,
    options: argparse.Namespace,
) -> dict[int, float]:
    """Seconds of CPU for each GiB, by the number of streams."""
    found = {}
    with started(directory, *make(port, directory)) as numbers:
        for offset in range(len(numbers)):
            if not listening(port + offset):
                sys.exit((directory / "log").read_text()[-500:])
        for streams in (1, 8):
            size = options.bytes // streams
            before = sum(map(cpu, numbers))
            command = [sys.executable, __file__, "--stream", way, str(port)]
            command += [str(target), str(size)]
            clients = [subprocess.Popen(command) for _ in range(streams)]
            if any(client.wait(60) for client in clients):
                sys.exit("a transfer failed")
            used = sum(map(cpu, numbers)) - before
            found[streams] = used / (size * streams / 2**30)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sessions", type=int, default=300, help="of each handshake")
    parser.add_argument("--bytes", type=int, default=1 << 29, help="for each transfer")
    parser.add_argument("--ways", default="down", help="down, up or down,up")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--stream", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--session", nargs=4, help=argparse.SUPPRESS)
    options = parsed(parser, rounds=2, sessions=50, bytes=1 << 27)
    if options.session:
        how, *numbers = options.session
        sessions(how, *map(int, numbers))
        return
    if options.stream:
        way, *numbers = options.stream
        transfer(way, *map(int, numbers))
        return
    prepare(["socksgw", "dante", "microsocks"])
    if shutil.which("haproxy") is None:
        sys.exit("haproxy is missing: apt-get install haproxy")
    print(described())
    results: dict[str, dict[str, list[float]]] = {}
    perSessions: dict[str, dict[str, list[float]]] = {}
    directory = Path(tempfile.mkdtemp(prefix="bench-tls-"))
    port, target = 11300, 9890
    try:
        certificate(directory)
        with started(directory, [str(LOAD), "target", str(target)]):
            listening(target)
            for _ in range(options.rounds):
                for way in options.ways.split(","):
                    for name, make in (("socksgw", ours), ("haproxy+dante", theirs)):
                        port += 2
                        figures = measured(make, way, port, target, directory, options)
                        for streams, used in figures.items():
                            row = results.setdefault(f"{way} {streams}", {})
                            row.setdefault(name, []).append(used)
                for name, make in (("socksgw", ours), ("haproxy+microsocks", lean)):
                    port += 2
                    each = perSession(make, port, target, directory, options)
                    for how, used in each.items():
                        row = perSessions.setdefault(how, {})
                        row.setdefault(name, []).append(used)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    tell("CPU s GiB", results, AIM)
    tell("CPU us a TLS session", perSessions, SESSION)
    if options.json:
        Path(options.json).write_text(json.dumps([results, perSessions], indent=1))


def tell(what: str, results: dict[str, dict[str, list[float]]], aim: float) -> None:
    """Print medians, and what is aimed at."""
    for label, byName in results.items():
        one, other = (statistics.median(values) for values in byName.values())
        _, peer = byName
        word = "ok" if one <= aim * other else "NOT REACHED"
        print(
            f"{label:<8} {what}: socksgw {one:.2f}, {peer} {other:.2f}: "
            f"{one / other:.2f} x (aim {aim}): {word}"
        )


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
