"""
Print whether the journal is whole: C{socksgw audit verify}.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from socksgw.audit.checkpoints import CheckpointKeys
from socksgw.audit.lines import JournalLines
from socksgw.audit.sinks.discovery import sinkIn
from socksgw.audit.sinks.orders import settingsOf
from socksgw.audit.verify import Witness, verify
from socksgw.audit.witnesses import Copy, Signatures
from socksgw.config.schema import Config
from socksgw.gateway.examining.sinks import sinkNamed
from socksgw.interfaces import IReadableSink, SinkFailed
from socksgw.system.files import FileError

__all__ = ["remedy", "verifyMain"]


def remedy(error: OSError) -> str:
    """Return why a journal cannot be read, and what to do about it."""
    if isinstance(error, PermissionError):
        return f"{error.strerror}; run this as the gateway's user, or as root"
    return f"{error.strerror}; is --config right?"


def _copy(config: Config, directory: Path, word: str) -> Copy:
    """
    Return what compares the journal with a sink.

    @param word: the sink's name in the configuration, or as in C{[audit] sinks}.
    @raise ConfigError: there is no such sink.
    @raise SinkFailed: its lines cannot be read.
    """
    order = sinkNamed(config, word)
    plugin = sinkIn(order.module, order.kind)
    if not IReadableSink.providedBy(plugin):
        raise SinkFailed("what is there cannot be read back")
    state = config.directory.absolute() / config.gateway.state_dir

    def last() -> int:
        return (JournalLines(directory).span() or (0, 0))[1]

    lines = plugin.lines(settingsOf(order, state))  # type: ignore[no-untyped-call]
    return Copy(order.name, lines, last)


def verifyMain(
    config: Config,
    out: TextIO,
    heads: Sequence[tuple[int, str]] = (),
    keys: Sequence[Path] = (),
    against: Sequence[str] = (),
) -> int:
    """
    Check a journal, and print the result.

    @param heads: numbers and hashes of lines, kept outside the journal.
    @param keys: files of public keys, with which its checkpoints are to be signed.
    @param against: sinks that have lines of it.
    @return: the exit status: 0 whole, 1 not whole, 2 when it, a key or a sink cannot
        be read.
    @raise ConfigError: there is no such sink.
    """
    directory = config.directory / config.gateway.state_dir / config.audit.journal
    witnesses: list[Witness] = []
    word = ""
    try:
        if keys:
            name, most = config.gateway.name, config.audit.checkpoint_lines
            witnesses.append(Signatures(CheckpointKeys(*keys), name, most))
        for word in against:
            witnesses.append(_copy(config, directory, word))
        result = verify(directory, heads, witnesses=witnesses)
    except FileError as e:
        print(f"--key {e}", file=out)
        return 2
    except SinkFailed as e:
        print(f"--against {word}: {e}", file=out)
        return 2
    except OSError as e:
        print(f"{directory}: {remedy(e)}", file=out)
        return 2
    for text in (*result.remarks, *result.problems):
        print(text, file=out)
    if result.problems:
        print(f"{directory}: NOT whole: {len(result.problems)} problems", file=out)
        return 1
    if not result.lines:
        print(f"{directory}: there are no lines yet", file=out)
        return 0
    print(
        f"{directory}: whole: {result.lines} lines, {result.first} to {result.last}, "
        f"head {result.last}:{result.head}",
        file=out,
    )
    return 0
