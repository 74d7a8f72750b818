"""
Where an agent's files are.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.agent.directories import settingsFile, stateDirectory


@pytest.mark.parametrize(
    ("environment", "settings", "state"),
    [
        (
            {"HOME": "/home/ada"},
            "/home/ada/.config/socksgw/agent.toml",
            "/home/ada/.local/state/socksgw/agent",
        ),
        (
            {"HOME": "/h", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"},
            "/c/socksgw/agent.toml",
            "/s/socksgw/agent",
        ),
        # "If an implementation encounters a relative path … it should consider the
        # path invalid and ignore it."
        (
            {"HOME": "/h", "XDG_CONFIG_HOME": "c", "XDG_STATE_HOME": ""},
            "/h/.config/socksgw/agent.toml",
            "/h/.local/state/socksgw/agent",
        ),
    ],
)
def test_bases(environment: dict[str, str], settings: str, state: str) -> None:
    """Those of the specification, with its defaults."""
    assert settingsFile(environment) == Path(settings)
    assert stateDirectory(environment) == Path(state)


def test_noHome() -> None:
    """There is no file without a home; the variables are named."""
    with pytest.raises(ValueError, match="XDG_CONFIG_HOME nor HOME"):
        settingsFile({})
    with pytest.raises(ValueError, match="XDG_STATE_HOME nor HOME"):
        stateDirectory({"HOME": "here"})
