"""
Ports at paths and of abstract names: their files, and who comes in.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from twisted.internet.error import CannotListenError
from twisted.logger import capturedLogs

from socksgw.accept.unixport import (
    UnixPort,
    listenOnPath,
    modeOf,
    ownerOf,
    permissionsOf,
    remedyForPath,
)
from socksgw.system.watch import Watch
from tests.accept.listeners import World
from tests.fakes.loops import ReactorLoop

OURS = (-1, -1)
#: Listens at a path until it is told to go.
LISTENER = """
import socket, sys
with socket.socket(socket.AF_UNIX) as listening:
    listening.bind(sys.argv[1])
    listening.listen()
    print(flush=True)
    sys.stdin.read(1)
"""


class Place(World, ReactorLoop):
    """A listener, with a reactor of the test's own."""

    def __init__(self) -> None:
        World.__init__(self)
        ReactorLoop.__init__(self)
        self.watch = Watch(self.reactor)
        self.watch.start()
        self.ports: list[UnixPort] = []

    def open(
        self, where: str, mode: int = 0o660, owner: tuple[int, int] = OURS
    ) -> UnixPort:
        """Listen there."""
        port = listenOnPath(
            self.reactor,
            f"unix:{where}",
            mode,
            owner,
            self.listener,
            lambda: None,
            self.watch,
        )
        self.ports.append(port)
        return port

    def shut(self, port: UnixPort) -> None:
        """Listen there no longer."""
        self.ports.remove(port)
        self.listener.leaving += 1
        port.stopListening()

    def close(self) -> None:
        for port in [*self.ports]:
            self.shut(port)
        for client in list(self.listener.clients):
            client.abort()
        self.until(lambda: not self.listener.clients)
        self.watch.stop()


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.close()
    made.atBase()


def call(where: str | Path) -> socket.socket:
    """A client."""
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(str(where).replace("@", "\0", 1))
    except OSError:
        client.close()
        raise
    return client


