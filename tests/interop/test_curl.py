"""
curl, in every version of SOCKS that it speaks, and through a tunnel of HTTP.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable

import pytest

from tests.interop.shared import PASSWORD, USER, Shared, needsSix
from tests.live import raw
from tests.live.servers import Certificate, Destination, Recorder, Web, program
from tests.tools.waiting import until

#: curl's CURLE_PROXY: the handshake with the proxy failed; of HTTP, CURLE_RECV_ERROR.
PROXY_FAILED = {"http": 56}
SOCKS_FAILED = 97

SCHEMES = ["socks4", "socks4a", "socks5", "socks5h", "http"]
#: What the journal calls them: without and with a name.
PROTOCOLS = {
    "socks4": ["socks4"],
    "socks4a": ["socks4", "socks4a"],
    "socks5": ["socks5"],
    "socks5h": ["socks5"],
    "http": ["http"],
}


@pytest.fixture
def curl(
    quiet: dict[str, str], certificate: Certificate
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """C{curl(proxy, url, *options)}; no proxy when it is empty."""
    path = program("curl", "curl")

    def run(proxy: str, url: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = [path, "-sS", "--max-time", "30", "--cacert", str(certificate.file)]
        # Of HTTP a tunnel, for http:// too.
        command += ["--proxytunnel"] if proxy.startswith("http:") else []
        command += ["--proxy", proxy, "--noproxy", "", *options, url]
        return subprocess.run(
            command, env=quiet, capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_withoutLogin(
    shared: Shared,
    web: Callable[..., Web],
    curl: Callable[..., subprocess.CompletedProcess[str]],
    scheme: str,
    host: str,
    secure: bool,
) -> None:
    """
    Names and literals are fetched over HTTP and HTTPS; the name reaches the
    gateway with those schemes that leave the look-up to it.
    """
    server = web("127.0.0.1", secure)
    path = f"/{uuid.uuid4()}"
    url = f"{'https' if secure else 'http'}://{host}:{server.port}{path}"
    done = curl(f"{scheme}://127.0.0.1:{shared.open}", url, "-4")
    assert done.returncode == 0, done.stderr
    assert f"served: {path}" in done.stdout
    assert [p for p, _ in server.seen].count(path) == 1
    line = raw.decision(shared.gateway, server.port)
    remote = scheme in ("socks4a", "socks5h", "http")
    assert line["verdict"] == "allow"
    assert line["name"] == ("localhost" if remote and host == "localhost" else None)
    assert line["protocol"] in PROTOCOLS[scheme]
    if line["name"] is not None:
        assert line["protocol"] == PROTOCOLS[scheme][-1]


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "http"])
def test_rightLogin(
    shared: Shared,
    web: Callable[..., Web],
    curl: Callable[..., subprocess.CompletedProcess[str]],
    scheme: str,
    secure: bool,
) -> None:
    """With the right user and password it works, as that user."""
    server = web("127.0.0.1", secure)
    url = f"{'https' if secure else 'http'}://localhost:{server.port}/login"
    proxy = f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{shared.login}"
    done = curl(proxy, url, "-4")
    assert done.returncode == 0, done.stderr
    assert "served: /login" in done.stdout
    line = raw.decision(shared.gateway, server.port)
    assert (line["user"], line["method"]) == (USER, "userpass")


@pytest.mark.parametrize(
    ("scheme", "who"),
    [
        ("socks5", f"{USER}:wrong@"),
        ("socks5h", f"{USER}:wrong@"),
        ("socks5h", f"mallory:{PASSWORD}@"),
        ("socks5h", f"{USER}:@"),
        ("socks5", ""),
        ("socks5h", ""),
        ("socks4", ""),
        ("socks4a", ""),
        ("socks4a", f"{USER}@"),
        ("http", f"{USER}:wrong@"),
        ("http", f"mallory:{PASSWORD}@"),
        ("http", f"{USER}:@"),
        ("http", ""),
    ],
)
def test_wrongLogin(
    shared: Shared,
    curl: Callable[..., subprocess.CompletedProcess[str]],
    destination: Callable[..., Destination],
    scheme: str,
    who: str,
) -> None:
    """
    With a wrong login, none, or a SOCKS 4 user id (which proves nothing),
    curl is told in the handshake, and nobody is dialled.
    """
    server = destination(Recorder())
    proxy = f"{scheme}://{who}127.0.0.1:{shared.login}"
    done = curl(proxy, f"http://127.0.0.1:{server.port}/")
    assert done.returncode == PROXY_FAILED.get(scheme, SOCKS_FAILED), done.stderr
    assert server.peers == []


@needsSix
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("scheme", ["socks4a", "socks5", "socks5h", "http"])
def test_literalSix(
    shared: Shared,
    web: Callable[..., Web],
    curl: Callable[..., subprocess.CompletedProcess[str]],
    scheme: str,
    secure: bool,
) -> None:
    """
    An IPv6 literal is dialled as that address, in SOCKS 4a too (where it
    stands in the name field).
    """
    server = web("::1", secure)
    url = f"{'https' if secure else 'http'}://[::1]:{server.port}/six"
    done = curl(f"{scheme}://127.0.0.1:{shared.open}", url)
    assert done.returncode == 0, done.stderr
    assert "served: /six" in done.stdout
    line = raw.decision(shared.gateway, server.port)
    assert (line["addresses"], line["name"]) == (["::1"], None)


@needsSix
@pytest.mark.parametrize(
    ("scheme", "host"),
    [
        ("socks4", "127.0.0.1"),
        ("socks4a", "::1"),
        ("socks5", "127.0.0.1"),
        ("socks5", "::1"),
        ("socks5h", "127.0.0.1"),
        ("socks5h", "::1"),
    ],
)
def test_listenerSix(
    shared: Shared,
    web: Callable[..., Web],
    curl: Callable[..., subprocess.CompletedProcess[str]],
    scheme: str,
    host: str,
) -> None:
    """A listener on [::1] serves clients, to either family."""
    server = web(host)
    place = f"[{host}]" if ":" in host else host
    done = curl(
        f"{scheme}://[::1]:{shared.six}", f"http://{place}:{server.port}/from-six"
    )
    assert done.returncode == 0, done.stderr
    assert "served: /from-six" in done.stdout
    line = raw.decision(shared.gateway, server.port)
    assert line["listener"] == "six"
    assert line["client"].startswith("[::1]:")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_denied(
    shared: Shared,
    curl: Callable[..., subprocess.CompletedProcess[str]],
    scheme: str,
) -> None:
    """What the policy denies fails in the handshake."""
    done = curl(f"{scheme}://127.0.0.1:{shared.open}", "http://127.0.0.9:80/")
    assert done.returncode == PROXY_FAILED.get(scheme, SOCKS_FAILED), done.stderr


def test_sameRequestAsWithout(
    shared: Shared,
    curl: Callable[..., subprocess.CompletedProcess[str]],
    destination: Callable[..., Destination],
) -> None:
    """
    To the server it makes no difference, to the last octet, whether curl
    comes by itself or with login through the gateway.
    """
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    recorder = Recorder(answer, expected=1)
    server = destination(recorder)
    url = f"http://127.0.0.1:{server.port}/canary?a=b"
    assert curl("", url).stdout == "ok"
    proxy = f"socks5h://{USER}:{PASSWORD}@127.0.0.1:{shared.login}"
    assert curl(proxy, url).stdout == "ok"
    assert curl(f"socks4a://canary-id@127.0.0.1:{shared.open}", url).stdout == "ok"
    proxy = f"http://{USER}:{PASSWORD}@127.0.0.1:{shared.login}"
    assert curl(proxy, url).stdout == "ok"
    until(lambda: len(recorder.received) == 4)
    alone, withLogin, withUserId, tunnelled = recorder.received
    assert alone.startswith(b"GET /canary?a=b HTTP/1.1\r\n")
    assert alone == withLogin == withUserId == tunnelled
