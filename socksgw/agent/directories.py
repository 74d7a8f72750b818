"""
Where the files of a user's programs are, as the XDG Base Directory Specification says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["settingsFile", "stateDirectory"]

#: In both directories.
_OURS: Final = "socksgw"


def _base(environment: Mapping[str, str], name: str, default: str) -> Path:
    """
    Return one of the base directories.

    @param name: of the variable. A relative path in it is invalid and ignored.
    @param default: the path below the home directory.
    @raise ValueError: the user has no home directory.
    """
    said = environment.get(name, "")
    if said.startswith("/"):
        return Path(said)
    home = environment.get("HOME", "")
    if not home.startswith("/"):
        raise ValueError(f"neither {name} nor HOME is an absolute path; set one")
    return Path(home) / default


def settingsFile(environment: Mapping[str, str]) -> Path:
    """
    Return the file of the agent's settings, which need not exist.

    @raise ValueError: the user has no home directory.
    """
    return _base(environment, "XDG_CONFIG_HOME", ".config") / _OURS / "agent.toml"


def stateDirectory(environment: Mapping[str, str]) -> Path:
    """
    Return the directory of what the agent writes.

    @raise ValueError: the user has no home directory.
    """
    return _base(environment, "XDG_STATE_HOME", ".local/state") / _OURS / "agent"
