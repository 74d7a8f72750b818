"""
What was imported decides as the original does: Debian's Squid and a gateway are asked the
same, in one network; the requests are made of the file.
"""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.interop.importing import PASSWORD, USERS
from tests.live.netns import alone
from tests.live.running import socksgw
from tests.live.servers import missing, package, program

HEAD = """\
http_port 10.0.0.1:3128
http_port 10.0.0.1:3129 name=second
pid_filename none
cache deny all
access_log none
cache_log {0}/own/cache.log
coredump_dir {0}/own
shutdown_lifetime 1 second
forwarded_for off
"""
#: As Debian's own file, with lists of sites, times and networks.
OFFICE = """\
acl localnet src 10.0.0.0/8 192.168.0.0-192.168.0.9
acl SSL_ports port 443 8443
acl Safe_ports port 80 443 8443 1025-2000
acl blocked dstdomain -n "{0}/blocked.txt"
acl partners dstdomain -n .partner.example
acl servers dst 10.20.0.0/16
acl guests src 10.5.0.0/16
acl second myportname second
acl today time {day} 00:00-23:59
acl never time {other} 00:00-23:59
http_access deny !Safe_ports
http_access deny CONNECT !SSL_ports
http_access allow localhost manager
http_access deny manager
http_access deny blocked !second
http_access allow guests partners today
http_access deny guests
http_access deny servers never
http_access allow localnet !servers
http_access deny localnet second
http_access allow localnet today servers
http_access deny all
"""
#: With logins; the last line denies, so that the rest is allowed.
STAFF = """\
auth_param basic program /usr/lib/squid/basic_ncsa_auth {0}/users
auth_param basic realm corp
acl staff proxy_auth REQUIRED
acl alice proxy_auth alice
acl bob proxy_auth bob
acl own src 10.5.0.0/16
acl secret dstdomain -n .secret.example
acl db port 5432
http_access deny !staff
http_access allow alice
http_access deny secret
http_access deny bob db
http_access allow own
http_access deny !own db
"""


@pytest.fixture
def openPath() -> Iterator[Path]:
    """
    A folder that every user reaches: Squid gives up its rights before it opens files.

    Those of pytest are closed, also by each run that begins while this one lasts.
    """
    with TemporaryDirectory(prefix="squid-", dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.mark.parametrize("rules", [OFFICE, STAFF], ids=["office", "staff"])
def test_squid(openPath: Path, rules: str) -> None:
    """
    Some hundred requests get the same verdict from each of them.

    But for tunnels that Squid denies by their port: rules tell them from requests by
    what they carry, so the gateway opens them, and ends them if that is no HTTP.
    """
    program("squid", "squid")
    package("bcrypt")
    if os.geteuid() != 0:
        missing("root, to give files to Squid's user")
    import bcrypt

    own = openPath / "own"
    own.mkdir()
    os.chown(own, pwd.getpwnam("proxy").pw_uid, -1)
    today = "SMTWHFA"[(datetime.now(UTC).weekday() + 1) % 7]
    other = "SMTWHFA".replace(today, "")
    file = openPath / "squid.conf"
    text = (HEAD + rules).replace("{0}", str(openPath))
    file.write_text(text.replace("{day}", today).replace("{other}", other))
    (openPath / "blocked.txt").write_text("bad.example # one\n.worse.example\n")
    hashed = bcrypt.hashpw(PASSWORD, bcrypt.gensalt(4)).decode()
    users = openPath / "users"
    users.write_text("".join(f"{each}:{hashed}\n" for each in USERS))
    users.chmod(0o640)
    os.chown(users, -1, pwd.getpwnam("proxy").pw_gid)
    asked = json.loads(alone("tests.interop.importing_squid", str(file)))
    assert len(asked) > 200
    assert [
        each
        for each in asked
        if len(set(each[2])) > 1
        and ((each[1][0], each[2]) != ("CONNECT", [False, True, False])
             or each[1][3] in (443, 8443))
    ] == []  # fmt: skip
    assert {each[2][0] for each in asked} == {True, False}


def test_debian(tmp_path: Path) -> None:
    """Debian's own file, with its local networks let in, is imported, and good."""
    program("squid", "squid")
    text = Path("/etc/squid/squid.conf").read_text()
    file = tmp_path / "squid.conf"
    file.write_text(re.sub("(?m)^#(http_access allow localnet)$", r"\1", text))
    assert "\nhttp_access allow localnet\n" in file.read_text()
    made = tmp_path / "gateway.toml"
    done = socksgw("import", str(file), "-o", str(made))
    assert done.returncode == 0, done.stderr
    assert "WIDER" not in done.stderr
    done = socksgw("check", str(made))
    assert (done.returncode, done.stderr) == (0, "")
    assert "anonymous" in done.stdout
