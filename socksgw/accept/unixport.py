"""
Listening on Unix sockets, for programs of this machine.

The kernel says who connects (L{socksgw.system.program}). The file of a socket is
made with its mode and owner before anybody can connect, takes the place of one that
nobody listens on any more, and goes with the port.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import socket
import stat
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.accept.endpoints import BACKLOG, ListeningPort
from socksgw.accept.inbound import Inbound
from socksgw.accept.listener import Listener
from socksgw.config.listening import parseUnixAddress
from socksgw.system.program import Program, programAt
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MODE",
    "UnixPort",
    "askOwner",
    "listenOnPath",
    "modeOf",
    "ownerOf",
    "permissionsOf",
    "remedyForPath",
]

_log: Final = Logger()

#: The mode of a socket where the configuration says no other: its user and group may
#: connect.
MODE: Final = "660"
_MODE: Final = re.compile(r"0?[0-7]{3}\Z")
_DONE: Final = Failure(ConnectionDone())
#: Of a program that the kernel does not name; no user has this number.
_STRANGER: Final = Address.ofUser(0xFFFFFFFF)


def modeOf(text: str) -> int:
    """
    Return the mode that C{"660"} means.

    @raise ValueError: it means none.
    """
    if not _MODE.match(text):
        raise ValueError('must be three octal digits, such as "660"')
    return int(text, 8)


def ownerOf(text: str) -> tuple[int, int]:
    """
    Return the user and the group of C{"user"}, C{"user:group"} or C{":group"}.

    A name that L{askOwner} has asked for is not asked for again.

    @return: their numbers; -1 for one that is not named.
    @raise ValueError: the system does not know one of them.
    """
    user, _, group = text.partition(":")
    if not user and not group:
        raise ValueError('must be "user", "user:group" or ":group"')
    numbers = []
    for name, what, find in (
        (user, "user", _userNamed),
        (group, "group", _groupNamed),
    ):
        if not name or (name.isascii() and name.isdigit()):
            numbers.append(int(name or -1))
            continue
        number = _asked.get((find, name))
        try:
            numbers.append(find(name) if number is None else number)
        except KeyError:
            raise ValueError(f'there is no {what} "{name}" on this system') from None
    return numbers[0], numbers[1]


def askOwner(text: str) -> None:
    """
    Ask the system for the names in C{"user:group"}; it may block, as in a thread.

    What it answers counts until it is asked again. A name that it does not know is left
    to L{ownerOf}.
    """
    user, _, group = text.partition(":")
    for find, name in ((_userNamed, user), (_groupNamed, group)):
        if name and not name.isdigit():
            with suppress(KeyError):
                _asked.pop((find, name), None)
                _asked[find, name] = find(name)


def permissionsOf(mode: str, owner: str) -> tuple[int, tuple[int, int]]:
    """
    Return the mode and the owner of a socket.

    @param mode: as in the configuration; empty for L{MODE}.
    @param owner: the same; empty for our own.
    @raise ValueError: one of them means none.
    """
    return modeOf(mode or MODE), ownerOf(owner) if owner else (-1, -1)


def _userNamed(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _groupNamed(name: str) -> int:
    return grp.getgrnam(name).gr_gid


#: The numbers of names, by what asks for them.
_asked: Final[dict[tuple[Callable[[str], int], str], int]] = {}


class UnixPort(ListeningPort):
    """
    A port at a path, or of an abstract name.

    Its clients are counted by their users.
    """

    addressFamily: Any = socket.AF_UNIX

    def __init__(
        self, name: str, mode: int, owner: tuple[int, int], factory: Any, reactor: Any
    ) -> None:
        """
        Make it; nothing is listened on yet.

        @param name: as L{parseUnixAddress} returns it.
        @param mode: of the file.
        @param owner: as L{ownerOf} returns it.
        """
        super().__init__(0, factory, BACKLOG, "", reactor)
        self.addressFamily = socket.AF_UNIX
        self.path = None if name.startswith("@") else Path(name)
        self._name = name
        self._mode = mode
        self._owner = owner
        self._file: tuple[int, int] | None = None
        self._given: socket.socket | None = None

    def startListening(self) -> None:
        """
        Make the socket, and begin to accept.

        @raise CannotListenError: that is not possible; its error says why, and what
            to do.
        """
        given, self._given = self._given, None
        listening = given or socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            if given is None:
                self._bind(listening)
                listening.listen(BACKLOG)
            else:
                self._adopt()
        except OSError as e:
            listening.close()
            self._remove()
            raise CannotListenError("", self._name, e) from None
        # What Twisted's port does here takes the name for a host and a port.
        self._realPortNumber: Any = self._name
        factory: Any = self.factory
        factory.doStart()
        self.connected = True
        self.socket = listening
        self.fileno = listening.fileno  # type: ignore[method-assign]
        _log.info("listening on {name}", name=self._name)
        self.startReading()

    def give(self, listening: socket.socket) -> None:
        """Have it go on with a socket that listens there already."""
        self._given = listening

    def _adopt(self) -> None:
        if self.path is not None:
            found = self.path.lstat()
            self._file = found.st_dev, found.st_ino
            self._permit()

    def _bind(self, listening: socket.socket) -> None:
        path = self.path
        if path is None:
            listening.bind("\0" + self._name[1:])
            return
        try:
            listening.bind(str(path))
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
            _clear(path)
            listening.bind(str(path))
        # No client can connect before listen(2).
        found = path.lstat()
        self._file = found.st_dev, found.st_ino
        self._permit()

    @property
    def permissions(self) -> tuple[int, tuple[int, int]]:
        """The mode and the owner of the file."""
        return self._mode, self._owner

    def permit(self, mode: int, owner: tuple[int, int]) -> None:
        """
        Change the mode and the owner of the file, where they are others now.

        @raise OSError: that is not permitted.
        """
        if (mode, owner) != (self._mode, self._owner):
            self._mode, self._owner = mode, owner
            if self._file is not None:
                self._permit()

    def _permit(self) -> None:
        assert self.path is not None
        # What stands at the path by now may be a link to another file.
        with _held(self.path) as (descriptor, found):
            if (found.st_dev, found.st_ino) != self._file:
                raise OSError(errno.ESTALE, "something else stands there by now")
            if self._owner != (-1, -1):
                os.chown(descriptor, *self._owner)
            os.chmod(descriptor, self._mode)

    def clientOf(self, accepted: socket.socket, address: Any) -> Inbound | None:
        """Let a client in, as a source of its user."""
        factory: Any = self.factory
        program: Program | None = programAt(accepted)
        source = _STRANGER if program is None else Address.ofUser(program.uid)
        client: Inbound | None = factory.letIn(source, 0)
        if client is not None:
            client.program = program
        return client

    def getHost(self) -> UNIXAddress:
        """Return where it listens."""
        return UNIXAddress(self._name.replace("@", "\0", 1))

    def loseConnection(self, connDone: Failure = _DONE) -> Deferred[None]:
        """As L{ListeningPort.loseConnection}; the file goes first."""
        self._remove()
        return super().loseConnection(connDone)

    stopListening = loseConnection

    def surrender(self) -> None:
        """As L{ListeningPort.surrender}; the file stays."""
        self._file = None
        super().surrender()

    def _remove(self) -> None:
        """Remove the file, if it is still ours."""
        own, self._file = self._file, None
        if own is None or self.path is None:
            return
        try:
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == own:
                self.path.unlink()
        except FileNotFoundError:
            pass
        except OSError as e:
            _log.warn(
                "the socket {path} stays ({why}): the next start replaces it",
                path=str(self.path),
                why=e.strerror,
            )


@contextmanager
def _held(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """
    Hold what stands at a path, not what a link there leads to.

    @return: a path to it that cannot lead elsewhere, and its state.
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}", os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    """
    Remove a socket that nobody listens on.

    @raise OSError: something else stands there, which is left as it is.
    """
    found = path.lstat()
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "a file that is no socket stands there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            pass
        except OSError as e:
            if e.errno not in (errno.EAGAIN, errno.EPROTOTYPE):
                raise
            raise OSError(errno.EADDRINUSE, "a program listens there") from None
        else:
            raise OSError(errno.EADDRINUSE, _whose(programAt(probe)))
    now = path.lstat()
    # Not one that has been made since; numbers of files are used again.
    if (now.st_ino, now.st_ctime_ns) == (found.st_ino, found.st_ctime_ns):
        path.unlink()


def _whose(program: Program | None) -> str:
    """Return which program listens, as far as that can be told."""
    if program is None or not program.pid:
        return "a program listens there"
    name = ""
    with suppress(OSError):
        name = Path(f"/proc/{program.pid}/comm").read_text().strip() + ", "
    return f"a program listens there ({name}process {program.pid})"


def remedyForPath(text: str, error: BaseException) -> str:
    """
    Return one line for the operator: why listening failed, and what to do.

    @param text: the address.
    """
    cause = error.socketError if isinstance(error, CannotListenError) else error
    code = cause.errno if isinstance(cause, OSError) else 0
    why = (cause.strerror if isinstance(cause, OSError) else "") or str(cause)
    remedy = {
        errno.EACCES: "let the gateway's user write the directory",
        errno.EADDRINUSE: "stop it, or choose another path",
        errno.EEXIST: "remove it yourself, or choose another path",
        errno.ENOENT: "make its directory (RuntimeDirectory= in a unit of systemd)",
        errno.EPERM: (
            "a group that the gateway's user is in needs no right; "
            "another owner needs CAP_CHOWN"
        ),
    }.get(code or 0, "see the text before this for the cause")
    return f"cannot listen on {text}: {why}; {remedy}"


def listenOnPath(
    reactor: Any,
    text: str,
    mode: int,
    owner: tuple[int, int],
    factory: Listener,
    exhausted: Callable[[], None],
    watch: Watcher,
    given: socket.socket | None = None,
) -> UnixPort:
    """
    Listen on one C{address} of the configuration that begins with C{unix:}.

    @param mode: of the file, and C{owner}: as L{permissionsOf} returns them.
    @param exhausted: called when there is no descriptor for a client.
    @param watch: tells clients' transports what there is to read.
    @param given: the socket, where it listens already.
    @raise CannotListenError: the kernel does not let us.
    """
    port = UnixPort(parseUnixAddress(text), mode, owner, factory, reactor)
    port.exhausted = exhausted
    port.watch = watch
    if given is not None:
        port.give(given)
    port.startListening()
    port.numberAccepts = 64
    return port
