"""
Where tests stand: beside what they test, in folders of the same names, and none
imports another.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.running import ROOT

TESTS = ROOT / "tests"
#: What any test may use; everything else is for its own folder.
COMMON = {"fakes", "live", "tools"}
#: Folders without a counterpart in C{socksgw/}.
APART = COMMON | {"bench", "hostile", "interop", "measured"}
#: Modules whose tests stand somewhere else: where, and why.
ELSEWHERE: dict[str, tuple[str, str]] = {}

SOURCES = sorted(
    path.relative_to(ROOT / "socksgw").as_posix()
    for path in (ROOT / "socksgw").rglob("*.py")
    if path.name != "__init__.py"
)


def mirrored(module: str) -> Path:
    """Return where the tests of C{folder/module.py} belong."""
    path = Path(module)
    return TESTS / path.parent / f"test_{path.name}"


def dotted(module: str) -> str:
    """Return the name by which a module is imported."""
    return "socksgw." + module.removesuffix(".py").replace("/", ".")


def imports(path: Path) -> Iterator[str]:
    """Go through the names that a file imports, with their modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def reached(path: Path) -> set[str]:
    """
    Return the modules that a file of tests imports, or runs through the fakes and
    helpers that it imports.
    """
    found: set[str] = set()
    waiting = [path]
    seen = set(waiting)
    while waiting:
        for name in imports(waiting.pop()):
            if name.startswith("socksgw."):
                found |= {name, name.rpartition(".")[0]}
            elif name.startswith("tests."):
                for part in (name, name.rpartition(".")[0]):
                    helper = ROOT / (part.replace(".", "/") + ".py")
                    if helper.is_file() and helper not in seen:
                        seen.add(helper)
                        waiting.append(helper)
    return found


@pytest.mark.parametrize("module", SOURCES)
def test_eachModuleHasItsTests(module: str) -> None:
    """In the mirrored place, or the list says where."""
    here = mirrored(module)
    if module not in ELSEWHERE:
        assert here.is_file(), (
            f"socksgw/{module} has no {here.relative_to(ROOT)}: write it, move its "
            f"tests there, or say in ELSEWHERE ({Path(__file__).name}) where they are"
        )
        return
    assert not here.is_file(), f"{here.relative_to(ROOT)} exists: take {module} out"


@pytest.mark.parametrize("module", ELSEWHERE)
def test_theListIsTrue(module: str) -> None:
    """What it names exists, and its tests import it or run it."""
    assert module in SOURCES, f"there is no socksgw/{module}: take it out"
    where, why = ELSEWHERE[module]
    assert why
    path = TESTS / where
    assert path.is_file(), f"{module}: there is no tests/{where}"
    live = {"tests.live.running.Running", "tests.live.running.socksgw"}
    runs = dotted(module) in path.read_text() or live & set(imports(path))
    assert runs or dotted(module) in reached(path), (
        f"tests/{where} neither imports {dotted(module)} nor starts a gateway"
    )


FILES = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py"))


@pytest.mark.parametrize("file", FILES)
def test_noTestImportsAnother(file: str) -> None:
    """
    What two files of tests need stands in a module of its own: in C{fakes},
    C{live} or C{tools}, or beside them if no other folder needs it.
    """
    folder = Path(file).parts[0]
    for name in imports(TESTS / file):
        parts = name.split(".")
        if parts[0] != "tests":
            continue
        tests = [part for part in parts if part.startswith(("test_", "conftest"))]
        assert not tests, f"{file} imports {name}: move it to a module of helpers"
        near = parts[1] in COMMON or parts[1] == folder
        assert near or folder == "bench", (
            f"{file} imports {name}, which is for tests/{parts[1]}/: move it to "
            "tests/fakes, tests/live or tests/tools"
        )


def test_foldersAreMirrored() -> None:
    """A folder of tests has the name of what it tests."""
    folders = {path.parts[0] for path in map(Path, FILES) if len(path.parts) > 1}
    ours = {path.parts[0] for path in map(Path, SOURCES) if len(path.parts) > 1}
    assert folders - APART <= ours
