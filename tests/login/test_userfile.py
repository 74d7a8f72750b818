"""
A file of users that is looked at while somebody writes it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.login import userfile
from socksgw.login.userfile import PasswordFileError, UserFile, WrongLine, readUsers

TEXT = "alice:1\nbob:2\n"


def read(path: Path, wrong: list[WrongLine]) -> dict[bytes, int]:
    """A value is a number."""
    return readUsers(path, int, "true", wrong=wrong)


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
