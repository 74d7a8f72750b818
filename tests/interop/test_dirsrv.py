"""
Users and groups of a real 389 Directory Server, by the filter of the manual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.interop.directory import tried
from tests.live import raw
from tests.live.dirsrv import BASE, PASSWORD, DirectoryServer
from tests.live.running import LOOPBACK, ROOT, Running
from tests.live.servers import Destination, echo

POLICY = (
    f"""
[auth]
groups_refresh = "300ms"
cache = "0s"
[[auth.choose]]
methods = ["userpass"]
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[[rule]]
id = "partners"
allow = ["connect"]
who = ["@partners"]
to = ["127.0.0.1"]
[groups]
partners = {{ directory = ["cn=partners,ou=teams,{BASE}"] }}
"""
    + LOOPBACK
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DirectoryServer]:
    with DirectoryServer(tmp_path_factory.mktemp("dirsrv") / "ds") as serving:
        yield serving


def test_lockedAccounts(
    server: DirectoryServer,
    gateway: Callable[..., Running],
    destination: Callable[..., Destination],
    tmp_path: Path,
) -> None:
    """
    Users log in by their names in any case, nested groups count, and an account that
    is locked ends its sessions and does not log in any more.
    """
    chapter = (ROOT / "socksgw" / "manual" / "directories.rst").read_text()
    shown = chapter.partition("\n389-ds\n")[2].strip().partition("\n")[0].strip("`")
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text(PASSWORD)
    table = f"""
[[auth.checker]]
kind = "ldap"
url = ["ldap://127.0.0.1:{server.port}"]
base = "{BASE}"
user_filter = "{shown}"
bind_dn = "uid=gateway,ou=users,{BASE}"
bind_password_file = "{password}"
"""
    serving = gateway(POLICY + table)
    port = destination(echo).port
    login = raw.GREETING_LOGIN + raw.login(b"ALICE", PASSWORD.encode())
    with closing(raw.dial(serving.port)) as client:
        client.sendall(login)
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
        client.sendall(raw.request5("127.0.0.1", port))
        assert raw.exactly(client, 10)[1] == 0
        line = serving.journal("decision")[-1]
        assert (line["user"], line["rule"]) == ("alice", "partners")
        assert tried(serving.port, b"bob", b"wrong") == b"\x01\x01"
        server.modify(
            "dn: cn=config\nchangetype: modify\n"
            "replace: passwordMustChange\npasswordMustChange: on\n\n"
            f"dn: uid=bob,ou=users,{BASE}\nchangetype: modify\n"
            "replace: userPassword\nuserPassword: Of-the-administrator-42\n"
        )
        assert tried(serving.port, b"bob", b"Of-the-administrator-42") == b"\x01\x01"
        assert serving.journal("login-failed")[-1]["reason"] == "password-must-change"
        server.modify(
            f"dn: uid=alice,ou=users,{BASE}\nchangetype: modify\n"
            "add: nsAccountLock\nnsAccountLock: TRUE\n"
        )
        assert raw.end(serving, port)["why"] == "the user no longer exists"
    assert tried(serving.port, b"alice", PASSWORD.encode()) == b"\x01\x01"
    assert serving.journal("login-failed")[-1]["reason"] == "wrong-credentials"
