"""
The wire knows nothing but octets.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import socksgw.wire

#: Everything that C{socksgw.wire} may import besides itself: pure parts of the
#: standard library, and a parser without sockets.
OTHERS = {"h11", "urllib.parse"}
PURE = {
    "__future__",
    "collections",
    "enum",
    "functools",
    "hmac",
    "ipaddress",
    "itertools",
    "json",
    "re",
    "struct",
    "typing",
}


def test_imports() -> None:
    """
    Bytes in, events out: no Twisted, socket, time or logging in any module.
    """
    assert set(sys.stdlib_module_names) >= PURE
    modules = list(Path(socksgw.wire.__path__[0]).glob("*.py"))
    assert len(modules) > 5
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: a relative import"
                names = [str(node.module)]
            for name in names:
                pure = name in OTHERS or name.split(".")[0] in PURE
                own = name == "socksgw.wire" or name.startswith("socksgw.wire.")
                assert pure or own, f"{module.name} imports {name}"
