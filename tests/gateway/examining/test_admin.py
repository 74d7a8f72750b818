"""
C{[admin]}: what C{check} says of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.certificates import Authority, server
from tests.tools.examining import HEAD, examined

TOKEN = "9f2c" * 8


def said(text: str, directory: Path, **files: str) -> list[tuple[str, str]]:
    """Return places and texts of errors and warnings."""
    for name, secret in files.items():
        file = directory / name
        file.touch(0o600)
        file.write_text(secret + "\n")
    found = examined(f"{HEAD}[admin]\n{text}\n", directory=directory)
    texts = [(each.path, each.text) for each in [*found.errors, *found.warnings]]
    assert not any(secret in text for secret in files.values() for _, text in texts)
    return [each for each in texts if each[0].startswith("admin")]


def test_good(tmp_path: Path) -> None:
    """Unix sockets, loopback, and TLS for other hosts."""
    assert said("", tmp_path) == []
    server(Authority()).write(tmp_path, "gw")
    text = (
        f'endpoint = ["unix:@gw", "tcp:127.0.0.1:1081", "tcp:[::1]:1081", '
        f'"ssl:1082:privateKey={tmp_path}/gw.key:certKey={tmp_path}/gw.pem", '
        '"tcp:1083:interface=127.0.0.1"]\nmode = "600"\nhosts = ["gw.corp.example"]\n'
        '[[admin.token]]\nname = "noc"\nfile = "noc"\n'
        '[[admin.token]]\nname = "ops"\nfile = "ops"\nroles = ["operate"]\n'
    )
    # Of the endpoint of Twisted's the host is an argument of its own.
    text = text.replace('"tcp:1083:interface=127.0.0.1"', '"unix:/run/gw/a.sock"')
    assert said(text, tmp_path, noc=TOKEN, ops=TOKEN[::-1]) == []


TWO = (
    '[[admin.token]]\nname = "a"\nfile = "a"\n[[admin.token]]\nname = "b"\nfile = "b"\n'
)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("endpoint = []", "admin.endpoint", "name where"),
        ('endpoint = "tcp:0.0.0.0:1081"', "admin.endpoint", "TLS"),
        ('endpoint = "tcp:10.0.0.2:1081"', "admin.endpoint", "TLS"),
        ('endpoint = "tcp:[::]:1081"', "admin.endpoint", "TLS"),
        ('endpoint = "tcp6:1081"', "admin.endpoint", "TLS"),
        ('endpoint = "ssl:1081:privateKey=/nix"', "admin.endpoint", "TLS"),
        ('endpoint = ["unix:@a", "unix:@a"]', "admin.endpoint[1]", "twice"),
        ('endpoint = "tcp:127.0.0.1:1080"', "admin.endpoint", '"main"'),
        ('endpoint = "socket"', "admin.endpoint", "must be"),
        ('mode = "rw"', "admin.mode", "octal"),
        ('owner = "nobody-of-this-name"', "admin.owner", "no user"),
        ('hosts = ["http://gw"]', "admin.hosts[0]", "no name"),
        ('endpoint = "tcp:127.0.0.1:1081"', "admin.token", "nobody"),
        ('[[admin.token]]\nname = "a b"\nfile = "a"', "admin.token[0].name", "letters"),
        ('[[admin.token]]\nname = "a"\nfile = "nix"', "admin.token[0].file", "nix"),
        ('[[admin.token]]\nname = "a"\nfile = "short"', "admin.token[0].file", "16"),
        ('[[admin.token]]\nname = "a"\nfile = "spaced"', "admin.token[0].file", "HTTP"),
        (
            '[[admin.token]]\nname = "a"\nfile = "a"\nroles = []',
            "admin.token[0].roles",
            '"read"',
        ),
        (TWO, "admin.token[1].file", '"a" is the same'),
        (TWO.replace('"b"', '"a"', 1), "admin.token[1].name", "another"),
    ],
)
def test_wrong(tmp_path: Path, text: str, path: str, words: str) -> None:
    """Each mistake is told with its place and the remedy, and no secret."""
    found = dict(
        said(text, tmp_path, a=TOKEN, b=TOKEN, short="abcd1234", spaced=f"{TOKEN} x")
    )
    assert words in found[path], found
