"""
A file of users that is looked at while somebody writes it.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread, current_thread, main_thread

import pytest

from socksgw.login import userfile
from socksgw.login.userfile import (
    PasswordFileError,
    Unread,
    UserFile,
    WrongLine,
    readingAhead,
    readUsers,
)
from tests.tools.waiting import until

TEXT = "alice:1\nbob:2\n"


def read(
    path: Path, wrong: list[WrongLine], before: dict[bytes, int] | None = None
) -> dict[bytes, int]:
    """A value is a number."""
    return readUsers(path, int, "true", wrong=wrong, before=before)


class World:
    """A file of alice and bob, its store, and a clock that stands."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(userfile, "monotonic", lambda: self.now)
        self.path = directory / "users"
        self.path.touch(0o600)
        self.write(TEXT)
        self.store = UserFile(self.path, read)
        self.stamp = self.store.stamp()

    def write(self, text: str) -> None:
        """In place, as some editors do."""
        self.path.write_text(text)

    def known(self) -> str:
        """Who is there, and for whom there are logins, too (in capitals)."""
        users = self.store.users() or {}
        return " ".join(
            name.upper() if name.encode() in users else name
            for name in ("alice", "bob")
            if self.store.knows(name.encode())
        )

    def looked(self, seconds: float) -> bool:
        """Whether another look, so much later, finds a change."""
        self.now += seconds
        before, self.stamp = self.stamp, self.store.stamp()
        return self.stamp != before


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        (
            "/run/credentials/none.service/users",
            r"when the unit starts \(LoadCredential=\)",
        ),
        ("/nowhere/users", "make it with: true /nowhere/users USER"),
    ],
)
def test_missingFile(path: str, remedy: str) -> None:
    """A credential is made by systemd, and another file by a command."""
    with pytest.raises(PasswordFileError, match=f"{path}: No such file.*{remedy}$"):
        read(Path(path), [])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@pytest.mark.parametrize("half", ["", "alice:1\n", "alice:1\nbo"])
def test_aFileThatIsReadInTheMiddle(world: World, half: str) -> None:
    """Whoever is missing cannot log in, and is there for a moment."""
    world.write(half)
    assert world.looked(0.2)
    assert world.known() == ("ALICE bob" if half else "alice bob")
    assert not world.looked(0.7)
    world.write(TEXT)
    assert world.looked(0.2)
    assert world.known() == "ALICE BOB"
    assert not world.looked(60)
    assert world.known() == "ALICE BOB"


def test_aUserWhoIsRemoved(world: World) -> None:
    """After a second in which the file stays; others look at the user again."""
    world.write("alice:1\n")
    assert world.looked(0.2)
    assert world.known() == "ALICE bob"
    assert not world.looked(0.9)
    assert world.looked(0.2)
    assert world.known() == "ALICE"
    assert not world.looked(60)


def test_whomAChangeConcerns(world: World) -> None:
    """Since any of the last states; of others nothing is known."""
    first = world.stamp
    assert world.store.altered(first) is None
    world.write("alice:1\nbob:3\ncarol:4\n")
    assert world.looked(0.2)
    second = world.stamp
    assert world.store.altered(first) == {b"bob", b"carol"}
    world.write("carol:4\nbob:3\n")
    assert world.looked(0.2)
    third = world.stamp
    assert world.store.altered(second) == {b"alice"}
    assert world.store.altered(first) == {b"alice", b"bob", b"carol"}
    assert world.looked(5)
    # She is believed to be removed now, which changes the state again.
    assert world.store.altered(third) == {b"alice"}
    fourth = world.stamp
    world.write("nonsense")
    assert world.looked(0.2)
    assert world.store.altered(fourth) is None
    fifth = world.stamp
    world.write("bob:3\n")
    assert world.looked(0.2)
    assert world.store.altered(fifth) is None
    assert world.store.altered(first) is None


def test_aFileThatGoesOnChanging(world: World) -> None:
    """It keeps nobody for ever."""
    for second in range(6):
        world.write(f"alice:{10**second}\n")
        assert world.looked(0.9)
        assert world.known() == "ALICE bob"
    world.write("alice:3\n")
    assert world.looked(0.9)
    assert world.known() == "ALICE"


def test_aFileThatCannotBeReadRemovesNobody(world: World) -> None:
    """However long, and whatever it lost before."""
    world.write("alice:1\n")
    world.looked(0.2)
    world.known()
    world.path.chmod(0o666)
    for _ in range(3):
        world.looked(10)
        assert world.known() == "alice bob"
    world.path.chmod(0o600)
    world.looked(0.2)
    assert world.known() == "ALICE bob"
    world.looked(1)
    assert world.known() == "ALICE"


def test_oneThatIsNotThereAtTheStart(tmp_path: Path) -> None:
    """There is nobody to keep."""
    with pytest.raises(PasswordFileError):
        UserFile(tmp_path / "users", read)


