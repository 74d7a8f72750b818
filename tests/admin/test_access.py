"""
Who is told by what, and which requests no person has meant.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from socksgw.admin.access import Access
from socksgw.admin.table import Caller, Refused
from socksgw.config.loading import loads
from socksgw.system.program import Program

TOKENS = {"noc": "8b1f" * 8, "ops": "77aa" * 8}


def accessOf(directory: Path, more: str = "") -> Access:
    """Return the access of a configuration with two tokens."""
    text = f'[admin]\nhosts = ["GW.corp.example"]\n{more}'
    for name, secret in TOKENS.items():
        file = directory / name
        file.touch(0o600)
        file.write_text(f"{secret}\n")
        role = "operate" if name == "ops" else "read"
        text += (
            f'[[admin.token]]\nname = "{name}"\nfile = "{name}"\nroles = ["{role}"]\n'
        )
    return Access(loads(text, "gw.toml", directory))


def test_tokens(tmp_path: Path) -> None:
    """Each has its name and its roles; who may operate may look."""
    access = accessOf(tmp_path)
    noc = access.caller(f"Bearer {TOKENS['noc']}", None)
    assert (noc.name, noc.may("read"), noc.may("operate")) == ("token:noc", True, False)
    ops = access.caller(f"bearer  {TOKENS['ops']}", None)
    assert (ops.name, ops.may("read"), ops.may("operate")) == ("token:ops", True, True)


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        f"Basic {TOKENS['ops']}",
        TOKENS["ops"],
        f"Bearer {TOKENS['ops']}x",
        f"Bearer {TOKENS['ops'][:-1]}",
        f"Bearer {TOKENS['ops']} {TOKENS['ops']}",
        f"Bearer {TOKENS['ops'].upper()}",
        "Bearer \ufffd",
        f"Bearer {'a' * 5000}",
    ],
)
def test_noToken(tmp_path: Path, field: str) -> None:
    """Nobody has it: refused, also at the socket of the own user."""
    access = accessOf(tmp_path)
    for program in (None, Program(os.geteuid())):
        with pytest.raises(Refused) as caught:
            access.caller(field, program)
        assert caught.value.status == 401


def test_tokenOfAFileThatChanged(tmp_path: Path) -> None:
    """It is read again; one whose file cannot be used is nobody's."""
    access = accessOf(tmp_path)
    (tmp_path / "ops").write_text("0123456789abcdef0123\n")
    with pytest.raises(Refused):
        access.caller(f"Bearer {TOKENS['ops']}", None)
    assert access.caller("Bearer 0123456789abcdef0123", None).name == "token:ops"
    (tmp_path / "ops").unlink()
    with pytest.raises(Refused):
        access.caller("Bearer 0123456789abcdef0123", None)
    assert access.caller(f"Bearer {TOKENS['noc']}", None).name == "token:noc"


def test_users(tmp_path: Path) -> None:
    """Root and our own user may do everything, others nothing, no user is nobody."""
    access = accessOf(tmp_path)
    for uid in (0, os.geteuid()):
        caller = access.caller(None, Program(uid))
        assert (caller.name, caller.may("operate")) == (f"uid:{uid}", True)
    other = access.caller(None, Program(4711))
    assert (other.name, other.may("read")) == ("uid:4711", False)
    # Whom a user namespace gives no number here.
    assert access.caller(None, Program(65534)) == Caller()
    assert access.caller(None, None) == Caller()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:1081",
        "127.0.0.1:1081",
        "[::1]:1081",
        "gw.corp.example",
        "10.0.0.2",
    ],
)
def test_hosts(tmp_path: Path, host: str) -> None:
    """Addresses, localhost, and what the configuration names."""
    assert accessOf(tmp_path).host([host], True) == host
    assert accessOf(tmp_path).host([host.upper()], True) == host


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["evil.example"], 421),
        (["evil.example:1081"], 421),
        (["localhost.evil.example"], 421),
        (["127.0.0.1.evil.example"], 421),
        (["2130706433"], 421),
        (["127.1"], 421),
        (["localhost."], 421),
        ([], 400),
        ([""], 400),
        (["localhost", "localhost"], 400),
        (["localhost/"], 400),
        (["user@localhost"], 400),
        (["[localhost"], 400),
    ],
)
def test_foreignHosts(tmp_path: Path, hosts: list[str], status: int) -> None:
    """A name that somebody else has led here is refused."""
    with pytest.raises(Refused) as caught:
        accessOf(tmp_path).host(hosts, True)
    assert caught.value.status == status


def test_checksWithoutHost(tmp_path: Path) -> None:
    """Health checks of HTTP/1.0 have none; browsers always have."""
    assert accessOf(tmp_path).host([], False) == ""


@pytest.mark.parametrize(
    ("origin", "site", "secure", "foreign"),
    [
        (None, None, False, False),
        (None, "none", False, False),
        (None, "same-origin", False, False),
        (None, "same-site", False, True),
        (None, "cross-site", False, True),
        ("http://localhost:1081", "same-origin", False, False),
        ("http://LOCALHOST:1081", None, False, False),
        ("https://localhost:1081", None, True, False),
        ("http://localhost:1081", None, True, True),
        ("https://localhost:1081", None, False, True),
        ("http://localhost", None, False, True),
        ("http://evil.example", None, False, True),
        ("null", None, False, True),
        ("", None, False, True),
        ("http://localhost:1081", "cross-site", False, True),
    ],
)
def test_origins(
    tmp_path: Path, origin: str | None, site: str | None, secure: bool, foreign: bool
) -> None:
    """A request is ours where no other site has brought it about."""
    access = accessOf(tmp_path)
    assert access.isForeign(origin, site, "localhost:1081", secure) is foreign


def test_public(tmp_path: Path) -> None:
    """What the configuration opens, and health where it says nothing."""
    assert accessOf(tmp_path).isPublic("health")
    assert not accessOf(tmp_path).isPublic("metrics")
    access = accessOf(tmp_path, 'public = ["metrics"]\n')
    assert access.isPublic("metrics")
    assert not access.isPublic("health")
    assert not access.isPublic("")
