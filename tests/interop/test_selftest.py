"""
C{socksgw selftest} against a gateway that runs, and against other proxies.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.command import main
from tests.live import upstreams
from tests.live.kerberos import Realm, within
from tests.live.running import Running, environment, running, socksgwProcess
from tests.live.servers import (
    Daemon,
    Destination,
    echo,
    freePort,
    package,
    program,
)
from tests.tools.certificates import CLIENT, SERVER, Authority, dns, email, pemOf
from tests.tools.tokens import AUDIENCE, ISSUER, Issuer, setOf

#: Nobody else connects from there, so that ports that are free stay so.
GATEWAY = """
[[listen]]
name = "open"
address = ["127.77.0.1:{open}", "unix:{directory}/gw.sock"]
protocols = ["socks5", "socks4", "http", "socks6"]
[[listen]]
name = "logins"
address = ["127.77.0.1:{logins}"]
protocols = ["socks5", "http"]
tls = {{ certificate = "gw.pem", key = "gw.key" }}
[auth]
checkers = ["passwd:{directory}/users"]
[[auth.choose]]
listener = ["logins"]
methods = ["userpass"]
from = ["127.0.0.0/8"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.0/8"]
[never]
except = ["127.0.0.1:{target}"]
[[rule]]
id = "all"
allow = ["connect"]
from = ["127.0.0.0/8"]
"""

#: Some clients come without a login, by the same listener.
SHARED = """
[[listen]]
name = "lan"
address = ["127.77.0.1:{port}"]
protocols = ["socks5", "socks4", "http"]
[auth]
checkers = ["passwd:{users}"]
[[auth.choose]]
methods = ["none"]
from = ["127.78.0.0/16"]
[[auth.choose]]
methods = ["userpass"]
from = ["127.0.0.0/8"]
[never]
except = ["127.0.0.1:{target}"]
[[rule]]
id = "all"
allow = ["connect"]
from = ["127.0.0.0/8"]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("selftest")
    root = Authority()
    root.issue(dns("gw.example"), usage=(SERVER,)).write(directory, "gw")
    (directory / "ca.pem").write_bytes(pemOf(root.certificate))
    (directory / "password").write_text("a password\n")
    (directory / "password").chmod(0o600)
    users = str(directory / "users")
    done = socksgwProcess("passwd", users, "alice", stdin="a password\n")
    assert done.returncode == 0, done.stderr
    with Destination(greet) as server:
        text = GATEWAY.format(
            open=freePort(), logins=freePort(), target=server.port, directory=directory
        )
        (directory / "target").write_text(f"127.0.0.1:{server.port}")
        with contextmanager(running)(directory, text) as made:
            yield made


def greet(connection: socket.socket) -> None:
    """Say something first, and then what is heard."""
    with suppress(OSError):
        connection.sendall(b"ready")
        echo(connection)


def tried(
    gateway: Running, *arguments: str, name: str = "gw.toml"
) -> tuple[int, list[dict[str, Any]]]:
    file = str(gateway.directory / name)
    done = socksgwProcess("selftest", file, "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_everyListener(gateway: Running) -> None:
    """All is as it has to be, by TCP, TLS and a Unix socket, with a login and without."""
    here = gateway.directory
    status, found = tried(
        gateway,
        *("--user", "alice", "--password-file", str(here / "password")),
        *("--ca", str(here / "ca.pem"), "--server-name", "gw.example"),
        *("--target", (here / "target").read_text()),
    )
    assert [each for each in found if each["state"] != "ok"] == []
    assert status == 0
    wanted = [e["what"] for e in found if e["said"] == "a login is wanted of this host"]
    assert len(wanted) == 2
    connects = [
        each["what"]
        for each in found
        if "CONNECT by" in each["what"] and "login is wanted" not in each["said"]
    ]
    assert [each.partition(":")[0] for each in connects] == [
        *("socks5", "socks4", "http", "socks6") * 2,
        *("socks5", "http"),
    ]
    assert connects[-1].endswith("as alice")
    places = {each["place"] for each in found}
    assert places == {
        "listen[0].address[0]",
        "listen[0].address[1]",
        "listen[1].address[0]",
        "audit.journal",
    }
    denied = [line["asked"] for line in gateway.journal("decision")]
    assert "192.0.2.1" in denied


def test_withoutAUser(gateway: Running) -> None:
    """
    What takes a login is not tried, and neither is a policy that refuses this host. A
    listener that the gateway does not have yet is one failure.
    """
    here = gateway.directory
    later = f'[[listen]]\nname = "later"\naddress = ["unix:{here}/later.sock"]\n'
    (here / "later.toml").write_text((here / "gw.toml").read_text() + later)
    arguments = "--ca", str(here / "ca.pem"), "--server-name", "gw.example"
    status, found = tried(gateway, *arguments, name="later.toml")
    assert status == 1
    (failed,) = (each for each in found if each["state"] == "failed")
    assert failed["place"] == "listen[2].address[0]"
    assert "connection refused" in failed["said"]
    warned = [each for each in found if each["state"] == "warning"]
    assert all("--user" in e["remedy"] or "--target" in e["remedy"] for e in warned)
    assert {each["place"] for each in warned} >= {"listen[1].address[0]"}


def test_wrong(gateway: Running, tmp_path: Path) -> None:
    """A certificate that is not trusted, and a wrong password."""
    here = gateway.directory
    (tmp_path / "password").write_text("another\n")
    (tmp_path / "password").chmod(0o600)
    status, found = tried(
        gateway,
        *("--user", "alice", "--password-file", str(tmp_path / "password")),
        *("--ca", str(here / "ca.pem"), "--server-name", "gw.example"),
    )
    failed = [each for each in found if each["state"] == "failed"]
    assert status == 1
    assert any("are --user and the password right?" in e["remedy"] for e in failed)
    status, found = tried(gateway)
    failed = [each["said"] for each in found if each["state"] == "failed"]
    assert status == 1
    assert any("certificate" in each for each in failed)


def test_nothingTried(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong use, and nobody there: one line each, and no reactor runs."""
    for arguments in (
        (),
        ("--proxy", "socks5://127.0.0.1"),
        ("--proxy", "socks5://alice:secret@127.0.0.1:1"),
        ("--proxy", "socks5://127.0.0.1:1", "--user", "alice"),
        ("--proxy", "socks5://127.0.0.1:1", "--target", "nowhere"),
    ):
        assert main(("selftest", *arguments)) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "secret" not in err
    nobody = f"127.0.0.1:{freePort()}"
    assert main(("selftest", "--proxy", f"socks5://{nobody}")) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"socksgw selftest: socks5://{nobody}: nothing accepts connections there "
        "(connection refused); start the proxy, or correct --proxy\n"
    )


LOGINS = """
[[listen]]
name = "realm"
address = ["127.77.0.1:{ports[0]}"]
protocols = ["socks5", "http"]
[[listen]]
name = "challenge"
address = ["127.77.0.1:{ports[1]}"]
protocols = ["socks5", "socks6"]
[[listen]]
name = "partners"
address = ["127.77.0.1:{ports[2]}"]
protocols = ["socks5", "socks4", "socks6", "http"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "ca.pem"
client_certificate = "required"
[[listen]]
name = "front"
address = ["127.77.0.1:{ports[3]}", "unix:{directory}/front.sock"]
proxy_protocol_from = ["127.0.0.1"]
[[listen]]
name = "jobs"
address = ["127.77.0.1:{ports[4]}"]
protocols = ["http"]
[[listen]]
name = "inside"
address = ["127.77.0.1:{ports[5]}"]
[listen.multicast]
interface = "lo"
[[listen]]
name = "realm over tls"
address = ["127.77.0.1:{ports[6]}"]
protocols = ["socks6"]
tls = {{ certificate = "gw.pem", key = "gw.key" }}
[[listen]]
name = "gateways"
address = ["127.77.0.1:{ports[7]}"]
protocols = ["socks5", "http"]
identity_keys = ["edge.pub"]
tls = {{ certificate = "gw.pem", key = "gw.key" }}
[auth]
checkers = ["secrets:secrets"]
tls = {{ certificate = "gw.pem", key = "gw.key", methods = ["chap"] }}
strip_realms = ["{realm.name}"]
gssapi = {{ keytab = "{realm.keytab}" }}
[[auth.checker]]
kind = "jwt"
issuer = "{issuer}"
audience = "{audience}"
keys = "keys.json"
[[auth.choose]]
listener = ["realm", "realm over tls"]
methods = ["gssapi"]
[[auth.choose]]
listener = ["inside"]
methods = ["tls"]
[[auth.choose]]
listener = ["gateways"]
methods = ["gateway"]
[[auth.choose]]
listener = ["challenge"]
methods = ["chap"]
[[auth.choose]]
listener = ["partners"]
methods = ["certificate"]
[[auth.choose]]
listener = ["jobs"]
methods = ["token"]
[[auth.choose]]
listener = ["front"]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "all"
allow = ["connect", "bind", "udp", "multicast"]
[never]
except = ["127.0.0.0/8", "0.0.0.0"]
"""


@pytest.fixture(scope="module")
def everyLogin(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Running, Realm]]:
    """A gateway with a listener for each login, and the realm of its tickets."""
    package("gssapi")
    directory = tmp_path_factory.mktemp("logins")
    root, issuer = Authority(), Issuer()
    root.issue(dns("gw.example"), usage=(SERVER,)).write(directory, "gw")
    mine = root.issue(email("alice@corp.example"), usage=(CLIENT,))
    mine.write(directory, "alice")
    (directory / "ca.pem").write_bytes(pemOf(root.certificate))
    (directory / "keys.json").write_bytes(setOf(issuer))
    realm = Realm(directory / "realm", "CORP.EXAMPLE")
    realm.services(realm.keytab, "HTTP/localhost", "rcmd/localhost")
    realm.user("alice")
    realm.services(directory / "alice.keytab", "carol")
    for name, text in (("password", "a password"), ("token", issuer.token().decode())):
        (directory / name).write_text(f"{text}\n")
        (directory / name).chmod(0o600)
    for arguments in (
        ("genpkey", "-algorithm", "ed25519", "-out", "edge.key"),
        ("pkey", "-in", "edge.key", "-pubout", "-out", "edge.pub"),
    ):
        openssl = program("openssl", "openssl")
        subprocess.run([openssl, *arguments], cwd=directory, check=True)
    secrets = str(directory / "secrets")
    done = socksgwProcess("passwd", "--secrets", secrets, "alice", stdin="a password\n")
    assert done.returncode == 0, done.stderr
    with realm.running():
        text = LOGINS.format(
            ports=[freePort() for _ in range(8)], directory=directory, realm=realm,
            issuer=ISSUER, audience=AUDIENCE,
        )  # fmt: skip
        with contextmanager(running)(directory, text, extra=realm.environment) as made:
            yield made, realm


def test_everyLogin(everyLogin: tuple[Running, Realm]) -> None:
    """
    Each login for which there is material is tried with each command; behind PROXY
    headers, too. The journal has it.
    """
    gateway, realm = everyLogin
    here = gateway.directory
    tickets = realm.tickets("alice")
    with within(tickets):
        status, found = tried(
            gateway,
            *("--user", "alice", "--password-file", str(here / "password")),
            *("--ca", str(here / "ca.pem"), "--server-name", "gw.example"),
            *(
                "--certificate",
                str(here / "alice.pem"),
                "--key",
                str(here / "alice.key"),
            ),
            *("--token-file", str(here / "token"), "--service", "localhost"),
            *("--ccache", tickets["KRB5CCNAME"]),
            *("--identity-key", str(here / "edge.key")),
        )
    assert [each for each in found if each["state"] != "ok"] == []
    assert status == 0
    ours = {
        each["what"].replace(" by socksgw's own client", ""): each["said"]
        for each in found
        if "own client" in each["what"] and each["place"] != "listen[3].address[1]"
    }
    connects, bind = "it connects, and what is sent arrives", "it listens at"
    assert [what for what, said in ours.items() if said == connects] == [
        "socks5: CONNECT, by GSSAPI", "http: CONNECT, by Negotiate",
        "socks5: CONNECT, as alice by CHAP", "socks6: CONNECT, as alice by CHAP",
        "socks5: CONNECT, by a certificate", "socks4: CONNECT, by a certificate",
        "socks6: CONNECT, by a certificate", "http: CONNECT, by a certificate",
        "socks5: CONNECT", "socks4: CONNECT", "http: CONNECT, by a token",
        "socks5: CONNECT, as alice by CHAP inside TLS", "socks6: CONNECT, by GSSAPI",
        "socks5: CONNECT, as a gateway's user", "http: CONNECT, as a gateway's user",
    ]  # fmt: skip
    # The vectors of requests come after each login, too.
    said = [each["what"] for each in found]
    behind = [
        "socks5: {}, by GSSAPI", "http: {}, by Negotiate", "socks5: {}, as alice by CHAP",
        "socks6: {}, as alice by CHAP",
        "socks5: {}, by a certificate", "socks6: {}, by a certificate",
        "http: {}, by a certificate", "socks5: {}", "http: {}, by a token",
        "socks5: {}, as alice by CHAP inside TLS", "socks6: {}, by GSSAPI",
        "socks5: {}, as a gateway's user", "http: {}, as a gateway's user",
    ]  # fmt: skip
    for name in ("a destination of documentation", "a request octet by octet"):
        assert [each for each in behind if each.format(name) not in said] == []
    binds = [what for what, said in ours.items() if said.startswith(bind)]
    assert {"socks5: BIND, by GSSAPI", "socks5: BIND, as alice by CHAP"} <= set(binds)
    relays = {what: said for what, said in ours.items() if said.startswith("it relays")}
    for what in (
        "socks5: UDP ASSOCIATE, by GSSAPI", "socks5: UDP ASSOCIATE",
        "socks5: UDP ASSOCIATE, as alice by CHAP inside TLS",
    ):  # fmt: skip
        assert relays[what].endswith("; 3 wrong datagrams go nowhere")
    assert "socks6: UDP ASSOCIATE, by GSSAPI" in relays
    groups = [what for what, said in ours.items() if "is none, is refused" in said]
    assert groups == ["socks5: multicast groups, as alice by CHAP inside TLS"]
    users = {(e["method"], e["user"]) for e in gateway.journal("decision")}
    assert users >= {
        ("gssapi", "alice"), ("chap", "alice"), ("certificate", "alice@corp.example"),
        ("gateway", "alice"),
    }  # fmt: skip
    proxied = [e for e in gateway.journal("decision") if e["listener"] == "front"]
    assert proxied
    assert all(each["sender"] for each in proxied)


def test_wrongMaterial(everyLogin: tuple[Running, Realm], tmp_path: Path) -> None:
    """
    A wrong password inside TLS, an authority that has not signed, a key that no listener
    believes: each is a failure, with what to look at.
    """
    gateway, _ = everyLogin
    here = gateway.directory
    (tmp_path / "password").write_text("another\n")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "ca.pem").write_bytes(pemOf(Authority().certificate))
    make = ("genpkey", "-algorithm", "ed25519", "-out", str(tmp_path / "other.key"))
    subprocess.run([program("openssl", "openssl"), *make], check=True)
    user = ("--user", "alice", "--password-file")
    inside, gateways = "listen[5].address[0]", "listen[7].address[0]"
    _, found = tried(
        gateway,
        *(*user, str(tmp_path / "password"), "--ca", str(here / "ca.pem")),
        *("--identity-key", str(tmp_path / "other.key"), "--server-name", "gw.example"),
    )
    failed = {e["place"]: e["remedy"] for e in found if e["state"] == "failed"}
    assert failed[inside] == "are --user and the password right?"
    assert "identity_keys" in failed[gateways]
    _, found = tried(
        gateway, *user, str(here / "password"), "--ca", str(tmp_path / "ca.pem")
    )
    (said, *_) = [e for e in found if (e["place"], e["state"]) == (inside, "failed")]
    assert "no trusted authority" in said["said"]
    assert said["remedy"] == "are --ca and --server-name right?"


def test_aKeytab(everyLogin: tuple[Running, Realm]) -> None:
    """A user's keys do in the place of a cache; what there is none for is told."""
    gateway, realm = everyLogin
    here = gateway.directory
    with within(realm.environment):
        status, found = tried(
            gateway,
            *("--client-keytab", str(here / "alice.keytab"), "--user", "carol"),
            *("--ca", str(here / "ca.pem"), "--service", "localhost"),
        )
    assert status == 0, [each for each in found if each["state"] == "failed"]
    users = {e["user"] for e in gateway.journal("decision") if e["method"] == "gssapi"}
    assert "carol" in users
    told = {
        each["what"]: (each["said"], each["remedy"])
        for each in found
        if each["state"] == "warning" and "needs" in each["said"]
    }
    assert told["socks5, socks6: login by chap"][1] == "--user and --password-file"
    assert told["http: login by token"] == (
        "not tried, nor what comes after it: it needs a bearer token", "--token-file",
    )  # fmt: skip


def test_oneListenerForAll(tmp_path: Path) -> None:
    """SOCKS 4 is not tried where only other hosts come without a login."""
    users = str(tmp_path / "users")
    done = socksgwProcess("passwd", users, "alice", stdin="a password\n")
    assert done.returncode == 0, done.stderr
    with Destination(greet) as server:
        text = SHARED.format(port=freePort(), target=server.port, users=users)
        with contextmanager(running)(tmp_path, text) as made:
            status, found = tried(made, "--target", f"127.0.0.1:{server.port}")
    (lacking,) = (e for e in found if "and SOCKS 4 has none" in e["said"])
    assert lacking["state"] == "warning"
    assert not [e for e in found if e["state"] == "failed"]
    assert status == 0
    (journal,) = (e for e in found if e["place"] == "audit.journal")
    assert journal["state"] == "ok"


def test_theJournal(gateway: Running, tmp_path: Path) -> None:
    """That of another gateway lacks what was tried; one that is not there is told."""
    file = gateway.directory / "other.toml"
    text = (gateway.directory / "gw.toml").read_text()
    for make, state, words in (
        (False, "warning", "is not there"),
        (True, "failed", "it lacks"),
    ):
        state_dir = tmp_path / "state"
        if make:
            (state_dir / "audit").mkdir(parents=True)
        file.write_text(f'{text}\n[gateway]\nstate_dir = "{state_dir}"\n')
        more = ("--json", "--target", (gateway.directory / "target").read_text())
        done = socksgwProcess("selftest", str(file), *more)
        (found,) = (e for e in json.loads(done.stdout) if e["place"] == "audit.journal")
        assert found["state"] == state
        assert words in found["said"]


def test_microsocks(tmp_path: Path) -> None:
    """Another proxy is tried likewise."""
    port = freePort(kind=socket.SOCK_STREAM)
    with Daemon(upstreams.microsocks(port), port, tmp_path / "log", environment()):
        url = f"socks5://127.0.0.1:{port}"
        done = socksgwProcess("selftest", "--proxy", url, "--json")
    found = {each["what"]: each for each in json.loads(done.stdout)}
    own = found["socks5: CONNECT by socksgw's own client"]
    assert own["said"] == "it connects, and what is sent arrives"
    assert found["socks5: an unknown command"]["state"] == "ok"
    assert found["socks5: a method that nobody has"]["said"] == "05 ff"
