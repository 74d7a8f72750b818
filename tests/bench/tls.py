"""
TLS sessions of the gateway against HAProxy terminating the same TLS in front
of Dante, in turns: seconds of CPU for each GiB, the whole process trees.

Takes about half a minute; a part of C{make bench}.
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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.run import (
    CONFIGURATION,
    LOAD,
    TWISTD,
    cpu,
    listening,
    prepare,
    startDante,
)

GREETING = b"\x05\x01\x00"
AIM = 1.2


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


def theirs(port: int, directory: Path) -> list[list[str]]:
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
    server dante 127.0.0.1:{port + 1}
"""
    )
    return [
        ["haproxy", "-db", "-f", f"{directory}/haproxy.cfg"],
        startDante(port + 1, directory),
    ]


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


def measured(
    make: object, way: str, port: int, target: int, directory: Path, options: object
) -> dict[int, float]:
    """Seconds of CPU for each GiB, by the number of streams."""
    found = {}
    with started(directory, *make(port, directory)) as numbers:  # type: ignore[operator]
        for offset in range(len(numbers)):
            if not listening(port + offset):
                sys.exit((directory / "log").read_text()[-500:])
        for streams in (1, 8):
            size = options.bytes // streams  # type: ignore[attr-defined]
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
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--bytes", type=int, default=1 << 29, help="for each transfer")
    parser.add_argument("--ways", default="down", help="down, up or down,up")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--stream", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stream:
        way, *numbers = options.stream
        transfer(way, *map(int, numbers))
        return
    prepare(["socksgw", "dante"])
    if shutil.which("haproxy") is None:
        sys.exit("haproxy is missing: apt-get install haproxy")
    results: dict[str, dict[str, list[float]]] = {}
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
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    for label, byName in results.items():
        one, other = (statistics.median(values) for values in byName.values())
        word = "ok" if one <= AIM * other else "NOT REACHED"
        print(
            f"{label:<8} CPU s GiB: socksgw {one:.2f}, haproxy+dante {other:.2f}: "
            f"{one / other:.2f} x (aim {AIM}): {word}"
        )
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
