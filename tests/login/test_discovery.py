"""
The checkers that are installed, and a plug-in of one file that is none of ours.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from socksgw.login.discovery import brokenPlugins, findCheckers
from tests.live.running import withPlugins

#: As a plug-in's author writes it: nothing of ours, a string for its options.
PLAIN = """
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import ICheckerFactory
from twisted.plugin import IPlugin
from zope.interface import implementer

@implementer(ICheckerFactory, IPlugin)
class Factory:
    authType = "one"
    authHelp = "One user. Not two."
    argStringFormat = "user:password"
    credentialInterfaces = (IUsernamePassword,)
    def generateChecker(self, argument):
        return InMemoryUsernamePasswordDatabaseDontUse(**dict([argument.split(":")]))

factory = Factory()
"""


def run(tmp_path: Path, *command: str, **modules: str) -> str:
    """
    What a C{socksgw} command says with these modules among Twisted's plug-ins.
    """
    return subprocess.run(
        [sys.executable, "-m", "socksgw.console.command", *command],
        cwd=tmp_path,
        env=withPlugins(tmp_path, "twisted.plugins", **modules),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout


# One of Twisted's own imports what the next Python has no more.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:twisted")
def test_builtIn() -> None:
    """Ours, beside Twisted's own; nothing is broken."""
    found, twice = findCheckers()
    assert {"passwd", "ldap", "http", "pam", "memory"} <= set(found)
    assert not twice
    assert not brokenPlugins()
    for factory in found.values():
        assert factory.authHelp


def configuration(tmp_path: Path, checker: str) -> str:
    """A file that names a checker."""
    file = tmp_path / "gw.toml"
    file.write_text(
        '[[listen]]\nname = "main"\naddress = ["127.0.0.1:1080"]\n'
        '[[auth.choose]]\nmethods = ["userpass"]\n'
        f"[[auth.checker]]\n{checker}\n"
    )
    return str(file)


def test_plugin(tmp_path: Path) -> None:
    """A plug-in is one file: it is found, listed, and usable in a table."""
    file = configuration(tmp_path, 'kind = "one"\nargument = "alice:sesame"')
    checked = run(tmp_path, "check", file, stores=PLAIN)
    assert "is good" in checked
    shown = run(tmp_path / "again", "plugins", stores=PLAIN)
    assert "checker one          One user" in shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_module_at_all\n", "no_such_module_at_all"),
        ("factory = (\n", "SyntaxError"),
        (PLAIN.replace('"one"', '"passwd"'), 'a second checker named "passwd"'),
    ],
)
def test_broken(tmp_path: Path, text: str, why: str) -> None:
    """
    A plug-in that cannot be used is listed with why, and where its checker is
    named nothing starts.
    """
    shown = run(tmp_path / "shown", "plugins", broken=text)
    (line,) = [line for line in shown.splitlines() if line.startswith("BROKEN")]
    assert line.startswith("BROKEN  twisted.plugins.broken: ")
    assert why in line
    kind = "passwd" if "passwd" in text else "one"
    checked = run(
        tmp_path, "check", configuration(tmp_path, f'kind = "{kind}"'), broken=text
    )
    assert f'auth.checker[1].kind: there is no checker "{kind}"' in checked
    assert "the plug-in twisted.plugins.broken is broken" in checked
    assert why in checked
