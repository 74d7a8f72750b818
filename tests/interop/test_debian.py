"""
The Debian package, in a Debian of its own under a real systemd.

SUITE names another Debian than 12.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import raw
from tests.live.netns import within
from tests.live.origin import answer
from tests.live.packages import cleanRoot, debianPackage, higher
from tests.live.restarts import Crowd
from tests.live.servers import Destination, echo, program
from tests.live.systemd import Systemd, booted
from tests.tools.waiting import until

SUITE = os.environ.get("SUITE", "bookworm")
FILE = "/etc/socksgw/gateway.toml"
#: What an administrator adds, so that the tests' servers are reached.
CHANGED = '\n[never]\nexcept = ["127.0.0.0/8"]\n'
UNIT = "socksgw.service"


class Machine:
    """
    A machine on which the package is installed.

    @ivar systemd: what runs there.
    @ivar port: where clients come.
    """

    port = 1080

    def __init__(self, systemd: Systemd) -> None:
        self.systemd = systemd

    def dpkg(self, *words: str) -> str:
        """Run dpkg there, which asks nobody, and return what it says."""
        done = self.systemd.run(
            "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "dpkg", *words,
            seconds=600,
        )  # fmt: skip
        return done.stdout + done.stderr

    def has(self, path: str) -> bool:
        """Return whether there is such a file or directory."""
        return (self.systemd.root / path.lstrip("/")).exists()

    def run(self, *command: str, status: int | None = 0) -> str:
        done = self.systemd.run(*command, status=status)
        return done.stdout + done.stderr

    def pid(self) -> str:
        return self.systemd.shown(UNIT, "MainPID")

    def active(self) -> str:
        return self.systemd.shown(UNIT, "ActiveState")

    def session(self, port: int) -> socket.socket:
        """Return a client's connection through the gateway."""
        with within(self.systemd.network):
            client = raw.dial(self.port)
        return raw.through(client, "127.0.0.1", port)


def web(connection: socket.socket) -> None:
    """Answer one request."""
    connection.recv(65536)
    connection.sendall(answer(b"served"))


