"""
The authentication methods that are installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from socksgw.interfaces import IAuthMethod
from socksgw.negotiate.discovery import findMethods
from tests.live.running import withPlugins

BUILT_IN = {
    "none": 0x00,
    "gssapi": 0x01,
    "userpass": 0x02,
    "chap": 0x03,
    "certificate": 0x00,
    "gateway": 0x00,
    "peer": 0x00,
    "tls": 0x06,
    # RFC 1928 has none for it.
    "token": None,
}

GOOD = """
from zope.interface import implementer
from socksgw.interfaces import IAuthenticator, IAuthMethod

@implementer(IAuthenticator)
class Authenticator:
    async def readCredentials(self, exchange):
        raise ValueError("not now")
    async def writeOutcome(self, exchange, credentials, granted):
        exchange.write(b"x")

@implementer(IAuthMethod)
class Method:
    name = "good"
    code = 0x80
    help = "a good one"
    def build(self, settings, reactor):
        return Authenticator()

method = Method()
"""

FIND = """
import json
from socksgw.negotiate.discovery import findMethods
found, broken = findMethods()
codes = {name: method.code and int(method.code) for name, method in found.items()}
print(json.dumps([codes, broken]))
"""


def found(
    tmp_path: Path, **modules: str
) -> tuple[dict[str, int | None], dict[str, str]]:
    """
    What a process finds with these modules in a C{socksgw/plugins} of their
    own on its path.

    @return: the codes by name, and what is broken with why.
    """
    ran = subprocess.run(
        [sys.executable, "-c", FIND],
        cwd=tmp_path,
        env=withPlugins(tmp_path, "socksgw.plugins", **modules),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    codes, broken = json.loads(ran.stdout.splitlines()[-1])
    return codes, dict(broken)


def test_builtIn() -> None:
    """What is built in, by its numbers (RFC 1928 section 3, IANA)."""
    methods, broken = findMethods()
    assert not broken
    assert {name: m.code for name, m in methods.items()} == BUILT_IN
    for method in methods.values():
        verifyObject(IAuthMethod, method)
        assert method.help


def test_builtInAreLikeAnyOther(tmp_path: Path) -> None:
    """Another package's method is found beside them, in one file."""
    codes, broken = found(tmp_path, auth_good=GOOD)
    assert codes == {**BUILT_IN, "good": 0x80}
    assert not broken


BROKEN: dict[str, tuple[str, str]] = {
    "syntax": ("method = (", "SyntaxError"),
    "import": ("import no_such_module_at_all", "no_such_module_at_all"),
    "raises": ("raise RuntimeError('at import')", "at import"),
    "attribute": ("import os\nos.no_such_name\nmethod = 1", "no_such_name"),
    "nothing": ("x = 1", "`method`"),
    "misspelled": (GOOD.replace("method = Method()", "methods = Method()"), "`method`"),
    "undeclared": (GOOD.replace("@implementer(IAuthMethod)", ""), "IAuthMethod"),
    "nameless": (GOOD.replace('name = "good"', ""), "name"),
    "codeless": (GOOD.replace("code = 0x80", ""), "code"),
    "unbuildable": (GOOD.replace("def build", "def built"), "build"),
    "misbuilt": (GOOD.replace("settings, reactor", "settings"), "build"),
    "listed": (GOOD.replace('name = "good"', 'name = ["good"]'), "not a string"),
    "coded": (GOOD.replace("code = 0x80", 'code = "80"'), "0 to 254"),
    # X'FF' means that no method is acceptable (RFC 1928 section 3).
    "unacceptable": (GOOD.replace("code = 0x80", "code = 0xFF"), "0 to 254"),
    # Nobody could use it.
    "unnumbered": (GOOD.replace("code = 0x80", "code = None"), "no challenge for HTTP"),
    "wordy": ("raise RuntimeError('one\\ntwo')", "one two"),
    "taken": (GOOD.replace('name = "good"', 'name = "userpass"'), "second"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken(tmp_path: Path, kind: str) -> None:
    """
    A module that is broken is told with its reason, in one line; it hides
    neither itself nor the others.
    """
    text, why = BROKEN[kind]
    codes, broken = found(tmp_path, auth_broken=text, auth_good=GOOD)
    assert codes == {**BUILT_IN, "good": 0x80}
    assert list(broken) == ["socksgw.plugins.auth_broken"]
    told = broken["socksgw.plugins.auth_broken"]
    assert why in told
    assert "\n" not in told


def test_otherKindsOfPlugin(tmp_path: Path) -> None:
    """What is no authentication method is not imported for one."""
    codes, broken = found(tmp_path, audit_x="raise RuntimeError", authx="1/0")
    assert codes == BUILT_IN
    assert not broken


def test_packageThatShadows(tmp_path: Path) -> None:
    """
    A directory with an C{__init__.py} is a package of its own, and none of
    ours: its modules are not taken in.
    """
    codes, _ = found(tmp_path, __init__="", auth_good=GOOD)
    assert codes == BUILT_IN