# Large files.


class Slow:
    """Reads in a thread, when it is let."""

    def __init__(self) -> None:
        self.go = Event()
        self.readers: list[Thread] = []

    def read(
        self, path: Path, wrong: list[WrongLine], before: dict[bytes, int] | None
    ) -> dict[bytes, int]:
        """As L{read}."""
        found = read(path, wrong, before)
        if current_thread() is not main_thread():
            self.readers.append(current_thread())
            self.go.wait(10)
        return found

    def ended(self, count: int = 1) -> None:
        """Let it read to the end, for the time of that number."""
        until(lambda: len(self.readers) == count)
        self.go.set()
        for reader in self.readers:
            reader.join(10)
        self.go.clear()


@pytest.fixture
def slow(world: World, monkeypatch: pytest.MonkeyPatch) -> Slow:
    """The file counts as large, and is read slowly."""
    slow = Slow()
    world.store = UserFile(world.path, slow.read)
    world.stamp = world.store.stamp()
    monkeypatch.setattr(userfile, "_AT_ONCE", 0)
    return slow


def test_largeFile(world: World, slow: Slow) -> None:
    """
    What was read before counts until the file is read again, also for those who
    look at the stamp; nobody waits for it.
    """
    world.write("alice:1\n")
    assert not world.looked(0.2)
    assert world.known() == "ALICE BOB"
    assert not world.looked(5)
    assert world.known() == "ALICE BOB"
    slow.ended()
    assert world.looked(0.2)
    assert world.known() == "ALICE"
    assert not world.looked(5)
    assert len(slow.readers) == 1


def test_largeFileChangesMeanwhile(world: World, slow: Slow) -> None:
    """It is read again."""
    world.write("alice:1\nbob:2\ncarol:3\n")
    assert not world.looked(0.2)
    until(lambda: slow.readers)
    world.write("alice:1\n")
    slow.ended()
    assert world.looked(0.2)
    assert world.store.knows(b"carol")
    slow.ended(2)
    assert world.looked(0.2)
    assert world.known() == "ALICE bob"


def test_largeFileThatIsWrong(world: World, slow: Slow) -> None:
    """As a small one."""
    world.write("nonsense\n")
    until(lambda: world.looked(0.2))
    assert world.known() == "alice bob"
    assert "line 1" in world.store.problems()[0]


def test_noThreadToBeHad(
    world: World, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read on the spot."""

    def refuse(self: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    world.write("alice:1\n")
    assert world.looked(0.2)
    assert world.known() == "ALICE bob"
    assert not slow.readers


def test_whatIsTheSameIsNotMadeAgain(tmp_path: Path) -> None:
    """A line whose text is the same keeps its value; any other one is read."""
    path = tmp_path / "users"
    path.touch(0o600)
    path.write_text("alice:1000\nbob:2000\ncarol:3000\n")
    before = read(path, [])
    path.write_text("bob:2000 \nalice:1001\ncarol:03000\ndave:1000\neve:x\n")
    wrong: list[WrongLine] = []
    after = read(path, wrong, before)
    assert after == {b"alice": 1001, b"bob": 2000, b"carol": 3000, b"dave": 1000}
    assert after[b"bob"] is before[b"bob"]
    assert [each.name for each in wrong] == [b"eve"]


def test_largeFileThatIsReadAhead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whoever makes the store in between is told to read first, elsewhere; each file is
    read once, and what is wrong with it is said when the store is made.
    """
    monkeypatch.setattr(userfile, "_AT_ONCE", 0)
    path, other = tmp_path / "users", tmp_path / "others"
    for each in (path, other):
        each.touch(0o600)
        each.write_text("alice:1\n")
    read_: list[Path] = []

    def counted(
        path: Path, wrong: list[WrongLine], before: dict[bytes, int] | None
    ) -> dict[bytes, int]:
        read_.append(path)
        return read(path, wrong, before)

    with readingAhead():
        for ahead in (path, other):
            with pytest.raises(Unread) as wanted:
                [UserFile(each, counted) for each in (path, path, other)]
            other.write_text("nonsense\n")
            thread = Thread(target=wanted.value.run)
            thread.start()
            thread.join()
            assert read_[-1] == ahead
        assert UserFile(path, counted).users() == {b"alice": 1}
        with pytest.raises(PasswordFileError, match="line 1"):
            UserFile(other, counted)
        # One that has changed since is read again as usual.
        path.write_text("alice:1\nbob:2\n")
        assert UserFile(path, counted).users() in (
            {b"alice": 1},
            {b"alice": 1, b"bob": 2},
        )
    assert read_[:2] == [path, other]
    assert UserFile(path, counted).users() == {b"alice": 1, b"bob": 2}