def modeAt(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def refusedBy(place: Place, path: Path) -> str:
    """Why it cannot listen there."""
    with pytest.raises(CannotListenError) as told:
        place.open(str(path))
    return remedyForPath(f"unix:{path}", told.value)


# The file.


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_mode(place: Place, tmp_path: Path, umask: int, mode: int) -> None:
    """As asked, whatever the umask; the file goes with the port."""
    path = tmp_path / "s"
    before = os.umask(umask)
    try:
        port = place.open(str(path), mode)
    finally:
        os.umask(before)
    assert stat.S_ISSOCK(path.lstat().st_mode)
    assert modeAt(path) == mode
    place.shut(port)
    assert not path.exists()


def test_nobodyComesInBeforeItsMode(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the file has its mode, a client is refused."""
    path, met = tmp_path / "s", []
    permit = UnixPort._permit

    def meanwhile(self: UnixPort) -> None:
        with pytest.raises(ConnectionRefusedError), call(path):
            pass
        met.append(path)
        permit(self)

    monkeypatch.setattr(UnixPort, "_permit", meanwhile)
    place.open(str(path))
    assert met == [path]
    with call(path):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owner(place: Place, tmp_path: Path) -> None:
    """The user and the group, or one of them; changed while it is open, too."""
    path = tmp_path / "s"
    port = place.open(str(path), 0o620, (1234, 5678))
    found = path.lstat()
    assert (found.st_uid, found.st_gid, modeAt(path)) == (1234, 5678, 0o620)
    port.permit(0o606, (-1, 8765))
    found = path.lstat()
    assert (found.st_uid, found.st_gid, modeAt(path)) == (1234, 8765, 0o606)
    assert port.permissions == (0o606, (-1, 8765))


def test_aLinkInItsPlace(place: Place, tmp_path: Path) -> None:
    """No other file gets the mode, and it is not removed with the port."""
    path, other = tmp_path / "s", tmp_path / "other"
    other.write_text("x")
    other.chmod(0o600)
    port = place.open(str(path))
    path.unlink()
    path.symlink_to(other)
    with pytest.raises(OSError, match="stands there"):
        port.permit(0o666, OURS)
    assert modeAt(other) == 0o600
    place.shut(port)
    assert path.is_symlink()


def test_aFileThatIsOursNoMore(place: Place, tmp_path: Path) -> None:
    """Another gateway's socket in its place stays when we go."""
    path = tmp_path / "s"
    port = place.open(str(path))
    path.unlink()
    with closing(socket.socket(socket.AF_UNIX)) as other:
        other.bind(str(path))
        place.shut(port)
        assert path.exists()


def test_aDeadSocket(place: Place, tmp_path: Path) -> None:
    """One that nobody listens on any more is replaced."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    place.open(str(path))
    with call(path):
        place.until(lambda: place.listener.clients)


def test_aLiveSocket(place: Place, tmp_path: Path) -> None:
    """It is an error that names the process, and the socket works on."""
    path = tmp_path / "s"
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        told = refusedBy(place, path)
        assert f"process {process.pid})" in told
        assert "python" in told
        assert told.endswith("; stop it, or choose another path")
        with call(path):
            pass
        process.communicate(b"")


def test_aLiveSocketThatIsFull(place: Place, tmp_path: Path) -> None:
    """A listener that accepts nobody at the moment is alive."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as one:
        other.bind(str(path))
        other.listen(0)
        one.connect(str(path))
        assert "a program listens there" in refusedBy(place, path)
        assert path.exists()


def test_aSocketOfDatagrams(place: Place, tmp_path: Path) -> None:
    """Another kind of socket, which is alive."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        assert "a program listens there" in refusedBy(place, path)
        assert path.exists()


@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "link"])
def test_whatIsNoSocket(place: Place, tmp_path: Path, kind: str) -> None:
    """It is never removed."""
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        # Also to a socket that nobody listens on.
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "dead"))
        path.symlink_to("dead")
    before = path.lstat()
    told = refusedBy(place, path)
    assert "a file that is no socket stands there; remove it yourself" in told
    after = path.lstat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_noDirectory(place: Place, tmp_path: Path) -> None:
    """The remedy names what makes one."""
    told = refusedBy(place, tmp_path / "none" / "s")
    assert "No such file or directory; make its directory" in told


def test_whatCannotBeRemoved(place: Place, tmp_path: Path) -> None:
    """The log says that it stays; the port has gone all the same."""
    path = tmp_path / "s"
    port = place.open(str(path))

    class Stuck(type(path)):  # type: ignore[misc]
        """A path in a directory that may not be changed any more."""

        def unlink(self, missing_ok: bool = False) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    port.path = Stuck(path)
    with capturedLogs() as events:
        place.shut(port)
    assert [event["why"] for event in events if "why" in event] == ["Permission denied"]
    with pytest.raises(ConnectionRefusedError), call(path):
        pass


# Who comes in.


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_aClient(place: Place, tmp_path: Path, kind: str) -> None:
    """It has no port, and the source of its user."""
    where = str(tmp_path / "s") if kind == "path" else f"@socksgw-{os.getpid()}"
    port = place.open(where)
    assert (port.getHost().name or b"").decode().replace("\0", "@") == where
    with call(where) as client:
        client.sendall(b"\x05\x01\x00")
        place.until(lambda: place.events)
        (inbound,) = place.served
        assert (inbound.source.text, inbound.port) == ("127.0.0.1", 0)
        assert inbound.source.sourceText == f"uid:{os.geteuid()}"
        assert inbound.program is not None
        assert inbound.program.uid == os.geteuid()
        assert inbound.program.pid == os.getpid()
        assert not inbound.datagrams


def test_whoComesBehindAProxy(place: Place, tmp_path: Path) -> None:
    """The program at the other end is the proxy's: the client has no program."""
    path = tmp_path / "s"
    place.open(str(path))
    with call(path) as client:
        client.sendall(b"\x05\x01\x00")
        place.until(lambda: place.events)
        (inbound,) = place.served
        source = inbound.source
        assert inbound.comesFrom(source, 4000)
        assert inbound.program is None


def test_aCrowd(place: Place, tmp_path: Path) -> None:
    """More than have made their request may be connected; the rest is refused."""
    path = tmp_path / "s"
    place.open(str(path))
    clients = [call(path) for _ in range(8)]
    # As World has it: five of one source.
    place.until(lambda: place.listener.admission.halfOpen == 5)
    place.until(lambda: place.census.refused == 3)
    for each in clients:
        each.close()
    place.until(lambda: not place.listener.clients)


# What the configuration says.


def test_modesAndOwners() -> None:
    """As chmod(1) and chown(1) write them."""
    assert [modeOf(text) for text in ("660", "0600", "777")] == [0o660, 0o600, 0o777]
    assert ownerOf("root") == (0, -1)
    assert ownerOf(":root") == (-1, 0)
    assert ownerOf("root:0") == (0, 0)
    assert ownerOf("4321:8765") == (4321, 8765)
    assert permissionsOf("", "") == (0o660, OURS)


@pytest.mark.parametrize("text", ["", "rw", "66", "6666", "888", "0o660", "1777"])
def test_noMode(text: str) -> None:
    """Nothing but three octal digits."""
    with pytest.raises(ValueError, match="three octal digits"):
        modeOf(text)


@pytest.mark.parametrize("text", ["", ":", "no-such-user", "root:no-such-group"])
def test_noOwner(text: str) -> None:
    """Whom the system does not know."""
    with pytest.raises(ValueError, match=r'must be|there is no (user|group) "no-such'):
        ownerOf(text)
