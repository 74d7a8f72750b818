"""
What the interoperability tests share: one gateway, a certificate, servers.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.named import CONFIGURATION, NAME
from tests.interop.shared import (
    HAS_SIX,
    PASSWORD,
    SHARED,
    SIX,
    USER,
    Shared,
)
from tests.interop.speaking import NPM
from tests.live.names import KnownNames
from tests.live.registries import FileServer, crates, registries
from tests.live.running import Running, running, socksgw
from tests.live.samba import DomainController
from tests.live.servers import Certificate, Destination, Web, missing, program


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """
    One gateway for all; stopped at the end, when it must have been well.
    """
    directory = tmp_path_factory.mktemp("shared")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    six = (SIX, ', "six"') if HAS_SIX else ("", "")
    for gateway in running(directory, SHARED % six):
        yield Shared(gateway)


@pytest.fixture(scope="session")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DomainController]:
    """
    One domain controller for all tests that leave its accounts as they were.
    """
    with DomainController(tmp_path_factory.mktemp("domain") / "dc1") as serving:
        yield serving


@pytest.fixture(scope="session")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The gateway that alone can look up the site's name."""
    directory = tmp_path_factory.mktemp("named")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    with KnownNames({NAME: "127.0.0.1"}) as names:
        yield from running(directory, CONFIGURATION % names.port)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """The site: packages and a repository, over HTTP."""
    folder = tmp_path_factory.mktemp("site")
    registries(folder)
    with FileServer(folder) as server:
        crates(folder, f"http://{NAME}:{server.port}")
        yield server


@pytest.fixture(scope="session")
def npm(pytestconfig: pytest.Config) -> Path:
    """The folder of what npm's registry has, kept from run to run."""
    folder = pytestconfig.cache.mkdir("-".join(NPM).replace("@", "-"))
    if not (folder / "installed").exists():
        command = [program("npm", "npm"), "install", "--prefix", str(folder)]
        command += ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", *NPM]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        except subprocess.SubprocessError as e:
            missing(f"{', '.join(NPM)} from npm's registry: {e}")
        (folder / "installed").touch()
    return folder


@pytest.fixture(scope="session")
def web(certificate: Certificate) -> Iterator[Callable[..., Web]]:
    """
    C{web(host, secure)}: the HTTP or HTTPS server on that address.
    """
    servers: dict[tuple[str, bool], Web] = {}
    with ExitStack() as stack:

        def at(host: str = "127.0.0.1", secure: bool = False) -> Web:
            if (host, secure) not in servers:
                tls = certificate.server() if secure else None
                servers[host, secure] = stack.enter_context(Web(host, tls))
            return servers[host, secure]

        yield at


@pytest.fixture
def destination() -> Iterator[Callable[..., Destination]]:
    """
    C{destination(serve, host)}: a server of one's own, for one test.
    """
    with ExitStack() as stack:

        def start(*arguments: Any) -> Destination:
            return stack.enter_context(Destination(*arguments))

        yield start


@pytest.fixture
def quiet(tmp_path: Path) -> dict[str, str]:
    """
    An environment in which no client finds settings of its own.
    """
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
    }
