"""
What a database is named by, and what is wrong with a name, without SQLAlchemy.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from socksgw.warehouse.errors import WarehouseError

__all__ = ["LEAST", "checkUrl"]

#: The shortest age that rows can be kept to, in seconds: at most 1/20 of them is
#: deleted in an hour.
LEAST: Final = 86_400
#: What there is, by the names that people use.
_SERVERS: Final = ("postgresql", "postgres", "postgresql+psycopg")
_WAYS: Final = (
    "sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/DATABASE with % : / @ in a "
    "password as %25 %3A %2F %40"
)


def checkUrl(text: str) -> bool:
    """
    Check the URL of a database.

    @return: whether it names a server; else a file.
    @raise WarehouseError: it cannot be used; the text does not repeat it, for it may
        hold a password.
    """
    try:
        found = urlsplit(text)
        scheme, query = found.scheme, found.query
        if found.port == 0:
            raise ValueError
    except ValueError:
        raise WarehouseError(f"the URL is malformed: write {_WAYS}") from None
    if scheme in _SERVERS:
        if not found.path.strip("/"):
            raise WarehouseError(f"the URL names no database: write {_WAYS}")
        for each in ("sqlalchemy", "psycopg"):
            if find_spec(each) is None:
                raise WarehouseError(
                    "PostgreSQL needs the extra: pip install 'socksgw[postgres]'"
                )
        return True
    if scheme != "sqlite":
        raise WarehouseError(
            "it has to begin with sqlite:///, or postgresql:// for a server: "
            f"write {_WAYS}"
        )
    file = found.path.removeprefix("/")
    if found.netloc or query or found.fragment or not file or file == ":memory:":
        raise WarehouseError(
            "the URL of an SQLite file is sqlite:///FILE, without ? and #; four "
            "slashes begin an absolute path"
        )
    return False
