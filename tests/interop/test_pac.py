"""
The program for browsers, served by a real gateway, and a browser that runs it.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.live import raw
from tests.live.browser import headless
from tests.live.names import KnownNames
from tests.live.running import Running, running
from tests.live.servers import Web, freePort
from tests.tools.waiting import until

CONFIGURATION = """
[resolver]
servers = ["127.0.0.1:{names}"]
[[listen]]
name = "browsers"
address = ["127.0.0.1:{port}"]
protocols = ["http"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "site"
allow = ["connect"]
to = ["*.site.test"]
resolving_to = ["127.0.0.1"]
[never]
except = ["127.0.0.1"]
[pac]
address = ["127.0.0.1:{pac}"]
"""


class Served:
    """
    A gateway that serves the program.

    @ivar port: where browsers come to.
    @ivar pac: where the program is.
    @ivar text: the configuration.
    """

    def __init__(self, names: int) -> None:
        self.port, self.pac = (freePort(kind=socket.SOCK_STREAM) for _ in range(2))
        self.text = CONFIGURATION.format(names=names, port=self.port, pac=self.pac)
        self.running: Running

    def get(
        self, path: str = "/proxy.pac", host: str = "", **fields: str
    ) -> tuple[int, str, dict[str, str]]:
        """Ask for something, by a name of the gateway."""
        connection = http.client.HTTPConnection("127.0.0.1", self.pac, timeout=20)
        try:
            connection.request(
                "GET", path, headers={"Host": host or "gw.corp.example", **fields}
            )
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), dict(answer.getheaders())
        finally:
            connection.close()

    def change(self, text: str) -> None:
        """Reload with another configuration."""
        before = len(self.running.journal("reloaded"))
        (self.running.directory / "gw.toml").write_text(text)
        self.running.process.send_signal(signal.SIGHUP)
        until(lambda: len(self.running.journal("reloaded")) > before, 20)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One gateway for all."""
    with KnownNames({"www.site.test": "127.0.0.1"}) as names:
        directory = tmp_path_factory.mktemp("pac")
        made = Served(names.port)
        for gateway in running(directory, made.text):
            made.running = gateway
            yield made


def test_served(served: Served) -> None:
    """It names the gateway as the browser does, by both paths."""
    status, text, fields = served.get()
    assert status == 200
    assert f'PROXY = "PROXY gw.corp.example:{served.port}"' in text
    assert '"site.test"' in text
    assert fields["Content-Type"] == "application/x-ns-proxy-autoconfig"
    assert served.get("/wpad.dat")[1] == text
    six = served.get(host="[2001:db8::2]:8080")[1]
    assert f'PROXY = "PROXY [2001:db8::2]:{served.port}"' in six
    # It is asked for again, and has not changed.
    again = served.get(**{"If-None-Match": fields["ETag"]})
    assert again[:2] == (304, "")


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/", "gw", 404),
        ("/proxy.pac/more", "gw", 404),
        ("/proxy.pac", "gw;alert(1)", 400),
        ("/proxy.pac", 'gw"', 400),
        ("/proxy.pac", "<gw>", 400),
    ],
)
def test_refused(served: Served, path: str, host: str, status: int) -> None:
    """Nothing else is served, and no host that is none gets into the program."""
    found, text, _ = served.get(path, host)
    assert found == status
    assert host not in text or len(host) < 3


def test_oneRequest(served: Served) -> None:
    """What is sent behind a request is not answered: unread answers would pile up."""
    with raw.dial(served.pac) as client:
        client.sendall(b"GET /proxy.pac HTTP/1.1\r\nHost: gw\r\n\r\n" * 100)
        assert client.makefile("rb").read().count(b"HTTP/1.1 200") == 1


def test_content(served: Served) -> None:
    """Content is stored nowhere: not in a file that is as long as a client likes."""
    with raw.dial(served.pac) as client:
        client.sendall(
            b"POST /proxy.pac HTTP/1.1\r\nHost: gw\r\nContent-Length: 300000\r\n\r\n"
        )
        client.sendall(bytes(200_000))
        assert served.get()[0] == 200
        names = []
        for each in Path(f"/proc/{served.running.process.pid}/fd").iterdir():
            # The connections of others close meanwhile.
            with suppress(FileNotFoundError):
                names.append(os.readlink(each))
        assert names
        assert not [each for each in names if "(deleted)" in each]
        client.sendall(bytes(100_000))
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 405")


def test_aBrowserComesForWhatIsServed(
    served: Served, quiet: dict[str, str], tmp_path: Path
) -> None:
    """A name that a rule allows goes to the gateway, and another does not."""
    command = [*headless(tmp_path), "--dump-dom"]
    command += [f"--proxy-pac-url=http://127.0.0.1:{served.pac}/proxy.pac"]

    def browse(url: str) -> str:
        return subprocess.run(
            [*command, url],
            env=quiet,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout

    with Web("127.0.0.1") as web:
        # The gateway's name server alone knows it.
        page = browse(f"http://www.site.test:{web.port}/browser")
        assert "served: /browser" in page
        line = raw.decision(served.running, web.port)
        assert (line["asked"], line["verdict"]) == ("www.site.test", "allow")
        before = len(served.running.journal("decision"))
        assert "served" not in browse(f"http://www.other.test:{web.port}/browser")
    asked = [line["asked"] for line in served.running.journal("decision")[before:]]
    assert "www.other.test" not in asked


def test_reload(served: Served) -> None:
    """It follows the rules, the name, and its own table."""
    served.change(served.text.replace("*.site.test", "*.else.test"))
    assert '"else.test"' in served.get()[1]
    served.change(f'{served.text}host = "proxy.corp.example"\n')
    assert "PROXY proxy.corp.example:" in served.get()[1]
    served.change(served.text.partition("[pac]")[0])
    with pytest.raises(ConnectionRefusedError):
        served.get()
    served.change(served.text)
    assert served.get()[0] == 200
