"""
What can be told of a PAM service without a login.

A login that fails would be counted, and told of, by the modules: none is tried.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from socksgw.interfaces import Answer, ProbeFailed

__all__ = ["askService", "lacking"]

#: Where services are (pam.conf(5)), the first one that has it.
_SERVICES: Final = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"))
#: Where modules of a relative path are, by the patterns of distributions.
_MODULES: Final = ("lib/*/security", "lib/security", "lib64/security",
                   "usr/lib/*/security", "usr/lib/security", "usr/lib64/security")  # fmt: skip
_LINE: Final = re.compile(
    r"-?(?P<type>auth|account)\s+(?P<control>\[[^\]]*\]|\S+)\s+(?P<name>\S+)"
)
#: Files that are included in one another, at most.
_DEEP: Final = 16
#: What to do where there is no file.
_MAKE: Final = "make that file: see socksgw help directories"


def askService(service: str, root: Path = Path("/")) -> Sequence[Answer]:
    """
    Look whether the service and its modules are there, and may be used.

    @param root: where the system's files are.
    @raise ProbeFailed: they are not.
    """
    lines = list(_lines(service, root, 0))
    what = f"PAM service {service}"
    names = list(dict.fromkeys(name for _, name in lines))
    lacking = [each for each in names if not _isThere(each, root)]
    if lacking:
        raise ProbeFailed(
            f"there is no module {', '.join(lacking)}", "install the package of it"
        )
    if not any(kind == "auth" for kind, _ in lines):
        raise ProbeFailed(
            f"{what} has no line of auth", "PAM refuses everybody then; add one"
        )
    said = f"is there, with {', '.join(names)}; no login was tried"
    if blind := _blind(names, root):
        remedy = "ask as the gateway's own user, with the group shadow, or use another "
        return [Answer(what, f"{said}; {blind}", "warning", f"{remedy}module")]
    return [Answer(what, said)]


def lacking(service: str, root: Path = Path("/")) -> Sequence[str]:
    """
    Return what is wrong with a service.

    Its file is not there, or its module would take every password for wrong.

    @param root: where the system's files are.
    """
    if not _files(service, root):
        return [f"{_absent(service)}; {_MAKE}"]
    try:
        names = {name for _, name in _lines(service, root, 0)}
    except ProbeFailed as e:
        return [f"PAM service {service}: {e}; {e.remedy}"]
    if blind := _blind(names, root):
        return [
            f"PAM service {service}: {blind}; give the gateway's user the group shadow "
            "(SupplementaryGroups=shadow in its unit)"
        ]
    return []


def _files(service: str, root: Path) -> Sequence[Path]:
    places = (root / str(each).lstrip("/") / service for each in _SERVICES)
    return [path for path in places if path.is_file()]


def _absent(service: str) -> str:
    return (
        f"there is no file {_SERVICES[0] / service}: PAM takes the service `other`, which "
        "on Debian asks for passwords of this system's users"
    )


def _lines(service: str, root: Path, depth: int) -> Iterator[tuple[str, str]]:
    """Yield types and modules of a service, of what it includes, too."""
    if depth > _DEEP:
        raise ProbeFailed(f"{service} includes itself", "mend the files in /etc/pam.d")
    found = _files(service, root)
    if not found:
        raise ProbeFailed(_absent(service), _MAKE)
    try:
        text = found[0].read_text("utf-8", "replace")
    except OSError as e:
        raise ProbeFailed(
            f"{found[0]}: {e.strerror}", "let this user read it"
        ) from None
    for line in text.replace("\\\n", " ").splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["@include"] and len(words) == 2:
            yield from _lines(words[1], root, depth + 1)
        elif (match := _LINE.match(" ".join(words))) is not None:
            if match["control"] in ("include", "substack"):
                yield from _lines(match["name"], root, depth + 1)
            else:
                yield match["type"], match["name"]


def _isThere(module: str, root: Path) -> bool:
    if module.startswith("/"):
        return (root / module.lstrip("/")).is_file()
    return any(next(root.glob(f"{each}/{module}"), None) for each in _MODULES)


def _blind(modules: Collection[str], root: Path) -> str:
    """
    Return why a module takes every password for wrong, but this user's own.

    Whoever may not read the file is told of that alone, by C{unix_chkpwd}
    (pam_unix(8)).

    @return: empty where none does.
    """
    user = os.geteuid()
    if (
        "pam_unix.so" not in modules
        or user == 0
        or os.access(root / "etc/shadow", os.R_OK)
    ):
        return ""
    return (
        f"pam_unix lets user {user}, who may not read /etc/shadow, ask about no other "
        "user's password"
    )
