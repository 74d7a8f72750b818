"""
Write Parquet, by DuckDB, which the extra C{parquet} installs.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Unavailable", "fromLines", "fromRows"]


class Unavailable(Exception):
    """DuckDB is not installed, or it cannot be done; the text says why."""


def fromRows(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], file: Path
) -> None:
    """
    Write rows; what one lacks is null.

    @param columns: the type of each column, as DuckDB calls it.
    @raise Unavailable: DuckDB is not installed, or fails.
    @raise OSError: the file cannot be written.
    """
    fromLines((json.dumps(each).encode("ascii") for each in rows), columns, file)


def fromLines(lines: Iterable[bytes], columns: Mapping[str, str], file: Path) -> None:
    """
    Write JSON objects as rows; members that are no columns are left out.

    The file is complete, or is not there. The lines stand beside it meanwhile.

    @raise Unavailable: DuckDB is not installed, or fails.
    @raise OSError: the file cannot be written.
    """
    try:
        import duckdb
    except ImportError:
        raise Unavailable(
            "Parquet needs DuckDB: pip install 'socksgw[parquet]'"
        ) from None
    if file.exists() and not file.is_file():
        raise Unavailable(f"{file}: Parquet needs a file that can be searched")
    # What a link leads to is replaced, and not the link: /dev/stdout is one.
    file = Path(os.path.realpath(file))
    place = file.parent
    with tempfile.TemporaryDirectory(prefix=".socksgw-", dir=place) as folder:
        given, made = Path(folder) / "lines", Path(folder) / "made"
        with given.open("wb") as out:
            for line in lines:
                out.write(line)
                out.write(b"\n")
        # The names are of a catalogue: nobody else's text gets into the statement.
        types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
        # Numbered: 1.4.0 takes the first question mark for the last parameter.
        try:
            with duckdb.connect() as database:
                database.execute(f"SET temp_directory = '{_quoted(folder)}'")
                database.execute(
                    "COPY (SELECT * FROM read_json($1, format = 'newline_delimited', "  # noqa: S608
                    f"maximum_object_size = 64000000, columns = {{{types}}})) "
                    "TO $2 (FORMAT parquet, COMPRESSION zstd)",
                    [str(given), str(made)],
                )
        except duckdb.Error as e:
            raise Unavailable(f"DuckDB: {str(e).splitlines()[0]}") from None
        os.replace(made, file)


def _quoted(text: str) -> str:
    return text.replace("'", "''")
