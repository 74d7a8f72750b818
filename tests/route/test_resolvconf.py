"""
nsswitch.conf and resolv.conf.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.route.nameserver import ServerSettings
from socksgw.route.resolvconf import HostChoice, readChoice, readServers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hosts: files dns\n", HostChoice()),
        ("passwd: files\nhosts:\tdns files # x\n", HostChoice(("dns", "files"))),
        ("#hosts: files\nhosts: files", HostChoice(("files",))),
        ("hosts: files dns myhostname\n", HostChoice(local=True)),
        ("passwd: files\n", HostChoice()),
        ("hosts: files mdns4_minimal dns\n", HostChoice((), "mdns4_minimal")),
        ("hosts: files resolve dns\n", HostChoice((), "resolve")),
        (
            "hosts: files [NOTFOUND=return] dns\n",
            HostChoice((), "[NOTFOUND=return]"),
        ),
    ],
)
def test_whoIsAsked(tmp_path: Path, text: str, expected: HostChoice) -> None:
    """What only the C library knows how to ask is left to it."""
    file = tmp_path / "nsswitch.conf"
    file.write_text(text)
    assert readChoice(file) == expected


def test_withoutTheFileTheDefaultIsAsked(tmp_path: Path) -> None:
    """The hosts file, then DNS."""
    assert readChoice(tmp_path / "none") == HostChoice()


def settings(*servers: str, **more: object) -> ServerSettings:
    return ServerSettings(tuple((each, 53) for each in servers), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", settings("127.0.0.1")),
        ("nameserver 192.0.2.1\n", settings("192.0.2.1")),
        (
            "; x\nsearch a.example\nnameserver 192.0.2.1\r\nnameserver 2001:db8::1",
            settings("192.0.2.1", "2001:db8::1"),
        ),
        (" nameserver 192.0.2.1\n", settings("127.0.0.1")),
        ("nameserver ns.example\nnameserver ::1 x\n", settings("::1")),
        (
            "".join(f"nameserver 192.0.2.{number}\n" for number in range(1, 9)),
            settings("192.0.2.1", "192.0.2.2", "192.0.2.3"),
        ),
        (
            "nameserver ::1\noptions ndots:5 timeout:3 attempts:9\noptions rotate",
            settings("::1", rounds=5, patience=3, rotate=True),
        ),
        (
            "nameserver ::1\noptions single-request",
            settings("::1", single=True),
        ),
        (
            "nameserver ::1\noptions single-request-reopen",
            settings("::1", single=True),
        ),
        (
            "nameserver ::1\noptions attempts:0 timeout:x use-vc",
            settings("::1", rounds=1, stream=True),
        ),
    ],
)
def test_whichServers(tmp_path: Path, text: str, expected: ServerSettings) -> None:
    """As resolv.conf(5) has it, without search domains."""
    file = tmp_path / "resolv.conf"
    file.write_text(text)
    found = readServers(file, {})
    assert found.settings == expected
    assert found.aaaa


def test_optionsOfTheEnvironmentCountLast(tmp_path: Path) -> None:
    """resolv.conf(5), RES_OPTIONS."""
    file = tmp_path / "resolv.conf"
    file.write_text("options attempts:3 no-aaaa\n")
    found = readServers(file, {"RES_OPTIONS": "attempts:4 rotate"})
    assert found.settings.rounds == 4
    assert found.settings.rotate
    assert not found.aaaa


def test_aZoneIsPartOfAServersAddress(tmp_path: Path) -> None:
    """As router advertisements give it."""
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver fe80::1%lo\n")
    assert readServers(file, {}).settings.servers == (("fe80::1%lo", 53),)
