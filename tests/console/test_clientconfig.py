"""
C{socksgw client-config}: its kinds, and what it says of wrong questions.
"""

from __future__ import annotations

from pathlib import Path

from socksgw.console.clientconfig import KINDS
from tests.live.running import socksgw

LISTEN = '[[listen]]\nname = "{0}"\naddress = ["127.0.0.1:{1}"]\n'
TRANSPARENT = LISTEN + 'transparent = "redirect"\n'


def test_kinds() -> None:
    """Each is listed, with its own options."""
    listed = socksgw("client-config", "--help").stdout
    for word, kind in KINDS.items():
        assert word in listed
        assert kind.HELP in " ".join(listed.split())
        told = socksgw("client-config", word, "--help")
        assert (told.returncode, "--config FILE" in told.stdout) == (0, True)
    assert socksgw("client-config", "pigeons").returncode == 2


def test_whatCannotBePrinted(tmp_path: Path) -> None:
    """One line with the remedy, nothing on standard output, status 2."""
    for text, arguments, words in (
        (LISTEN.format("lan", 1080), (), "no listener with transparent"),
        (
            TRANSPARENT.format("a", 1) + TRANSPARENT.format("b", 2),
            (),
            'say --listener with one of "a", "b"',
        ),
        (TRANSPARENT.format("a", 1), ("--listener", "x"), 'these are: "a"'),
        (TRANSPARENT.format("a", 0), (), "which no rule can name"),
        (TRANSPARENT.format("a", 1), ("--interface", 'e"1'), "not the name of an"),
        (TRANSPARENT.format("a", 1), ("--user", "a b"), "neither the name nor"),
    ):
        (tmp_path / "gw.toml").write_text(text)
        done = socksgw(
            *("client-config", "nftables", "--config", "gw.toml", *arguments),
            cwd=tmp_path,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    (tmp_path / "gw.toml").write_text("[nonsense]\n")
    done = socksgw("client-config", "nftables", "--config", "gw.toml", cwd=tmp_path)
    assert (done.returncode, "gw.toml:1" in done.stderr) == (2, True)


def test_pac(tmp_path: Path) -> None:
    """The program for browsers names the listener, or what it is called."""
    rule = '[[rule]]\nid = "a"\nallow = ["connect"]\nto = [".corp.example"]\n'
    web = LISTEN.format("web", 8080) + 'protocols = ["http"]\n'
    file = tmp_path / "gw.toml"
    file.write_text(web + rule)
    done = socksgw("client-config", "pac", "--config", "gw.toml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert 'PROXY = "PROXY 127.0.0.1:8080"' in done.stdout
    assert '"corp.example"' in done.stdout
    arguments = ("client-config", "pac", "--config", "gw.toml", "--host")
    done = socksgw(*arguments, "gw.corp.example", cwd=tmp_path)
    assert 'PROXY = "PROXY gw.corp.example:8080"' in done.stdout
    done = socksgw(*arguments, "2001:db8::2", cwd=tmp_path)
    assert 'PROXY = "PROXY [2001:db8::2]:8080"' in done.stdout
    for text, host, words in (
        (web, 'a"b', "neither a name"),
        (LISTEN.format("web", 8080), "gw", "no listener"),
        (web + rule + rule, "gw", "socksgw check gw.toml"),
    ):
        file.write_text(text)
        done = socksgw(*arguments, host, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
