"""
Programs that mean to get past the gateway, and programs in a network of their own, on
the ground of L{tests.interop.supervised}.

Beside the gateway there is what they must not reach: servers that are one hop away, and
sockets of this host. Everything that these hear is told.
"""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.interop.supervised import (
    FAR,
    GATEWAY,
    SOCKSGW,
    Ground,
    forwarded,
    outlived,
)
from tests.live.netns import servedUDP, within
from tests.live.running import ROOT

__all__ = ["Near", "beside", "isolated"]

PROGRAMS = ROOT / "tests" / "interop" / "programs"
URL = "http://page.example:8080/"
FORBIDDEN = 8081
DIRECT = f"http://{GATEWAY[0]}:{FORBIDDEN}/"
#: No user namespace can be made in a user namespace where that is set.
NO_NAMESPACES = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'


class Near:
    """
    What is near the program, and is no gateway.

    @ivar heard: which of them something has come to.
    """

    def __init__(self, directory: Path) -> None:
        self.heard: list[str] = []
        self._run(directory / "run")
        v6 = socket.AF_INET6
        self._listen("direct", socket.create_server((GATEWAY[0], FORBIDDEN)))
        self._listen("direct", socket.create_server((GATEWAY[1], FORBIDDEN), family=v6))
        # The supervisor itself asks this one.
        self._listen("nscd", self._unix("/run/nscd/socket"))
        resolved = "/run/systemd/resolve/io.systemd.Resolve"
        for each in (resolved, "/run/avahi-daemon/socket", "/run/dbus/socket"):
            self._listen(each, self._unix(each))
        with within("near"):
            self._listen("abstract", self._unix("\0outside"))
            self._listen("loopback", socket.create_server(("127.0.0.1", 8082)))
            self._listen("stub", socket.create_server(("127.0.0.53", 53)))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((GATEWAY[0], 5353))
        servedUDP(datagrams, lambda octets: self._hear("datagram", octets))

    def _run(self, made: Path) -> None:
        """Have a C{/run} of this mount namespace alone."""
        made.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", made], check=True)
        for each in ("netns", "nscd", "systemd/resolve", "avahi-daemon", "dbus"):
            (made / each).mkdir(parents=True)
        for step in (
            ("mount", "--rbind", "/run/netns", f"{made}/netns"),
            # ip-netns(8) shares them: what is unmounted here would be there.
            ("mount", "--make-rprivate", f"{made}/netns"),
            ("mount", "--rbind", f"{made}", "/run"),
            ("umount", "-l", f"{made}"),
        ):
            subprocess.run(step, check=True)

    def _hear(self, what: str, octets: bytes) -> bytes:
        self.heard.append(what)
        return octets

    def _unix(self, path: str) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        if path.startswith("/"):
            Path(path).chmod(0o777)
        return listening

    def _listen(self, what: str, listening: socket.socket) -> None:
        def accept() -> None:
            while True:
                connection, _ = listening.accept()
                # Whoever has come goes on when it is closed.
                if what != "nscd":
                    self._hear(what, b"")
                connection.close()

        threading.Thread(target=accept, daemon=True).start()


def together(
    ground: Ground, commands: dict[str, tuple[str, ...]], *options: str
) -> dict[str, Any]:
    """
    Run several programs one after the other, with one supervisor.

    @param options: of C{socksgw run}.
    @return: by their names what came of each; C{said} is what the supervisor said.
    """
    place = ground.directory / "open" / f"told{''.join(options)}"
    lines = [f"mkdir {place}; cd {place}"]
    for name, command in commands.items():
        line = shlex.join(command)
        lines.append(
            f"{line} >'{name}.out' 2>'{name}.errors'; echo $? >'{name}.status'"
        )
    whole = ground.run(*options, "-v", "sh", "-c", "\n".join(lines))
    assert whole["status"] == 0, whole
    found: dict[str, Any] = {"said": whole["errors"]}
    for name in commands:
        out, errors, status = (
            (place / f"{name}.{what}").read_text()
            for what in ("out", "errors", "status")
        )
        found[name] = {
            "status": int(status),
            "out": out.splitlines(),
            "errors": errors.splitlines(),
        }
    return found


