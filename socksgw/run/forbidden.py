"""
Why a system makes no namespaces for an ordinary user, and what helps.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

__all__ = ["remedy", "tproxyRemedy"]

_SYSCTL: Final = Path("/proc/sys")
#: Settings by which user namespaces are forbidden: the value that does, and the one
#: that does not. Debian's kernels have the first, Ubuntu's the second.
_FORBIDDING: Final = (
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user/max_user_namespaces", "0", "10000"),
    ("user/max_net_namespaces", "0", "10000"),
    ("user/max_mnt_namespaces", "0", "10000"),
)


def remedy(error: OSError, sysctl: Path = _SYSCTL) -> str:
    """
    Return why namespaces were not made, and what an administrator can do.

    @param error: of C{unshare}, or of the first use of the new namespaces: AppArmor
        lets them be made, and forbids everything in them.
    """
    why = os.strerror(error.errno or 0)
    for name, forbids, allows in _FORBIDDING:
        try:
            found = (sysctl / name).read_text("ascii").strip()
        except OSError:
            continue
        if found == forbids:
            key = name.replace("/", ".")
            return (
                f"user namespaces are forbidden here ({why}): {key} is {found}; as "
                f"root: sysctl -w {key}={allows}"
            )
    if error.errno in (errno.EPERM, errno.EACCES):
        return (
            f"user namespaces are forbidden here ({why}), as containers and chroot "
            "do: run it outside, or use socksgw run without --isolate"
        )
    return (
        f"namespaces cannot be made here ({why}): socksgw run works without --isolate"
    )


def tproxyRemedy(said: str) -> str:
    """
    Return why the kernel takes no rules of TPROXY, and what helps.

    @param said: what C{nft} has said.
    """
    first = next((each.strip() for each in said.splitlines() if each.strip()), "")
    return (
        f"nft cannot load the rules of the namespace ({first}): the kernel needs "
        "nf_tables and nft_tproxy; as root: modprobe -a nf_tables nft_tproxy"
    )
