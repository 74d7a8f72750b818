"""
Files that the configuration names.

They are read whole and bounded, and never waited for. One that holds a secret is
refused if other users can read it.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Final

from socksgw.system.rights import supplementary

__all__ = [
    "FileError",
    "ownDirectory",
    "readFile",
    "readOwn",
    "isWide",
    "readSecret",
    "stampOf",
    "supposingTrust",
    "trustGroups",
    "trustNumbers",
    "trusted",
    "unmarked",
    "unreadable",
]

#: Byte-order marks, which editors put in front of UTF-8, and of UTF-16.
_MARK: Final = b"\xef\xbb\xbf"
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")
#: Octets of the largest file that is read.
_MOST: Final = 64 << 20
#: Groups whose members may read secrets, by the configuration in force.
_trusted: Final[set[int]] = set()
#: The same, by a configuration that is only looked at.
_supposed: Final[ContextVar[set[int] | None]] = ContextVar("supposed", default=None)


class FileError(Exception):
    """
    The file cannot be used; the text names it and the remedy.
    """


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    # Never wait for the other end of a FIFO.
    with open(
        path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)
    ) as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise FileError(f"{path}: not a regular file; name another")
        octets = opened.read(_MOST + 1)
    if len(octets) > _MOST:
        raise FileError(f"{path}: larger than {_MOST >> 20} MiB")
    return octets, found


def unreadable(path: Path, error: OSError) -> str:
    """
    Tell why a file cannot be read; with the remedy, where that is a permission.
    """
    why = f"{path}: {error.strerror}"
    if not isinstance(error, PermissionError):
        return why
    us = os.geteuid()
    for above in reversed(path.absolute().parents):
        if not os.access(above, os.X_OK, effective_ids=True):
            return f"{why}; let user {us} enter {above}"
    return f"{why}; let user {us} read it: chown {us} {path}"


def readFile(path: Path) -> bytes:
    """
    Return the content of a regular file.

    @raise OSError: it cannot be read.
    @raise FileError: it is not a regular file, or is larger than 64 MiB.
    """
    return _read(path)[0]


def unmarked(octets: bytes) -> bytes:
    """Return a text in UTF-8 without the byte-order mark that editors put in front."""
    return octets.removeprefix(_MARK)


def isWide(octets: bytes) -> bool:
    """Tell whether a text begins with the byte-order mark of UTF-16."""
    return octets.startswith(_WIDE)


def readSecret(path: Path, private: bool = False) -> bytes:
    """
    Return the content of a file that nobody else can read.

    Its mode has nothing for others. It has nothing for its group either, unless the
    group is ours alone (as of a volume of a container) or one that the operator
    trusts (L{trustGroups}).

    @param private: whether it has to be ours, or root's.
    @raise OSError: it cannot be read.
    @raise FileError: others can read it, or as L{readFile}.
    """
    octets, found = _read(path)
    if not _isCredential(path):
        _checkGroup(path, found, 0o070, "read")
    if found.st_mode & 0o007:
        raise FileError(f"{path}: others can read it; remedy: chmod o-rwx {path}")
    if private:
        _checkOwner(path, found)
    return octets


def readOwn(path: Path) -> bytes:
    """
    Return the content of a file that nobody else can change.

    @raise OSError: it cannot be read.
    @raise FileError: others can change it, or as L{readFile}.
    """
    octets, found = _read(path)
    _checkGroup(path, found, 0o020, "change")
    if found.st_mode & 0o002:
        raise FileError(f"{path}: others can change it; remedy: chmod o-w {path}")
    _checkOwner(path, found)
    return octets


def trustGroups(names: Iterable[str]) -> list[str]:
    """
    Let the members of these groups, and of no others, read files that hold secrets.

    That is so where the mode of a file lets them. It asks the databases of this
    machine, which may take long.

    @param names: names of groups of this machine, or their numbers.
    @return: those of them that are no groups.
    """
    found: set[int] = set()
    unknown = []
    for name in names:
        try:
            found.add(int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid)
        except KeyError:
            unknown.append(name)
    _isPrivate.cache_clear()
    for gid in {os.getegid(), *supplementary()} - {0}:
        _isPrivate(gid, os.geteuid())
    _trust(found)
    return unknown


def trusted() -> frozenset[int]:
    """Return the numbers of the groups that are trusted."""
    supposed = _supposed.get()
    return frozenset(_trusted if supposed is None else supposed)


def _trust(numbers: Iterable[int]) -> None:
    supposed = _supposed.get()
    if supposed is None:
        trustNumbers(numbers)
    else:
        supposed.clear()
        supposed.update(numbers)


def trustNumbers(numbers: Iterable[int]) -> None:
    """As L{trustGroups}, with the numbers of groups; nothing is asked."""
    _trusted.clear()
    _trusted.update(numbers)


@contextmanager
def supposingTrust() -> Iterator[None]:
    """
    Let L{trustGroups} count only inside the block, which tests a configuration.

    Outside of it, and in other contexts, the groups are trusted that were before.
    """
    token = _supposed.set(set(_trusted))
    try:
        yield
    finally:
        _supposed.reset(token)


def _checkGroup(path: Path, found: os.stat_result, bits: int, what: str) -> None:
    """
    Check what the mode of a file lets its group do.

    @raise FileError: it has some of these bits, and the group is neither ours alone
        nor trusted.
    """
    gid = found.st_gid
    if not found.st_mode & bits or gid in trusted() or _groupIsOurs(found):
        return
    try:
        name = grp.getgrgid(gid).gr_name
    except KeyError:
        name = str(gid)
    us = os.geteuid()
    remedy = f"chmod g-rwx {path}"
    if us not in (0, found.st_uid):
        # Without the group's right we could not read it ourselves.
        remedy = f"chown {us} {path} && {remedy}"
    raise FileError(
        f"{path}: the group {name} can {what} it; remedy: {remedy}, or, where "
        f'all its members may: [gateway] trusted_groups = ["{name}"]'
    )


def ownDirectory(path: Path, shared: bool = False) -> None:
    """
    Make a directory (mode 0700) and its parents, unless it is there, and check it.

    Nobody else can change it or put another in its place: it, the directory that
    holds it, and a link that leads to it are ours or root's.

    @param shared: the operator says that nobody else has an account: others may own
        them and write to them.
    @raise OSError: it cannot be made or looked at.
    @raise FileError: somebody else can change it.
    """
    path = path.absolute()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    if shared:
        return
    real = path.resolve()
    for place in dict.fromkeys((path.parent.resolve(), real.parent)):
        found = place.stat()
        # In a sticky directory only owners rename what is theirs (unlink(2)).
        _checkDirectory(place, found, bool(found.st_mode & stat.S_ISVTX))
    if path.is_symlink():
        _checkDirectory(path, path.lstat(), True)
    _checkDirectory(real, real.lstat(), False)


def _checkDirectory(path: Path, found: os.stat_result, sticky: bool) -> None:
    us = os.geteuid()
    alone = (
        "or, where nobody else has an account, as in a container: [gateway] "
        "shared_state_dir = true"
    )
    # Not even root believes what another user can replace.
    if found.st_uid not in (0, us):
        remedy = f"chown {us} {path}"
        if us == 0:
            # Most often that is the gateway's user, and root the one who is wrong.
            remedy = (
                f"start the gateway as user {found.st_uid} (twistd --uid), or {remedy}"
            )
        raise FileError(
            f"{path}: it belongs to user {found.st_uid}, who can replace what is in it; "
            f"remedy: {remedy}, {alone}"
        )
    writable = found.st_mode & 0o002 or (
        found.st_mode & 0o020 and not _groupIsOurs(found)
    )
    if writable and not sticky:
        raise FileError(
            f"{path}: others can replace what is in it; remedy: chmod go-w {path}, "
            f"{alone}"
        )


def _groupIsOurs(found: os.stat_result) -> bool:
    """
    Return whether a file's group is ours (and root's) alone.

    It is group 0, the private group of our user, or one of our groups that has no
    name here, as volumes of containers have.
    """
    gid = found.st_gid
    if gid == 0:
        return True
    if gid != os.getegid() and gid not in supplementary():
        return False
    return _isPrivate(gid, os.geteuid())


@lru_cache(maxsize=64)
def _isPrivate(gid: int, uid: int) -> bool:
    """
    Return whether a group has no other member than a user (and root), or no name.

    Asked once, when a configuration is read (L{trustGroups}): the answer may come from
    a directory, and whoever reads a file would wait for it.
    """
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return True
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return False
    return group.gr_name == name and set(group.gr_mem) <= {name, "root"}


def _checkOwner(path: Path, found: os.stat_result) -> None:
    us = os.geteuid()
    if us not in (0, found.st_uid) and found.st_uid != 0:
        raise FileError(
            f"{path}: it is somebody else's, who can change it; remedy: chown {us} {path}"
        )


def _isCredential(path: Path) -> bool:
    """
    Return whether systemd handed the file to this service.

    See C{LoadCredential} in systemd.exec(5). It lets us read by an access control
    list, whose mask shows as permissions of the group.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return directory is not None and path.is_relative_to(directory)


def stampOf(path: Path) -> object:
    """
    Return a value that differs when the file may.

    @return: L{None} when the file is not there.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid
