"""
The rights that the process has kept.

A gateway that was started as root should have given up root's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from socksgw.system.sockets import tellOnce

__all__ = ["keptRights", "rightsOf", "supplementary"]

_ROOT: Final = 0
_REMEDY: Final = (
    "start it as a user of its own (User= and Group= in etc/socksgw.service), or "
    "name both: twistd --uid socksgw --gid socksgw"
)


def keptRights(
    users: tuple[int, int, int], groups: tuple[int, int, int], others: Sequence[int]
) -> str | None:
    """
    Return one line that says which of root's rights are left.

    @param users: the real, the effective and the saved user id.
    @param groups: the same of the group.
    @param others: the supplementary groups.
    @return: L{None} when there are none.
    """
    kinds = ("real", "effective", "saved")
    owned = [kind for kind, uid in zip(kinds, users, strict=True) if uid == _ROOT]
    shared = [kind for kind, gid in zip(kinds, groups, strict=True) if gid == _ROOT]
    if owned == list(kinds):
        return f"runs as root: privileges were not dropped; {_REMEDY}"
    parts = []
    if owned:
        parts.append(
            f"root is still the {_kept('user', owned)}, so its rights can be taken "
            "again (leave --euid out)"
        )
    if shared:
        parts.append(f"root's group is still the {_kept('group', shared)}")
    if _ROOT in others:
        parts.append("root's group is among the supplementary groups")
    if not parts:
        return None
    return f"privileges were dropped only in part: {', '.join(parts)}; {_REMEDY}"


def _kept(what: str, kinds: Sequence[str]) -> str:
    return f"{' and '.join(kinds)} {what}"


def supplementary() -> Sequence[int]:
    """
    Return the supplementary groups of this process.

    @return: none, which is logged, where the system does not say.
    """
    try:
        return os.getgroups()
    except OSError as e:
        instead = (
            "whether root's group is among ours is not known, and secrets that our "
            "supplementary groups can read are not believed"
        )
        tellOnce("getgroups(2)", e, instead)
        return ()


def rightsOf() -> str | None:
    """Return what L{keptRights} says of this process."""
    return keptRights(os.getresuid(), os.getresgid(), supplementary())