def past(folder: Path) -> dict[str, tuple[str, ...]]:
    """
    Return programs that mean to reach what is near, each by its own means.

    @param folder: has the programs that were built.
    """
    return {
        "past node": ("node", str(PROGRAMS / "reach.js"), "past"),
        "past java": (*_java(folder), "past"),
        "past go": (str(folder / "reach"), "past"),
        "past curl": ("curl", "-sS", DIRECT),
        "past git": ("git", "ls-remote", f"{DIRECT}repository"),
        "past busybox": ("busybox", "wget", "-O", "-", DIRECT),
        "look-up": ("busybox", "nslookup", "page.example", GATEWAY[0]),
    }


def _java(folder: Path) -> tuple[str, ...]:
    return "java", "-Xshare:auto", "-cp", str(folder), "Reach"


def _seen(ground: Ground, near: Near) -> dict[str, Any]:
    """Tell what packets went where, and who heard of it, since this was told last."""
    found = {"seen": ground.seen(), "heard": list(near.heard)}
    near.heard.clear()
    return found


def beside(ground: Ground, near: Near, folder: Path) -> dict[str, Any]:
    """
    Run what means to get past the gateway, in the network of this host.

    @return: C{bare} is what is seen of a program that nobody supervises.
    """
    _seen(ground, near)
    bare = ground.begun("curl", "-sS", "-m", "60", DIRECT)
    bare.communicate()
    found: dict[str, Any] = {"bare": _seen(ground, near)}
    return found | together(ground, past(folder)) | _seen(ground, near)


def isolated(ground: Ground, near: Near, folder: Path) -> dict[str, Any]:
    """
    Run everything with C{--isolate}, and tell what came of it.

    @param folder: has the programs that were built.
    """

    def run(*command: str) -> dict[str, Any]:
        return ground.run("--isolate", *command)

    python = sys.executable
    found = together(
        ground,
        {
            "python": (python, str(PROGRAMS / "reach.py")),
            "node": ("node", str(PROGRAMS / "reach.js")),
            "java": _java(folder),
            "go": (str(folder / "reach"),),
            "musl": (str(folder / "musl"),),
            "busybox": ("busybox", "wget", "-q", "-O", "-", URL),
            "curl": ("curl", "-sS", f"http://[{FAR[socket.AF_INET6]}]:8080/"),
            "git": (
                *("git", "clone", "-q", "http://page.example:8080/repository"),
                f"{ground.directory}/open/isolated",
            ),
            "identity": ("sh", "-c", "id -u; grep CapEff /proc/self/status"),
            "past python": (python, str(PROGRAMS / "past.py")),
            **past(folder),
        },
        "--isolate",
    )
    found |= {
        "tls": run(*ground.login(1444), "-v", python, str(PROGRAMS / "tls.py")),
        "signal": run("sh", "-c", "kill -KILL $$"),
        "missing": run("no-such-program"),
        "forwarded": forwarded(ground, "--isolate"),
        "outlived": outlived(ground, "--isolate"),
    }
    command = ("unshare", "-Ur", "sh", "-c", NO_NAMESPACES, "sh", *SOCKSGW)
    forbidden = ground.begun(*command, "--isolate", "true")
    _, errors = forbidden.communicate(timeout=60)
    found["forbidden"] = [forbidden.returncode, errors.splitlines()]
    nft = subprocess.run(
        ["sh", "-c", "PATH=/usr/sbin:/sbin:$PATH command -v nft"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    subprocess.run(["mount", "--bind", "/dev/null", nft], check=True)
    found["no nft"] = run("true")
    cloned = ground.directory / "open" / "isolated" / "file"
    found["cloned"] = cloned.exists() and cloned.read_text()
    return found | _seen(ground, near)
