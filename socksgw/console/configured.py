"""
The configuration that a command is about, and where its journal is.

Nothing else is imported for it.
"""

from __future__ import annotations

from pathlib import Path

from socksgw.config.defaults import defaultConfig
from socksgw.config.loading import load
from socksgw.config.schema import Config

__all__ = ["configuration", "journalIn", "journalOf"]


def configuration(file: str | None) -> Config:
    """
    Return the configuration that is named, or that of a gateway without one.

    @raise ConfigError: the file cannot be read.
    """
    return load(file) if file else defaultConfig()


def journalOf(file: str | None) -> Path:
    """
    Return where the journal of a configuration is.

    @raise ConfigError: as of L{configuration}.
    """
    return journalIn(configuration(file))


def journalIn(config: Config) -> Path:
    """Return where the journal of a configuration is."""
    return config.directory / config.gateway.state_dir / config.audit.journal
