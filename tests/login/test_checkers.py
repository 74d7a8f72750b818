"""
The password file as a checker, and the threads that hash for it.
"""

from __future__ import annotations

import hashlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IChangingStore
from socksgw.login import checkers, passwords, userfile
from socksgw.login.checkers import HashingPool, PasswordFile
from socksgw.login.passwords import PasswordFileError, Scrypt, setPassword
from socksgw.login.portal import Login
from socksgw.login.realm import SocksUser
from socksgw.system.threads import NeverBegun
from socksgw.wire.address import Address
from tests.fakes.threads import PATIENCE, ThreadedReactor
from tests.live.running import environment

CANARY = "canary-51d0"
HERE = Address.parse("192.0.2.7")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file where alice has the password C{sesame}, at little cost."""
    monkeypatch.setattr(passwords, "_LN", 2)
    path = tmp_path / "users"
    setPassword(path, "alice", b"sesame")
    return path


def ask(
    reactor: ThreadedReactor, checker: PasswordFile, name: bytes, password: bytes
) -> Any:
    """Whom the checker takes this for, or its exception."""
    return reactor.result(checker.requestAvatarId(UsernamePassword(name, password)))


# The pool.


class Work:
    """
    Verifications that go on until they are let go.
    """

    def __init__(self) -> None:
        self.free = threading.Event()
        self.begun: queue.Queue[bytes] = queue.Queue()
        self.lock = threading.Lock()
        self.running = self.most = 0

    def verify(self, password: bytes, known: Scrypt) -> bool:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.begun.put(password)
        assert self.free.wait(PATIENCE)
        with self.lock:
            self.running -= 1
        if password == b"broken":
            raise ValueError("broken")
        return password == b"right"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Verifications under the test's control."""
    work = Work()
    monkeypatch.setattr(checkers, "verifyPassword", work.verify)
    yield work
    work.free.set()


def test_verifies(reactor: ThreadedReactor) -> None:
    """Real hashes, in threads: right and wrong."""
    pool = HashingPool(reactor)
    known = passwords.hashPassword(b"sesame")
    assert reactor.result(pool.verify(b"sesame", known)) is True
    assert reactor.result(pool.verify(b"Sesame", known)) is False
    assert len(reactor.atShutdown) == 1


def test_poolHasTwoThreadsByDefault(reactor: ThreadedReactor, work: Work) -> None:
    """A slow verification does not hold up another one."""
    pool = HashingPool(reactor)
    waiting = [pool.verify(b"right", passwords.DUMMY) for _ in range(2)]
    for _ in waiting:
        work.begun.get(timeout=PATIENCE)
    work.free.set()
    assert [reactor.result(each) for each in waiting] == [True, True]


def test_bounded(reactor: ThreadedReactor, work: Work) -> None:
    """
    So many at work and so many waiting; who comes then is refused at once,
    and there is room again when work is done.
    """
    pool = HashingPool(reactor, threads=2, waiting=3)
    waiting = [pool.verify(b"right", passwords.DUMMY) for _ in range(5)]
    for _ in range(2):
        work.begun.get(timeout=PATIENCE)
    for _ in range(3):
        refused = reactor.result(pool.verify(b"right", passwords.DUMMY))
        assert isinstance(refused, UnauthorizedLogin)
        assert refused.reason == "busy"  # type: ignore[attr-defined]
    assert reactor.calls.empty()
    work.free.set()
    assert [reactor.result(each) for each in waiting] == [True] * 5
    assert work.most == 2
    more = [pool.verify(b"wrong", passwords.DUMMY) for _ in range(5)]
    assert [reactor.result(each) for each in more] == [False] * 5


def test_cancelled(reactor: ThreadedReactor, work: Work) -> None:
    """
    A client that goes away frees its place when its work is done, not before:
    else a flood of such clients would have no bound.
    """
    pool = HashingPool(reactor, threads=1, waiting=1)
    failures: list[Any] = []
    for password in (b"first", b"second"):
        waiting = pool.verify(password, passwords.DUMMY)
        waiting.addErrback(failures.append)
        if password == b"first":
            assert work.begun.get(timeout=PATIENCE) == b"first"
        waiting.cancel()
    assert [type(failure.value) for failure in failures] == [CancelledError, NeverBegun]
    refused = reactor.result(pool.verify(b"third", passwords.DUMMY))
    assert isinstance(refused, UnauthorizedLogin)
    work.free.set()
    reactor.pump()
    reactor.pump()
    # The second had not begun: nobody waited for it any more.
    assert reactor.result(pool.verify(b"right", passwords.DUMMY)) is True
    assert work.begun.get(timeout=PATIENCE) == b"right"
    assert len(failures) == 2


