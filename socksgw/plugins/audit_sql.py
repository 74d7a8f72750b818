"""
The sink into an SQL database: SQLite, or PostgreSQL by its extra.

What it writes is in L{socksgw.warehouse}, which is imported when it is opened.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, final

from zope.interface import implementer

from socksgw.interfaces import (
    Answer,
    AuditSink,
    Entry,
    IProbedSink,
    IReadableSink,
    ProbeFailed,
    SinkFailed,
    SinkSettings,
)
from socksgw.warehouse.address import LEAST, checkUrl
from socksgw.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from socksgw.warehouse.writing import Writer

__all__ = ["sinks"]

#: Lines of one transaction, at most: a twentieth of a second.
_BATCH: Final = 4000
#: The longest C{keep}, in seconds: a hundred years.
_LONGEST: Final = 100 * 365 * 86_400.0
#: The smallest database with a bound, in octets.
_SMALLEST: Final = 1_000_000


@final
class _Database:
    """A database."""

    batch = _BATCH

    def __init__(
        self, settings: SinkSettings, gateway: str, keep: float, most: int
    ) -> None:
        self._settings = settings
        self._gateway = gateway
        self._keep, self._most = keep, most
        self._writer: Writer | None = None

    def open(self) -> int:
        """
        Connect, make or upgrade the tables.

        @return: the number of the last line that is there.
        @raise SinkFailed: that cannot be done now.
        """
        from socksgw.warehouse.retention import Retention
        from socksgw.warehouse.writing import Writer

        settings = self._settings
        retention = Retention(self._gateway, self._keep, self._most, time.time)
        try:
            self._writer = Writer(
                settings.target, settings.directory, self._gateway, retention
            )
            return self._writer.open()
        except WarehouseError as e:
            raise SinkFailed(str(e)) from None

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Write lines, each once."""
        assert self._writer is not None
        try:
            self._writer.write(entries)
            self._writer.tend(time.monotonic())
        except WarehouseError as e:
            raise SinkFailed(str(e)) from None

    def idle(self) -> None:
        """Delete what is too old or too much."""
        assert self._writer is not None
        try:
            self._writer.tend(time.monotonic())
        except WarehouseError as e:
            raise SinkFailed(str(e)) from None

    def close(self) -> None:
        """Let go of the database."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


@final
@implementer(IProbedSink, IReadableSink)
class _SqlKind:
    kind = "sql"
    help = "Rows in SQLite or PostgreSQL, each exactly once (socksgw help warehouse)."
    target = "URL"
    format = ""

    def build(self, settings: SinkSettings) -> AuditSink:
        options = settings.options
        options.only("keep", "max_size", "gateway")
        keep = options.duration("keep", 0.0, _LONGEST, none=True)
        if 0 < keep < LEAST:
            options.wrong("keep", "must be at least 1d, or 0s for ever")
        most = options.octets("max_size", 0, _SMALLEST)
        gateway = options.word("gateway", settings.gateway)
        if not gateway or not gateway.isprintable():
            options.wrong("gateway", "must be a printable name")
        try:
            checkUrl(settings.target)
        except WarehouseError as e:
            raise ValueError(str(e)) from None
        return _Database(settings, gateway, keep, most)

    def probe(self, settings: SinkSettings) -> list[Answer]:
        from socksgw.warehouse.engines import nameOf, urlOf
        from socksgw.warehouse.probing import Unfit, probe

        try:
            said = probe(settings.target, settings.directory)
            return [Answer(nameOf(urlOf(settings.target, settings.directory)), said)]
        except Unfit as e:
            raise ProbeFailed(str(e), e.remedy) from None
        except WarehouseError as e:
            raise ProbeFailed(str(e)) from None

    def lines(self, settings: SinkSettings) -> Iterator[tuple[int, str]]:
        from socksgw.warehouse import reading

        gateway = settings.options.word("gateway", settings.gateway)
        try:
            reader = reading.open(settings.target, settings.directory)
            yield from reading.hashes(reader, gateway)
        except WarehouseError as e:
            raise SinkFailed(str(e)) from None


sinks = (_SqlKind(),)
