"""
Plug-ins are found by the names of their modules; what is broken hides nothing else.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from zope.interface.exceptions import Invalid

from socksgw.system.discovery import discovered

MODULES = {
    "__init__": "",
    "kind_a": "class One: name = 'one'\nplugins = [One, type('Two', (), {'name': 'two'})]",
    "kind_b": "raise RuntimeError('broken\\nby design')",
    "kind_c": "plugins = None",
    "kind_d": "class Another: name = 'one'\nplugins = [Another]",
    "other_e": "raise AssertionError('not asked for')",
}


def _pluginsIn(module: ModuleType) -> list[Any]:
    if module.plugins is None:
        raise Invalid("has none")
    return list(module.plugins)


def test_discovered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of a name counts; each broken module is told with why, in one line."""
    folder = tmp_path / "plugged_in"
    folder.mkdir()
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    package = import_module("plugged_in")
    found, broken = discovered(package, "kind_", "thing named", _pluginsIn)
    for name in [each for each in sys.modules if each.startswith("plugged_in")]:
        monkeypatch.delitem(sys.modules, name)
    assert {name: each.__name__ for name, each in found.items()} == {
        "one": "One",
        "two": "Two",
    }
    assert broken == [
        ("plugged_in.kind_b", "RuntimeError: broken by design"),
        ("plugged_in.kind_c", "has none"),
        ("plugged_in.kind_d", 'a second thing named "one"'),
    ]
