"""
A password from the keyring.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from socksgw.agent.settings import Settings
from socksgw.agent.wallet import Wallet
from socksgw.system.files import readSecret

SETTINGS = Settings(gateway="gw.example:1443", user="alice", keyring=True)


class Desktop(KeyringBackend):
    """
    A keyring in memory.

    @ivar known: the passwords.
    @ivar locked: whether it is locked.
    @ivar asked: how often it was asked.
    """

    # No other test shall find it by looking for the best one.
    priority = -1.0

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[tuple[str, str], str] = {}
        self.locked = False
        self.asked = 0

    def set_password(self, service: str, username: str, password: str) -> None:
        """As the library has it."""
        self.known[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        """As the library has it."""
        self.asked += 1
        if self.locked:
            raise KeyringLocked("Failed to unlock the collection!")
        return self.known.get((service, username))


@pytest.fixture
def desktop() -> Iterator[Desktop]:
    """A keyring that is the library's meanwhile."""
    before = keyring.get_keyring()
    made = Desktop()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def test_password(desktop: Desktop) -> None:
    """It is in a file that nobody else reads, and follows the keyring when in doubt."""
    now = 0.0
    desktop.known["socksgw:gw.example", "alice"] = "correct-horse"
    with closing(Wallet(SETTINGS.account, lambda: now)) as wallet:
        assert wallet.look() is None
        assert readSecret(Path(wallet.path), private=True) == b"correct-horse"
        desktop.known["socksgw:gw.example", "alice"] = "staple"
        assert wallet.look(doubted=True) is None
        assert readSecret(Path(wallet.path)) == b"correct-horse"
        now = 60.0
        assert wallet.look() is None
        assert readSecret(Path(wallet.path)) == b"correct-horse"
        assert wallet.look(doubted=True) is None
        assert readSecret(Path(wallet.path)) == b"staple"
        assert desktop.asked == 2
        path = os.readlink(wallet.path)
    assert path.startswith("/memfd:")


def test_locked(desktop: Desktop) -> None:
    """A user who has said no is not asked again at once."""
    now = 0.0
    desktop.locked = True
    with closing(Wallet(SETTINGS.account, lambda: now)) as wallet:
        for _ in range(10):
            found = wallet.look()
            assert found is not None
            assert found.kind == "keyring"
            assert "Failed to unlock" in found.what
        assert desktop.asked == 1
        now = 61.0
        desktop.locked = False
        found = wallet.look()
        assert found is not None
        assert str(found) == (
            "the keyring has no password of alice: keyring set socksgw:gw.example alice"
        )


def test_noKeyring() -> None:
    """A machine without a desktop has none."""
    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())
    try:
        with closing(Wallet(SETTINGS.account, lambda: 0.0)) as wallet:
            found = wallet.look()
    finally:
        keyring.set_keyring(before)
    assert found is not None
    assert found.kind == "no-keyring"
    assert "--password-file" in found.remedy


def test_noLibrary(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    with closing(Wallet(SETTINGS.account, lambda: 0.0)) as wallet:
        assert "socksgw[agent]" in str(wallet.look())
