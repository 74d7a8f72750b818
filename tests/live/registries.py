"""
What programs fetch over HTTP: a package of Debian's, of Python's and of Node's kind, and
a repository of git's, in one folder that a web server shows.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext
from typing import Any
from zipfile import ZipFile

from tests.live.servers import PATIENCE, program

__all__ = ["FileServer", "aptSettings", "crates", "registries"]

#: The name of each package.
NAME = "thing"


class _Files(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def send_head(self) -> Any:
        """Note the path, and answer as a server of files does."""
        self.server.seen.append(self.path)
        return super().send_head()

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


class FileServer(ThreadingHTTPServer):
    """
    An HTTP server, or an HTTPS one, that shows a folder. Use it as a context.

    @ivar port: where it listens, on 127.0.0.1.
    @ivar seen: the paths that were asked for.
    """

    daemon_threads = True

    def __init__(self, folder: Path, tls: SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
        self._tls = tls
        self.port: int = self.server_address[1]
        self.seen: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the request's own thread: TLS first, where it is spoken."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)
            with suppress(OSError):
                secured.unwrap()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join(PATIENCE)
        self.server_close()


def registries(folder: Path) -> None:
    """
    Make the packages and the repository.

    C{apt/} is a flat repository, C{simple/} an index (PEP 503), C{npm/} a
    registry, and C{thing.git/} a repository for the protocol without a server
    program.

    @param folder: exists.
    """
    _apt(folder / "apt")
    _pip(folder / "simple" / NAME)
    _npm(folder)
    _git(folder)


def crates(folder: Path, url: str) -> None:
    """
    Make a registry of Rust's kind: its index at C{cargo/}, and what C{cargo search} asks.

    @param folder: what a web server shows.
    @param url: of that server, as clients call it.
    """
    (folder / "cargo").mkdir()
    about = {"dl": f"{url}/crates", "api": url}
    (folder / "cargo" / "config.json").write_text(json.dumps(about))
    found = {"name": NAME, "max_version": "1.0.0", "description": "the latest"}
    (folder / "api" / "v1").mkdir(parents=True)
    (folder / "api" / "v1" / "crates").write_text(
        json.dumps({"crates": [found], "meta": {"total": 1}})
    )


def _apt(folder: Path) -> None:
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {NAME}\nVersion: 1.0\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@example.test>\nDescription: a thing\n"
    )
    command = [program("dpkg-deb", "dpkg"), "--build", "--root-owner-group"]
    made = folder / f"{NAME}_1.0_all.deb"
    subprocess.run(
        [*command, str(tree), str(made)], check=True, capture_output=True, timeout=60
    )
    octets = made.read_bytes()
    control = (tree / "DEBIAN" / "control").read_text()
    (folder / "Packages").write_text(
        f"{control}Filename: ./{made.name}\nSize: {len(octets)}\n"
        f"SHA256: {hashlib.sha256(octets).hexdigest()}\n\n"
    )


def _pip(folder: Path) -> None:
    folder.mkdir(parents=True)
    wheel = f"{NAME}-1.0-py3-none-any.whl"
    about = f"{NAME}-1.0.dist-info"
    with ZipFile(folder / wheel, "w") as archive:
        archive.writestr(f"{NAME}.py", "")
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{about}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        )
        archive.writestr(f"{about}/RECORD", "")
    (folder / "index.html").write_text(f'<!DOCTYPE html><a href="{wheel}">{wheel}</a>')


def _npm(folder: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        text = json.dumps({"name": NAME, "version": "1.0.0"}).encode()
        member = tarfile.TarInfo("package/package.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    octets = packed.getvalue()
    (folder / "npm").mkdir()
    (folder / "npm" / f"{NAME}-1.0.0.tgz").write_bytes(octets)
    (folder / "npm" / NAME).write_text(
        json.dumps(
            {
                "name": NAME,
                "dist-tags": {"latest": "1.0.0"},
                "versions": {
                    "1.0.0": {
                        "name": NAME,
                        "version": "1.0.0",
                        "dist": {
                            # npm replaces the registry's own name by the one it asked.
                            "tarball": f"http://registry.npmjs.org/{NAME}-1.0.0.tgz",
                            "shasum": hashlib.sha1(octets).hexdigest(),
                        },
                    }
                },
            }
        )
    )


def _git(folder: Path) -> None:
    git = program("git", "git")
    work = folder / "work"
    run = partial(subprocess.run, check=True, capture_output=True, timeout=60)
    run([git, "init", "-q", "-b", "main", str(work)])
    (work / "file").write_text("kept\n")
    who = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.test"]
    run([git, "-C", str(work), "add", "file"])
    run([git, "-C", str(work), *who, "commit", "-q", "-m", "Begin"])
    bare = folder / f"{NAME}.git"
    run([git, "clone", "-q", "--bare", str(work), str(bare)])
    run([git, "-C", str(bare), "update-server-info"])


def aptSettings(home: Path, url: str) -> str:
    """
    Make the folders and the settings with which apt knows one repository alone.

    @param home: where it has everything.
    @param url: of the repository.
    @return: the lines of its configuration, without a proxy.
    """
    for folder in ("lists/partial", "cache/archives/partial", "preferences.d"):
        (home / folder).mkdir(parents=True)
    (home / "sources").write_text(f"deb [trusted=yes] {url} ./\n")
    return f"""
        Dir "{home}";
        Dir::State "{home}";
        Dir::State::status "/dev/null";
        Dir::Cache "{home}/cache";
        Dir::Etc "{home}";
        Dir::Etc::sourcelist "{home}/sources";
        Dir::Etc::sourceparts "/dev/null";
        Dir::Etc::parts "/dev/null";
        Dir::Etc::trustedparts "/dev/null";
        APT::Sandbox::User "root";
        Acquire::Languages "none";
        """
