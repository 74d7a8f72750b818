"""
Write another server's configuration as ours: C{socksgw import}.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import socket
from collections.abc import Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import Any, Final, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from socksgw.config.problems import ConfigError, Problem
from socksgw.console.idlerules import leaveIdle
from socksgw.importing.draft import Draft
from socksgw.importing.host import Host, Unreadable
from socksgw.importing.kinds import KINDS, kindOf

__all__ = ["importMain", "importingCommand"]

#: Octets of the longest file that is read.
_LONGEST: Final = 1 << 20


def importingCommand(commands: Any) -> None:
    """
    Add C{import}.

    @param commands: what C{add_subparsers} returned.
    """
    importing = commands.add_parser(
        "import",
        help="write another server's configuration as ours",
        description="Read danted.conf (or sockd.conf) of Dante 1.4, 3proxy.cfg of "
        "3proxy 1.0, or squid.conf of Squid 5, and print a configuration for this "
        "gateway: each rule with the line that it was made of, and requests that "
        "check tries ([[expect]]). What is not the same here is printed on standard "
        "error, and in the file. Nothing is written where more would be allowed than "
        "there, but with --wider.",
        epilog="Example: socksgw import /etc/danted.conf -o gw.toml && "
        "socksgw check gw.toml. Exit status: 0 written, 1 it would be wider, 2 wrong "
        "use, or the file cannot be read.",
    )
    importing.add_argument("file", metavar="FILE", help="the other server's file")
    importing.add_argument(
        "--kind",
        choices=[each.name for each in KINDS],
        help="which server's file it is; default: as its name tells",
    )
    importing.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="what is written, a new file; default: standard output",
    )
    importing.add_argument(
        "--wider",
        action="store_true",
        help="write it also where more is allowed than there",
    )
    importing.add_argument(
        "--json",
        action="store_true",
        help="print what is not the same as JSON, in place of the configuration",
    )
    importing.set_defaults(run="import")


def importMain(
    file: str,
    kind: str | None,
    output: str | None,
    wider: bool,
    asJson: bool,
    out: TextIO,
    err: TextIO,
) -> int:
    """
    Print, or write, the configuration that is made of another server's file.

    @param kind: which server's it is; L{None} to tell it by the file's name.
    @param output: the file that is made, and must not exist; L{None} for C{out}.
    @param wider: whether more may be allowed than there.
    @param asJson: whether what is not the same is printed as JSON instead.
    @return: the exit status.
    @raise ConfigError: the file cannot be used.
    """
    path = Path(file)
    which = kindOf(file, kind)
    if which is None:
        usual = ", ".join(name for each in KINDS for name in each.files)
        words = " or ".join(f"--kind {each.name}" for each in KINDS)
        why = f"its name does not tell which server's it is ({usual}): say {words}"
        raise ConfigError(file, [Problem("", why)])
    try:
        text = _text(path)
    except OSError as e:
        raise ConfigError(
            file, [Problem("", f"cannot be read: {e.strerror}")]
        ) from None
    try:
        draft = which.draftOf(text, _host(path))
    except Unreadable as e:
        raise ConfigError(
            file, [Problem("", f"{e}; it is read as a file of {which.server}")]
        ) from None
    leaveIdle(draft, path.name)
    if asJson:
        print(json.dumps([each._asdict() for each in draft.left], indent=1), file=out)
    else:
        for each in sorted(draft.left):
            print(f"{file}: {each}{' (WIDER)' if each.wider else ''}", file=err)
    if draft.isWider and not wider:
        print(
            "socksgw import: nothing is written: what is marked WIDER would allow more "
            "than the original; --wider writes it all the same",
            file=err,
        )
        return 1
    return _written(draft, path, output, asJson, out, err)


def _text(path: Path) -> str:
    """
    Read a file of another server; octets that are no UTF-8 are replaced.

    @raise OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return stream.read(_LONGEST).decode("utf-8", "replace")


def _written(
    draft: Draft, path: Path, output: str | None, asJson: bool, out: TextIO, err: TextIO
) -> int:
    text = "".join(f"{line}\n" for line in draft.lines(f"Made of {path.name}."))
    if output is None:
        if not asJson:
            out.write(text)
        for name in draft.secrets:
            print(f"{name} has secrets: it is made with -o alone", file=err)
        return 0
    for name, secret in draft.secrets.items():
        beside = str(Path(output).parent / name)
        _make(beside, secret, 0o600)
        print(f"{beside} is written; nobody else may read it", file=err)
    _make(output, text, 0o644)
    print(f"{output} is written; next: socksgw check {output}", file=err)
    return 0


def _make(file: str, text: str, mode: int) -> None:
    """
    Make a file that is not there yet.

    @raise ConfigError: it cannot be made.
    """
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(fd, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as e:
        raise ConfigError(
            file, [Problem("", f"cannot be made: {e.strerror}")]
        ) from None


def _host(path: Path) -> Host:
    def beside(name: str) -> str | None:
        with suppress(OSError):
            return _text(path.parent / name)
        return None

    def matching(pattern: str) -> Sequence[str]:
        return sorted(map(str, glob(str(path.parent / pattern))))

    return Host(_addressesOf, _membersOf, beside, matching, _zone())


def _zone() -> str:
    """Return the name of this host's time zone; UTC where that is not known."""
    named = os.environ.get("TZ", "").removeprefix(":")
    _, _, zone = os.path.realpath("/etc/localtime").partition("/zoneinfo/")
    for each in (named, zone):
        with suppress(ValueError, OSError, ZoneInfoNotFoundError):
            return ZoneInfo(each).key
    return "UTC"


def _addressesOf(interface: str) -> Sequence[str]:
    # It asks the kernel by netlink, which no other command of this kind needs.
    from socksgw.gateway.kernelroutes import KernelRoutes

    try:
        index = socket.if_nametoindex(interface)
    except OSError:
        return ()
    routes = KernelRoutes()
    try:
        return [str(each) for each, _, at in routes.addresses() if at == index]
    finally:
        routes.close()


def _membersOf(group: str) -> Sequence[str] | None:
    try:
        found = grp.getgrnam(group)
    except KeyError:
        return None
    own = (each.pw_name for each in pwd.getpwall() if each.pw_gid == found.gr_gid)
    return list(dict.fromkeys([*found.gr_mem, *own]))