def test_brokenWork(reactor: ThreadedReactor, work: Work) -> None:
    """A verification that raises fails, and frees its place too."""
    work.free.set()
    pool = HashingPool(reactor, threads=1, waiting=0)
    for _ in range(3):
        failure = reactor.result(pool.verify(b"broken", passwords.DUMMY))
        assert type(failure) is ValueError
    assert reactor.result(pool.verify(b"right", passwords.DUMMY)) is True


# The file.


def test_rightAndWrong(reactor: ThreadedReactor, file: Path) -> None:
    """The name for the right password; one failure for everything else."""
    checker = PasswordFile(file, HashingPool(reactor))
    assert ask(reactor, checker, b"alice", b"sesame") == b"alice"
    for name, password in [
        (b"alice", b"Sesame"),
        (b"alice", b""),
        (b"Alice", b"sesame"),
        (b"bob", b"sesame"),
        (b"", b""),
        (b"\xff\x00", b"sesame"),
        (b"#", b"sesame"),
    ]:
        failure = ask(reactor, checker, name, password)
        assert isinstance(failure, UnauthorizedLogin), name
        assert failure.args == ("wrong-credentials",)


def test_sameWork(
    reactor: ThreadedReactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An unknown user costs exactly the work that a wrong password costs: one
    hash of the password given, with the same parameters.
    """
    path = tmp_path / "users"
    setPassword(path, "alice", b"sesame")
    done: list[tuple[bytes, dict[str, Any]]] = []
    scrypt = hashlib.scrypt

    def counting(password: bytes, **parameters: Any) -> bytes:
        salt = parameters["salt"]
        done.append((password, {**parameters, "salt": len(salt)}))
        return scrypt(password, **parameters)

    monkeypatch.setattr(passwords, "scrypt", counting)
    checker = PasswordFile(path, HashingPool(reactor))
    work = []
    for name in (b"alice", b"nobody"):
        assert isinstance(ask(reactor, checker, name, b"wrong"), UnauthorizedLogin)
        work.append(list(done))
        done.clear()
    assert work[0] == work[1]
    assert len(work[0]) == 1
    assert work[0][0][0] == b"wrong"


def test_sameAnswer(reactor: ThreadedReactor, file: Path) -> None:
    """Nor does what comes out of the login tell them apart."""
    login = Login([PasswordFile(file, HashingPool(reactor))], {}, 60, Clock().seconds)
    failures = [
        reactor.result(
            Deferred.fromCoroutine(
                login.settle(UsernamePassword(name, b"wrong"), "userpass", HERE)
            )
        )
        for name in (b"alice", b"nobody")
    ]
    for failure in failures:
        assert type(failure) is AuthenticationFailed
    assert vars(failures[0]) == vars(failures[1])
    assert failures[0].args == failures[1].args


def test_readAgain(reactor: ThreadedReactor, file: Path) -> None:
    """What changes in the file counts from the next login on."""
    checker = PasswordFile(file, HashingPool(reactor))
    stamp = checker.stamp()
    assert checker.stamp() == stamp
    setPassword(file, "bob", b"x")
    assert checker.stamp() != stamp
    assert ask(reactor, checker, b"bob", b"x") == b"bob"
    setPassword(file, "alice", b"another")
    assert ask(reactor, checker, b"alice", b"another") == b"alice"
    assert isinstance(ask(reactor, checker, b"alice", b"sesame"), UnauthorizedLogin)
    lines = [x for x in file.read_text().splitlines() if not x.startswith("bob:")]
    file.write_text("\n".join(lines))
    assert isinstance(ask(reactor, checker, b"bob", b"x"), UnauthorizedLogin)


def remove(path: Path) -> None:
    path.unlink()


def publish(path: Path) -> None:
    path.chmod(0o644)


def spoil(path: Path) -> None:
    path.write_text(f"alice:{CANARY}\n")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("harm", [remove, publish, spoil, fifo])
def test_unreadable(
    reactor: ThreadedReactor, file: Path, harm: Callable[[Path], None]
) -> None:
    """
    A file that can no longer be read lets nobody in, not even those who were
    in it, is told of once, and counts again when it can be read.
    """
    whole = file.read_bytes()
    checker = PasswordFile(file, HashingPool(reactor))
    assert ask(reactor, checker, b"alice", b"sesame") == b"alice"
    harm(file)
    with capturedLogs() as events:
        for name in (b"alice", b"nobody", b"alice"):
            failure = ask(reactor, checker, name, b"sesame")
            assert isinstance(failure, UnauthorizedLogin)
            assert failure.reason == "store-unreadable"  # type: ignore[attr-defined]
    assert len(events) == 1
    text = eventAsText(events[0])
    assert str(file) in text
    assert "nobody can log in" in text
    assert CANARY not in text
    file.unlink(missing_ok=True)
    file.touch(0o600)
    file.write_bytes(whole)
    assert ask(reactor, checker, b"alice", b"sesame") == b"alice"


@pytest.mark.parametrize("harm", [remove, publish, spoil, fifo])
def test_unusableAtTheStart(
    reactor: ThreadedReactor, file: Path, harm: Callable[[Path], None]
) -> None:
    """A file that cannot be used at the start is an error then."""
    harm(file)
    with pytest.raises(PasswordFileError) as raised:
        PasswordFile(file, HashingPool(reactor))
    assert CANARY not in str(raised.value)


def test_cachedLoginAndTheFile(reactor: ThreadedReactor, file: Path) -> None:
    """
    A cached login never queues behind hashing, and is forgotten when the file
    changes.
    """
    login = Login(
        [PasswordFile(file, HashingPool(reactor, threads=1, waiting=0))],
        {},
        60,
        Clock().seconds,
    )

    def settle() -> Deferred[Any]:
        credentials = UsernamePassword(b"alice", b"sesame")
        return Deferred.fromCoroutine(login.settle(credentials, "userpass", HERE))

    assert reactor.result(settle()).name == "alice"
    # The pool is full of others.
    other = UsernamePassword(b"alice", b"x")
    hashing = Deferred.fromCoroutine(login.settle(other, "userpass", HERE))
    cached: list[Any] = []
    settle().addCallback(cached.append)
    assert cached[0].name == "alice"
    assert isinstance(reactor.result(hashing), AuthenticationFailed)
    setPassword(file, "alice", b"another")
    login.look()
    assert isinstance(reactor.result(settle()), AuthenticationFailed)


# Twisted's plug-in.

PLUGIN = """
import sys
from twisted.plugins import socksgw_cred
assert "twisted.internet.reactor" not in sys.modules, "it installs a reactor"
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.strcred import (
    InvalidAuthArgumentString, findCheckerFactories, makeChecker
)
from zope.interface.verify import verifyObject
(factory,) = [f for f in findCheckerFactories() if f.authType == "passwd"]
assert "socksgw passwd" in factory.authHelp
assert IUsernamePassword in factory.credentialInterfaces
checkers = [makeChecker("passwd:" + sys.argv[1]) for _ in range(2)]
for checker in checkers:
    verifyObject(ICredentialsChecker, checker)
assert checkers[0]._pool is checkers[1]._pool
for wrong in ("passwd", "passwd:", "passwd:" + sys.argv[1] + ".not"):
    try:
        makeChecker(wrong)
    except InvalidAuthArgumentString as e:
        print(e)
    else:
        raise AssertionError(wrong)
from twisted.internet import reactor
checking = checkers[0].requestAvatarId(UsernamePassword(b"alice", b"sesame"))
checking.addCallback(lambda name: print("it is", name.decode()))
checking.addBoth(lambda result: (print(result or ""), reactor.stop()))
reactor.callLater(60, reactor.stop)
reactor.run()
"""


def test_strcred(file: Path, tmp_path: Path) -> None:
    """
    C{passwd:FILE} works wherever Twisted takes a checker's string: a wrong
    one is told as Twisted tells it, and importing it chooses no reactor.
    """
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PLUGIN, str(file)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "it is alice" in ran.stdout
    lines = ran.stdout.splitlines()
    assert "needs a file" in lines[0]
    assert f"{file}.not" in lines[2]
    assert "socksgw passwd" in lines[2]


@pytest.mark.parametrize("harm", [remove, publish, spoil, fifo])
def test_unreadableAndTheLiving(
    reactor: ThreadedReactor,
    file: Path,
    harm: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A file that can no longer be read ends nobody's session; it is told, and so
    is that it can be read again. Only a file that can be read says who is gone.
    """
    setPassword(file, "bob", b"x")
    whole = file.read_bytes()
    login = Login([PasswordFile(file, HashingPool(reactor))], {}, 60, Clock().seconds)
    users = [SocksUser(name, frozenset(), "userpass") for name in ("alice", "bob")]
    with capturedLogs():
        harm(file)
        login.look()
    assert [login.now(user) for user in users] == users
    (problem,) = login.problems
    assert str(file) in problem
    assert "whoever is in stays" in problem
    file.unlink(missing_ok=True)
    file.touch(0o600)
    file.write_bytes(whole)
    login.look()
    assert not login.problems
    lines = [line for line in whole.splitlines() if not line.startswith(b"bob:")]
    file.write_bytes(b"\n".join(lines))
    login.look()
    assert [login.now(user) for user in users] == users
    # Nobody has put them back for a second.
    monkeypatch.setattr(userfile, "monotonic", lambda: time.monotonic() + 1)
    before = login.changes
    login.look()
    assert login.changes == before + 1
    assert [login.now(user) for user in users] == [users[0], None]


def test_storeThatRaises() -> None:
    """Nor does a store of somebody else's that fails say that anybody is gone."""

    @implementer(ICredentialsChecker, IChangingStore)
    class Broken:
        credentialInterfaces = ()

        def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
            raise AssertionError("it knows no credentials")

        def stamp(self) -> object:
            return 0

        def knows(self, name: bytes) -> bool:
            raise OSError

    login = Login([Broken()], {}, 60, Clock().seconds)
    user = SocksUser("alice", frozenset(), "userpass")
    with capturedLogs() as events:
        assert login.now(user) == user
    assert eventAsText(events[0]).endswith("a checker failed: OSError")


def test_oneWrongLine(reactor: ThreadedReactor, file: Path) -> None:
    """
    Whose line is wrong cannot log in and stays, if they are in; the others get
    in. File and line are said, once, and never what stands there.
    """
    setPassword(file, "bob", b"x")
    whole = file.read_bytes()
    checker = PasswordFile(file, HashingPool(reactor))
    with capturedLogs() as events:
        file.write_bytes(whole + f"bob:{CANARY}\ncarol:{CANARY}\nnothing\n".encode())
        for _ in range(2):
            assert ask(reactor, checker, b"alice", b"sesame") == b"alice"
            for name in (b"bob", b"carol", b"nothing"):
                failure = ask(reactor, checker, name, b"x")
                assert failure.reason == "wrong-credentials"
    told = [eventAsText(event) for event in events]
    assert [f"{file}: line {n}: " in text for n, text in enumerate(told, 3)] == [
        True
    ] * 3
    assert CANARY not in "".join(told)
    assert checker.knows(b"bob")
    assert not checker.knows(b"nothing")
    file.write_bytes(whole)
    assert ask(reactor, checker, b"bob", b"x") == b"bob"
    assert not checker.problems()


def test_manyWrongLines(reactor: ThreadedReactor, file: Path) -> None:
    """So many are told one by one."""
    with file.open("a") as opened:
        opened.writelines(f"user{n}:x\n" for n in range(20))
    problems = PasswordFile(file, HashingPool(reactor)).problems()
    assert len(problems) == 11
    assert problems[-1] == f"{file}: 10 more lines are wrong"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_editors(
    reactor: ThreadedReactor, file: Path, mark: bytes, end: bytes, last: bool
) -> None:
    """
    A byte-order mark, the line ends of Windows and no last one change nothing,
    for whoever reads the file and for C{socksgw passwd}.
    """
    setPassword(file, "bob", b"x")
    lines = file.read_bytes().splitlines()
    file.write_bytes(mark + end.join(lines) + (end if last else b""))
    checker = PasswordFile(file, HashingPool(reactor))
    assert not checker.problems()
    for name, password in ((b"alice", b"sesame"), (b"bob", b"x")):
        assert ask(reactor, checker, name, password) == name
    setPassword(file, "alice", b"another")
    assert ask(reactor, checker, b"alice", b"another") == b"alice"
    assert ask(reactor, checker, b"bob", b"x") == b"bob"


def test_wideText(reactor: ThreadedReactor, file: Path) -> None:
    """UTF-16 is called what it is."""
    file.write_text(file.read_text(), "utf-16")
    with pytest.raises(PasswordFileError, match="UTF-16; save it as UTF-8"):
        PasswordFile(file, HashingPool(reactor))
