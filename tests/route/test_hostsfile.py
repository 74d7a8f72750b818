"""
The hosts file, read once per change.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from socksgw.route import hostsfile
from socksgw.route.hostsfile import HostsFile
from socksgw.system import files
from socksgw.wire.address import Address


def said(hosts: HostsFile, name: str) -> list[str] | None:
    found = hosts.addresses(name)
    return None if found is None else [address.text for address in found]


def test_whatTheFileSays(tmp_path: Path) -> None:
    """hosts(5): comments, several names, any white space, no case."""
    file = tmp_path / "hosts"
    file.write_bytes(
        b"\xef\xbb\xbf192.0.2.5\tPrinter printer.example.  # upstairs\r\n"
        b"# 192.0.2.6 printer\n"
        b"2001:DB8:0::5 printer\n"
        b"192.0.2.5 printer\n"
        b"192.0.2.300 wrong\n"
        b"fe80::1%eth0 zoned\n"
        b"192.0.2.7\n"
        b"192.0.2.8 last"
    )
    hosts = HostsFile(file)
    hosts.refresh()
    assert said(hosts, "printer") == ["192.0.2.5", "2001:db8::5"]
    assert said(hosts, "printer.example") == ["192.0.2.5"]
    assert said(hosts, "last") == ["192.0.2.8"]
    for name in ("wrong", "zoned", "upstairs", "192.0.2.7", ""):
        assert said(hosts, name) is None
    assert hosts.name(Address.parse("192.0.2.5")) == "printer"
    assert hosts.name(Address.parse("2001:db8::5")) == "printer"
    assert hosts.name(Address.parse("192.0.2.6")) is None


def test_itIsReadWhenItHasChanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not before, however often a name is asked for."""
    reads: list[Path] = []
    real = files.readFile

    def reading(path: Path) -> bytes:
        reads.append(path)
        return real(path)

    monkeypatch.setattr(hostsfile, "readFile", reading)
    file = tmp_path / "hosts"
    file.write_text("192.0.2.5 printer\n")
    hosts = HostsFile(file)
    for _ in range(20):
        hosts.refresh()
        assert said(hosts, "printer") == ["192.0.2.5"]
    assert len(reads) == 1
    (tmp_path / "new").write_text("192.0.2.6 printer\n")
    os.replace(tmp_path / "new", file)
    hosts.refresh()
    assert said(hosts, "printer") == ["192.0.2.6"]
    file.unlink()
    hosts.refresh()
    assert said(hosts, "printer") is None
    assert len(reads) == 2


def test_aLargeFileIsIndexedInAThread(tmp_path: Path) -> None:
    """Until that is done what was read before counts."""
    later: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
    file = tmp_path / "hosts"
    file.write_text("192.0.2.5 printer\n")
    hosts = HostsFile(file)

    def refresh() -> None:
        hosts.refresh(lambda work, done: later.append((work, done)))

    refresh()
    file.write_text("192.0.2.6 printer\n" + "0.0.0.0 ads.example\n" * 1000)
    refresh()
    file.write_text("192.0.2.7 printer\n" + "0.0.0.0 ads.example\n" * 1000)
    refresh()
    assert said(hosts, "printer") == ["192.0.2.5"]
    ((work, done),) = later
    done(work())
    assert said(hosts, "printer") == ["192.0.2.6"]
    assert said(hosts, "ads.example") == ["0.0.0.0"]
    # What changed meanwhile.
    refresh()
    _, (work, done) = later
    done(work())
    assert said(hosts, "printer") == ["192.0.2.7"]


def test_aFileThatCannotBeReadSaysNothing(tmp_path: Path) -> None:
    """As for the C library; and it is read when it can be."""
    file = tmp_path / "hosts"
    file.mkdir()
    hosts = HostsFile(file)
    hosts.refresh()
    assert said(hosts, "printer") is None
    file.rmdir()
    file.write_text("192.0.2.5 printer\n")
    hosts.refresh()
    assert said(hosts, "printer") == ["192.0.2.5"]
