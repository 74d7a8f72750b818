"""
The grants, kept over restarts in a small file.

The whole file is written beside the old one, which it then replaces. What is granted
is in it before it is in force.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, final

from attrs import asdict, define, fields_dict
from cattrs.errors import BaseValidationError

from socksgw.config.hooks import CONVERTER
from socksgw.config.schema import GrantAsked
from socksgw.system.files import FileError, readOwn

__all__ = ["STATES", "Grant", "GrantFile", "GrantsUnreadable", "document"]

#: Seconds since the epoch that no time reaches.
_ENDLESS: Final = 1e12
_VERSION: Final = 1
State = Literal["pending", "active", "ended", "lapsed", "revoked"]
STATES: Final = ("pending", "active", "ended", "lapsed", "revoked")


class GrantsUnreadable(Exception):
    """The file cannot be used; the text names the remedy."""


@final
@define
class Grant:
    """
    A grant, or the request for one.

    Times are in seconds since the epoch.

    @ivar template: the id of what it is a part of.
    @ivar until: its end; 0 before it is approved.
    @ivar left: how many seconds were left of it when the file was written.
    @ivar endedBy: who revoked it; empty for nobody.
    @ivar why: why it is over.
    """

    number: int
    asked: GrantAsked
    requestedBy: str
    requestedAt: float
    state: State = "pending"
    template: str = ""
    approvedBy: str = ""
    approvedAt: float = 0.0
    until: float = 0.0
    left: float = 0.0
    endedBy: str = ""
    endedAt: float = 0.0
    why: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing becomes of it any more."""
        return self.state not in ("pending", "active")


def document(asked: GrantAsked) -> dict[str, Any]:
    """Return a request as it was made, for JSON."""
    found = {
        each.metadata.get("toml", name): getattr(asked, name)
        for name, each in fields_dict(GrantAsked).items()
    }
    found["for"] = f"{round(asked.for_ * 1000)}ms"
    return {key: value for key, value in found.items() if value is not None}


@final
class GrantFile:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[float, int, list[Grant]]:
        """
        Read the file, if there is one.

        @return: when it was written, the number of the next grant, and the grants.
        @raise GrantsUnreadable: it cannot be read, so that it is not known what was
            granted.
        """
        path = self._path
        try:
            found = json.loads(readOwn(path))
            if found["version"] != _VERSION:
                raise ValueError("another version")
            grants = [_grant(each) for each in found["grants"]]
            saved, following = float(found["saved"]), int(found["next"])
            numbers = {each.number for each in grants}
            if len(numbers) != len(grants) or not all(
                0 < n < following for n in numbers
            ):
                raise ValueError("a number twice, or none")
            if not 0 <= saved < _ENDLESS:
                # Also of what is no number at all: then no time would pass.
                raise ValueError("no time")
        except FileNotFoundError:
            return 0.0, 1, []
        except FileError as e:
            raise GrantsUnreadable(str(e)) from None
        except OSError as e:
            why = f"{path}: {e.strerror}; make it readable for this user"
            raise GrantsUnreadable(why) from None
        except (
            ValueError,
            TypeError,
            KeyError,
            RecursionError,
            OverflowError,
            BaseValidationError,
        ):
            why = "not a file of grants; move it away, and nothing is granted any more"
            raise GrantsUnreadable(f"{path}: {why}") from None
        return saved, following, grants

    def save(self, now: float, following: int, grants: Sequence[Grant]) -> None:
        """
        Write the file.

        The reactor waits for the disk: people make grants, and few.

        @raise OSError: it could not be written, and is as it was.
        """
        rows = [
            {
                **asdict(each, recurse=False),
                "asked": document(each.asked),
            }
            for each in grants
        ]
        text = json.dumps(
            {"version": _VERSION, "saved": now, "next": following, "grants": rows}
        )
        new = self._path.with_suffix(".new")
        # A process that was killed has left it, or another user has put a link there.
        new.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)


def _grant(row: Any) -> Grant:
    """
    Read a grant.

    @raise ValueError: it is none.
    @raise BaseValidationError: it is none.
    """
    kinds = {"number": int, "requestedAt": float, "approvedAt": float}
    kinds |= {"until": float, "left": float, "endedAt": float}
    values = dict(row)
    values["asked"] = CONVERTER.structure(values["asked"], GrantAsked)
    for key, value in values.items():
        kind = kinds.get(key, str)
        if key != "asked" and type(value) is not kind:
            raise ValueError(f"{key} is not of its type")
        # Neither is there a time that has no end.
        if kind is float and not 0 <= value < _ENDLESS:
            raise ValueError(f"{key} is no time")
    if values["state"] not in STATES:
        raise ValueError("no state")
    return Grant(**values)
