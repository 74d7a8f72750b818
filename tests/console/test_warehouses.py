"""
Which database a configuration has, and by which name its rows are found.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import load
from socksgw.config.schema import Config
from socksgw.console.warehouses import warehouseOf
from socksgw.warehouse.errors import WarehouseError

BEGIN = """
[gateway]
name = "edge"
state_dir = "var"
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
"""
TABLE = '[[audit.sink]]\nkind = "sql"\n'


def configured(directory: Path, text: str) -> Config:
    file = directory / "gw.toml"
    file.write_text(BEGIN + text)
    return load(str(file))


@pytest.mark.parametrize(
    ("text", "url", "found"),
    [
        ("", "", None),
        ('[audit]\nsinks = ["stdout:ocsf"]\n', "", None),
        ("", "sqlite:///a.db", ("sqlite:///a.db", "edge")),
        ('[audit]\nsinks = ["sql:sqlite:///a.db"]\n', "", ("sqlite:///a.db", "edge")),
        (
            f'{TABLE}url = "sqlite:///a.db"\ngateway = "x"\n',
            "",
            ("sqlite:///a.db", "x"),
        ),
        (
            f'{TABLE}url = "sqlite:///a.db"\ngateway = "x"\n',
            "sqlite:///a.db",
            ("sqlite:///a.db", "x"),
        ),
        (
            f'{TABLE}url = "sqlite:///a.db"\ngateway = "x"\n',
            "sqlite:///b.db",
            ("sqlite:///b.db", "edge"),
        ),
        (f'{TABLE}url_file = "url"\n', "", ("sqlite:///f.db", "edge")),
    ],
)
def test_which(
    tmp_path: Path, text: str, url: str, found: tuple[str, str] | None
) -> None:
    """The first sink sql, or the URL that is given; its own name for the gateway."""
    (tmp_path / "url").write_text("sqlite:///f.db\n")
    (tmp_path / "url").chmod(0o600)
    warehouse = warehouseOf(configured(tmp_path, text), url)
    if found is None:
        assert warehouse is None
    else:
        assert warehouse is not None
        assert (warehouse.url, warehouse.gateway) == found
        assert warehouse.directory == tmp_path / "var"
        assert found[0] not in repr(warehouse)


def test_noFile(tmp_path: Path) -> None:
    """A file with the URL that cannot be read is told of."""
    config = configured(tmp_path, f'{TABLE}url_file = "url"\n')
    with pytest.raises(WarehouseError, match=r"^url_file: "):
        warehouseOf(config)