def said(client: socket.socket) -> bytes:
    """Say something, and return the answer."""
    client.sendall(b"hello")
    return raw.exactly(client, 5)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return debianPackage(SUITE, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def machine(
    package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A Debian that has no package of ours yet; of two versions it has the files."""
    directory = tmp_path_factory.mktemp("machine")
    root = directory / "root"
    root.mkdir()
    subprocess.run(["tar", "-C", str(root), "-xf", str(cleanRoot(SUITE))], check=True)
    with booted(directory, root) as systemd:
        shutil.copy(package, systemd.root / "root" / "one.deb")
        newer = higher(package, tmp_path_factory.mktemp("higher"))
        shutil.move(newer, systemd.root / "root" / "two.deb")
        yield Machine(systemd)


def installed(machine: Machine) -> None:
    """See to it that the first version runs, as it is installed."""
    machine.dpkg("--purge", "socksgw")
    machine.dpkg("-i", "/root/one.deb")
    until(lambda: machine.active() == "active", 60)


def opened(machine: Machine) -> None:
    """Have the administrator's change be in force, too."""
    installed(machine)
    with (machine.systemd.root / FILE[1:]).open("a") as file:
        file.write(CHANGED)
    machine.run("systemctl", "reload", "socksgw")


def test_installed(machine: Machine) -> None:
    """It runs as its user, with a configuration that is good, and serves curl."""
    installed(machine)
    assert machine.run("systemctl", "is-enabled", UNIT) == "enabled\n"
    assert machine.run("stat", "-c%U", f"/proc/{machine.pid()}") == "socksgw\n"
    checked = machine.run("socksgw", "check", "--strict", FILE)
    assert f"{FILE}: is good" in checked
    assert machine.run("systemd-analyze", "verify", UNIT) == ""
    assert machine.run("socksgw", "plugins")
    version = machine.run("socksgw", "--version")
    assert version.startswith("socksgw 0.1.0, commit 0123456789ab, not compiled\n")
    machine.run("sh", "-c", "echo secret | socksgw passwd /etc/socksgw/users alice")
    assert machine.run("stat", "-c%U %a", "/etc/socksgw/users") == "socksgw 600\n"
    for page in ("socksgw", "socksgw.toml"):
        assert "socksgw" in machine.run("man", "-w", page)
    with within(machine.systemd.network):
        server = Destination(web)
    with server:
        url = f"http://127.0.0.1:{server.port}"
        curl = ["curl", "-sS", "-x", "socks5h://127.0.0.1:1080", url]
        # As it is installed nobody reaches what is on this machine.
        assert "curl: (97)" in machine.run(*curl, status=97)
        with (machine.systemd.root / FILE[1:]).open("a") as file:
            file.write(CHANGED)
        machine.run("systemctl", "reload", "socksgw")
        assert machine.run(*curl) == "served"


def test_completion(machine: Machine) -> None:
    """A shell finds what completes the command's words."""
    installed(machine)
    asked = (
        ". /usr/share/bash-completion/bash_completion; _completion_loader socksgw; "
        "COMP_WORDS=(socksgw audit veri) COMP_CWORD=2; _socksgw; echo $COMPREPLY"
    )
    assert machine.run("bash", "-c", asked) == "verify\n"
    for path in (
        "/usr/share/zsh/vendor-completions/_socksgw",
        "/usr/share/fish/vendor_completions.d/socksgw.fish",
    ):
        assert machine.has(path)


def test_reload(machine: Machine) -> None:
    """
    It ends when the new configuration is in force, and fails where that is wrong.

    Systemd 253 and later wait for what the gateway says of it (Type=notify-reload).
    """
    installed(machine)
    version = int(machine.run("systemctl", "--version").split()[1])
    kind = "notify-reload" if version >= 253 else "notify"
    assert machine.systemd.shown(UNIT, "Type") == kind
    before = machine.pid()
    good = (machine.systemd.root / FILE[1:]).read_text()
    opened = good.replace('"[::1]:1080"', '"[::1]:1080", "127.0.0.1:1090"')
    machine.systemd.write(FILE, opened)
    machine.run("systemctl", "reload", "socksgw")
    with within(machine.systemd.network):
        raw.dial(1090).close()
    machine.systemd.write(FILE, f"{good}\nnonsense = 1\n")
    machine.run("systemctl", "reload", "socksgw", status=1)
    assert "nonsense" in "\n".join(machine.systemd.journal("-u", UNIT))
    assert (machine.active(), machine.pid()) == ("active", before)
    with within(machine.systemd.network):
        raw.dial(1090).close()
    machine.systemd.write(FILE, good)
    machine.run("systemctl", "reload", "socksgw")
    with within(machine.systemd.network), pytest.raises(ConnectionRefusedError):
        raw.dial(1090)


def test_usersOfTheSystem(machine: Machine) -> None:
    """They log in by PAM, as the manual says it; init has written the rest."""
    installed(machine)
    machine.run("sh", "-c", "useradd bob && echo bob:sesame | chpasswd")
    done = machine.run(
        "socksgw", "init", "--installed", "--from", "127.0.0.0/8", "--listen",
        "127.0.0.1:1080", "--to", "public", "--login", "pam", "-o", "/root/pam.toml",
    )  # fmt: skip
    assert "is written" in done
    assert "there is no file /etc/pam.d/socksgw" in machine.run(
        "socksgw", "check", "/root/pam.toml"
    )
    machine.systemd.write(
        "/etc/pam.d/socksgw", "@include common-auth\n@include common-account\n"
    )
    assert "is good" in machine.run("socksgw", "check", "--strict", "/root/pam.toml")
    machine.run("cp", "/root/pam.toml", FILE)
    override = f"/etc/systemd/system/{UNIT}.d/override.conf"
    machine.systemd.write(override, "[Service]\nSupplementaryGroups=shadow\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "socksgw")
    for password, status in (("sesame", b"\0"), ("wrong", b"\1")):
        with within(machine.systemd.network):
            client = raw.dial(machine.port)
        with client:
            client.sendall(raw.GREETING_LOGIN + raw.login(b"bob", password.encode()))
            assert raw.exactly(client, 4) == b"\x05\x02\x01" + status
    machine.run("rm", "-r", str(Path(override).parent))
    machine.run("systemctl", "daemon-reload")
    machine.run("userdel", "bob")


def test_upgraded(machine: Machine) -> None:
    """
    The new version serves, as it is configured: nobody was refused, and nobody who had
    a session has lost it. If it cannot use the configuration, the old one goes on.
    """
    opened(machine)
    changed = (machine.systemd.root / FILE[1:]).read_text()
    before = machine.pid()
    with within(machine.systemd.network):
        server = Destination(echo)
    with server, machine.session(server.port) as lasting:
        with Crowd(machine, server, machine.systemd.network) as crowd:
            until(lambda: crowd.served > 5, 60)
            machine.dpkg("-i", "/root/two.deb")
            served = crowd.served
            until(lambda: crowd.served > served + 5, 60)
        assert crowd.wrong == []
        assert said(lasting) == b"hello"
        now = machine.pid()
        assert now != before
        assert machine.active() == "active"
        assert (machine.systemd.root / FILE[1:]).read_text() == changed
        assert "fedcba987654" in machine.run("socksgw", "--version")
        machine.systemd.write(FILE, f"{changed}\nnonsense = 1\n")
        warned = machine.dpkg("-i", "/root/two.deb")
        assert "never.nonsense" in warned
        assert "the version that was running goes on" in warned
        assert machine.pid() == now
        assert said(lasting) == b"hello"


def test_removed(machine: Machine) -> None:
    """What is configured and recorded stays until the package is purged."""
    opened(machine)
    assert machine.has("/var/lib/socksgw/audit")
    machine.systemd.write("/etc/socksgw/own.pem", "the administrator's")
    machine.dpkg("--remove", "socksgw")
    assert machine.active() != "active"
    assert not machine.has("/usr/lib/socksgw")
    assert not machine.has("/usr/bin/socksgw")
    for path in (FILE, "/etc/socksgw/users", "/var/lib/socksgw/audit"):
        assert machine.has(path), path
    assert "not removed" not in machine.dpkg("--purge", "socksgw").replace(
        "while removing socksgw, directory '/etc/socksgw' not empty so not removed", ""
    )
    for path in (FILE, "/etc/socksgw/users", "/var/lib/socksgw"):
        assert not machine.has(path), path
    assert machine.has("/etc/socksgw/own.pem")
    machine.run("rm", "-r", "/etc/socksgw")
    assert "socksgw" not in machine.run("dpkg-query", "-W")


def test_lintian(package: Path) -> None:
    """Debian's own checker finds nothing wrong that has no reason beside it."""
    done = subprocess.run(
        [program("lintian", "lintian"), "--allow-root", "--fail-on", "error,warning",
         str(package)],
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)
