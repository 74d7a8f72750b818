"""
Which servers' files can be imported, and how a file is known.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from socksgw.importing.dante.writing import draftOf as ofDante
from socksgw.importing.draft import Draft
from socksgw.importing.host import Host
from socksgw.importing.squid.writing import draftOf as ofSquid
from socksgw.importing.threeproxy.writing import draftOf as ofThreeProxy

__all__ = ["KINDS", "Kind", "kindOf"]


class Kind(NamedTuple):
    """
    A server whose files can be imported.

    @ivar name: as C{--kind} has it.
    @ivar files: the names that its file usually has.
    @ivar server: which it is, with its versions.
    @ivar draftOf: makes a draft of the text of a file; raises
        L{Unreadable<socksgw.importing.host.Unreadable>}.
    """

    name: str
    files: tuple[str, ...]
    server: str
    draftOf: Callable[[str, Host], Draft]


KINDS: Final = (
    Kind("dante", ("danted.conf", "sockd.conf"), "Dante 1.4", ofDante),
    Kind("3proxy", ("3proxy.cfg",), "3proxy 1.0", ofThreeProxy),
    Kind("squid", ("squid.conf",), "Squid 5", ofSquid),
)


def kindOf(path: str, name: str | None) -> Kind | None:
    """
    Return which kind of file one is.

    @param name: of the kind, if that is told; by the file's name otherwise.
    @return: L{None} where neither says so.
    """
    if name is not None:
        return next(each for each in KINDS if each.name == name)
    # danted.conf.old and proxy-danted.conf, too.
    own = Path(path).name.lower()
    for kind in KINDS:
        if any(file.partition(".")[0] in own for file in kind.files):
            return kind
    return None
