"""
Files of secrets that turn readable for others while the gateway runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from zope.interface import implementer

from socksgw.interfaces import IReportingStore, Settings
from socksgw.login.portal import Login
from socksgw.login.stores.http import httpChecker
from socksgw.login.stores.ldap import ldapChecker
from socksgw.negotiate.methods import Choice, Methods, OfferedMethod
from socksgw.system import files
from socksgw.system.files import FileError
from socksgw.system.keptsecret import KeptSecret


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that is ours alone."""
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text("canary-5d")
    return path


def publish(path: Path) -> None:
    path.chmod(0o644)


def remove(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("harm", "said"), [(publish, "chmod o-rwx"), (remove, "No such file")]
)
def test_whileRunning(secret: Path, harm: Callable[[Path], None], said: str) -> None:
    """What is wrong is said once, with the remedy, until it is mended."""
    kept = KeptSecret(secret)
    kept.check()
    harm(secret)
    with capturedLogs() as events:
        for _ in range(3):
            with pytest.raises(FileError, match=said):
                kept.check()
            assert said in kept.problem()
    (event,) = events
    assert f"{secret}: " in eventAsText(event)
    remains = secret if secret.exists() else secret.with_name("elsewhere")
    remains.chmod(0o600)
    remains.rename(secret)
    with capturedLogs() as events:
        kept.check()
        assert kept.problem() == ""
    (event,) = events
    assert "can be used again" in eventAsText(event)


def test_shared(secret: Path) -> None:
    """Who use the same file hear the same, and one line is logged."""
    first, second = KeptSecret.of(secret), KeptSecret.of(secret)
    assert first is second
    publish(secret)
    with capturedLogs() as events:
        for _ in range(2):
            with pytest.raises(FileError, match="chmod"):
                KeptSecret.of(secret)
    assert len(events) == 1


def test_sharedUnderOtherTrust(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is as it was is judged by the groups that are trusted now."""
    monkeypatch.setattr(files, "_groupIsOurs", lambda found: False)
    monkeypatch.setattr(files, "_trusted", set())
    secret.chmod(0o640)
    files.trustGroups([str(secret.stat().st_gid)])
    KeptSecret.of(secret)
    files.trustGroups([])
    with capturedLogs(), pytest.raises(FileError, match="group"):
        KeptSecret.of(secret)


def test_atTheStart(secret: Path) -> None:
    """One that others can read already is none."""
    publish(secret)
    with pytest.raises(FileError, match="others can read"):
        KeptSecret(secret)


def ldap(**more: Any) -> Any:
    if "bind_keytab" in more:
        pytest.importorskip("gssapi")
    table = {"url": ["ldaps://h"], "base": "dc=x", **more}
    return ldapChecker(Settings(table, name="ldap"), Clock())


@pytest.mark.parametrize(
    "make",
    [
        lambda path: ldap(bind_dn="cn=x", bind_password_file=str(path)),
        lambda path: ldap(bind_keytab=str(path)),
        lambda path: httpChecker(
            Settings({"url": "http://127.0.0.1/", "token_file": str(path)}), Clock()
        ),
    ],
    ids=["bind_password_file", "bind_keytab", "token_file"],
)
def test_checkersReport(secret: Path, make: Callable[[Path], Any]) -> None:
    """
    A checker reports a secret of its own that others can read, in the Login's
    list, which the journal gets; one that was read at the start is used on.
    """
    checker = make(secret)
    reports: bool = IReportingStore.providedBy(checker)
    assert reports
    login = Login([checker], {}, 60, Clock().seconds)
    assert login.problems == []
    publish(secret)
    (line,) = login.problems
    assert line.endswith(f"chmod o-rwx {secret}")
    assert "canary" not in line
    secret.chmod(0o600)
    assert login.problems == []


@implementer(IReportingStore)
class Reporting:
    """An authenticator that something is wrong with."""

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def problems(self) -> list[str]:
        return [self._problem]


def test_methodsReport() -> None:
    """So does a method's authenticator, also inside another; each once."""
    inner = OfferedMethod("inner", 1, Reporting("two"))
    outer = OfferedMethod("outer", 2, Reporting("one"), [inner])
    silent = OfferedMethod("silent", 3, object())
    choices = [Choice([outer, silent], None, None), Choice([inner], None, None)]
    login = Login([], {}, 60, Clock().seconds, others=Methods(choices).authenticators)
    assert login.problems == ["one", "two"]
