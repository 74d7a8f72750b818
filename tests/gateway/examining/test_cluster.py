"""
C{[cluster]}: what cannot be, with the key and the remedy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from socksgw.config.loading import loads
from socksgw.gateway.examining.cluster import examineCluster
from socksgw.gateway.examining.problems import Problems
from tests.tools.certificates import Authority, pemOf, server

URL = 'url = "redis://127.0.0.1/0"'
TLS = 'url = "rediss://redis.example"'
MEMBERS = 'members = ["socksgw", "b"]'


def found(text: str, directory: Path, before: str = "") -> list[str]:
    """What is wrong with a C{[cluster]}."""
    problems = Problems()
    config = loads(f"{before}\n[cluster]\n{text}\n", "gw.toml", directory)
    examineCluster(config, problems)
    return [f"{each.path}: {each.text}" for each in problems.errors]


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        (f'url = "http://a"\n{MEMBERS}', "url", "must begin with redis://"),
        (f'url = "redis://:word@a"\n{MEMBERS}', "url", "password_file"),
        (f'url = "redis://a:x"\n{MEMBERS}', "url", "is no URL"),
        (f'url = "redis://a/x"\n{MEMBERS}', "url", "must be like redis://"),
        (f'url = "redis://"\n{MEMBERS}', "url", "must be like redis://"),
        (f'url = "redis://a?db=1"\n{MEMBERS}', "url", "must end after"),
        (f'url = "unix://a/b"\n{MEMBERS}', "url", "must be like unix://"),
        (f'{URL}\nmembers = ["b"]', "members", 'this member, "socksgw"'),
        (f'{URL}\n{MEMBERS}\nmember = "a b"', "member", "must be 1 to 64"),
        (f'{URL}\nmembers = ["socksgw", "b", "b"]', "members[2]", "there twice"),
        (f'{URL}\nmembers = ["socksgw", "b:"]', "members[1]", "must be 1 to 64"),
        (f'{URL}\n{MEMBERS}\nname = "x}}"', "name", "must be 1 to 64"),
        (f'{URL}\n{MEMBERS}\nttl = "900ms"', "ttl", '"1s" to "1m"'),
        (f'{URL}\n{MEMBERS}\nttl = "1s"', "timeout", "less than ttl"),
        (f'{URL}\n{MEMBERS}\nuser = "gw"', "user", "needs a password_file"),
        (f'{URL}\n{MEMBERS}\npassword_file = "no"', "password_file", "no"),
        (f'{URL}\n{MEMBERS}\nca = "no"', "ca", "rediss://"),
        (f'{TLS}\n{MEMBERS}\nca = "no"', "ca", "no"),
        (f'{TLS}\n{MEMBERS}\nca = "gw.toml"', "ca", "no certificates"),
        (f'{TLS}\n{MEMBERS}\nkey = "gw.toml"', "certificate", "needed both"),
        (
            f'{TLS}\n{MEMBERS}\ncertificate = "gw.toml"\nkey = "gw.toml"',
            "certificate",
            "are no certificate",
        ),
    ],
)
def test_wrong(tmp_path: Path, text: str, path: str, why: str) -> None:
    """Each with its path; no error has the password of a URL."""
    (tmp_path / "gw.toml").write_text("a = 1")
    (tmp_path / "gw.toml").chmod(0o600)
    problems = found(text, tmp_path)
    assert all("word" not in each.replace("password", "") for each in problems)
    problem = next(each for each in problems if each.startswith(f"cluster.{path}: "))
    assert why in problem
    # Where a member's name is wrong, it is none of the members either.
    assert len(problems) == (2 if "a b" in text else 1)


def test_workers(tmp_path: Path) -> None:
    """Workers do not count with other machines; the gateway's name is a member's."""
    (problem,) = found(f"{URL}\n{MEMBERS}", tmp_path, "[gateway]\nworkers = 2")
    assert problem.startswith("gateway.workers: must be 1 in a [cluster]")
    (problem, _) = found(f"{URL}\n{MEMBERS}", tmp_path, '[gateway]\nname = "a b"')
    assert problem.startswith("gateway.name: must be 1 to 64")


def test_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrong with it, unless the extra is not installed."""
    authority = Authority()
    server(authority).write(tmp_path, "gw")
    (tmp_path / "ca.pem").write_bytes(pemOf(authority.certificate))
    (tmp_path / "word").write_text("secret\n")
    (tmp_path / "word").chmod(0o600)
    whole = f"""{TLS}
members = ["edge-1", "b"]
member = "edge-1"
name = "x"
user = "gw"
password_file = "word"
ca = "ca.pem"
certificate = "gw.pem"
key = "gw.key"
ttl = "2s"
timeout = "500ms"
"""
    assert found(whole, tmp_path) == []
    assert found(f'url = "unix:///run/r.sock"\n{MEMBERS}', tmp_path) == []
    (tmp_path / "gw.key").chmod(0o644)
    (problem,) = found(whole, tmp_path)
    assert problem.startswith("cluster.key: ")
    monkeypatch.setitem(sys.modules, "redis", None)
    (problem,) = found(f"{URL}\n{MEMBERS}", tmp_path)
    assert problem == "cluster: needs an extra: pip install 'socksgw[redis]'"
