"""
The database that a configuration has the journal written into.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from socksgw.config.schema import Config, Sink
from socksgw.system.files import FileError
from socksgw.system.secretfile import SecretFile
from socksgw.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from socksgw.warehouse.reading import Reader

__all__ = ["Warehouse", "warehouseOf"]

#: The kind of the sinks that write into databases.
_KIND: Final = "sql"


@frozen
class Warehouse:
    """
    A database, and the part of it that is about one gateway.

    @ivar url: its URL, which may hold a password.
    @ivar directory: where the relative path of an SQLite file begins.
    @ivar gateway: the name of the gateway in its rows.
    """

    url: str = field(repr=False)
    directory: Path
    gateway: str

    def open(self) -> Reader:
        """
        Open it to read it.

        @raise WarehouseError: it cannot be read.
        """
        # SQLAlchemy takes a fifth of a second.
        from socksgw.warehouse import reading

        return reading.open(self.url, self.directory)


def warehouseOf(config: Config, url: str = "") -> Warehouse | None:
    """
    Return the database of a configuration's first sink C{sql}.

    @param url: of the database that is meant instead. Where a sink has it, the rows
        have the name of the gateway that the sink says.
    @return: L{None} where the configuration has none.
    @raise WarehouseError: the file with its URL cannot be read.
    """
    tables = [
        *(
            Sink(_KIND, url=target)
            for kind, _, target in (text.partition(":") for text in config.audit.sinks)
            if kind == _KIND
        ),
        *(table for table in config.audit.sink if table.kind == _KIND),
    ]
    if url:
        meant = [table for table in tables if table.url == url]
        tables = meant or [Sink(_KIND, url=url)]
    if not tables:
        return None
    table = tables[0]
    state = config.directory / config.gateway.state_dir
    gateway = str(table.options.get("gateway", config.gateway.name))
    return Warehouse(_urlOf(table, config), state, gateway)


def _urlOf(table: Sink, config: Config) -> str:
    if not table.url_file:
        return table.url
    try:
        octets = SecretFile(config.directory / table.url_file).read()
    except FileError as e:
        raise WarehouseError(f"url_file: {e}") from None
    return octets.decode("utf-8", "replace").strip()
