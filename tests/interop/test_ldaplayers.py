"""
The service account's keytab, with real servers that want its messages protected by
Kerberos itself, or tied to the TLS around them; and new keys while the gateway runs.
"""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from socksgw.system.keytab import keysIn
from tests.interop.directory import POLICY as FLAT
from tests.interop.directory import SERVICE, Directory, tried
from tests.live import raw
from tests.live.kerberos import Client, Realm, initiator, within
from tests.live.running import LOOPBACK, Running, environment
from tests.live.samba import BASE, GROUPS, HOST, PASSWORD, DomainController
from tests.live.servers import (
    Certificate,
    Destination,
    echo,
    missing,
    package,
    program,
)
from tests.tools.waiting import until

Start = Callable[..., Running]

POLICY = (
    f"""
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[[auth.choose]]
methods = ["userpass"]
[[rule]]
id = "contractors"
allow = ["connect"]
who = ["@contractors"]
to = ["127.0.0.1"]
[groups]
contractors = {{ directory = ["CN=Contractors,{GROUPS}"] }}
"""
    + LOOPBACK
)


def granted(port: int, user: str, password: str) -> bool:
    """Log in; return whether that is granted."""
    with raw.dial(port) as client:
        client.sendall(raw.GREETING_LOGIN)
        assert raw.exactly(client, 2) == b"\x05\x02"
        client.sendall(raw.login(user.encode(), password.encode()))
        return raw.exactly(client, 2) == b"\x01\x00"


def reached(gateway: Running, user: str, password: str) -> int:
    """Log in and ask; 5 where the rules allow it, and nobody listens."""
    with raw.dial(gateway.port) as client:
        client.sendall(raw.GREETING_LOGIN)
        client.sendall(raw.login(user.encode(), password.encode()))
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00", gateway.log
        client.sendall(raw.request5("127.0.0.1", 1))
        return raw.exactly(client, 10)[1]


def keytabTable(domain: DomainController, protection: str) -> str:
    lines = domain.table(url=f"ldaps://{HOST}").splitlines()
    lines = [
        each for each in lines if not each.startswith(("bind_dn", "bind_password"))
    ]
    lines.append(f'bind_keytab = "{domain.keytabs["svc-search"]}"')
    if protection:
        lines.append(f'bind_protection = "{protection}"')
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("protection", ["confidentiality", "integrity"])
def test_samba(domain: DomainController, gateway: Start, protection: str) -> None:
    """
    Samba takes a keytab only where Kerberos protects each message, and not inside TLS;
    users' passwords go by TLS all the same.
    """
    package("gssapi")
    text = POLICY + keytabTable(domain, protection)
    where = {"prefix": domain.resolving(), "extra": domain.environment}
    running = gateway(text, **where)
    assert reached(running, "alice", PASSWORD) == 5, running.log
    assert running.journal("decision")[-1]["rule"] == "contractors"


def test_sambaInsideTLS(domain: DomainController, gateway: Start) -> None:
    """Inside TLS it refuses that, and the log says what to set."""
    package("gssapi")
    text = POLICY + keytabTable(domain, "")
    where = {"prefix": domain.resolving(), "extra": domain.environment}
    running = gateway(text, **where)
    assert tried(running.port, b"alice", PASSWORD.encode()) == b"\x01\x01"
    assert 'say bind_protection = "confidentiality"' in running.log


def slapd(
    where: Path, certificate: Certificate, realm: Realm, more: str = ""
) -> Directory:
    """A slapd that takes tickets, and gives each account its entry."""
    if not list(Path("/usr/lib").glob("*/sasl2/libgssapiv2.so")):
        missing("Kerberos for slapd (Debian's package libsasl2-modules-gssapi-mit)")
    keys = realm.services(where / "ldap.keytab", "ldap/localhost")
    more += "sasl-host localhost\nsasl-realm CORP.EXAMPLE\n"
    more += f'authz-regexp "^uid=socksgw/gateway,.*cn=gssapi,cn=auth$" "{SERVICE}"\n'
    environment = {**realm.environment, "KRB5_KTNAME": f"FILE:{keys}"}
    return Directory(where / "slapd", certificate, more, environment)


def test_openLDAP(certificate: Certificate, gateway: Start, tmp_path: Path) -> None:
    """
    slapd that wants messages encrypted gets that from Kerberos, in the clear; slapd
    that ties logins to TLS gets the right binding. A key that is appended to the keytab
    is used without a restart.
    """
    package("gssapi")
    realm = Realm(tmp_path / "realm", "CORP.EXAMPLE")
    ours = realm.services(tmp_path / "gw.keytab", "socksgw/gateway")
    more = "sasl-secprops minssf=128,noanonymous\nsasl-cbinding tls-endpoint\n"
    with realm.running(), slapd(tmp_path, certificate, realm, more) as directory:

        def table(url: str, *lines: str) -> str:
            lines = (f'bind_keytab = "{ours}"', *lines)
            found = directory.table(*lines, url=f'"{url}"')
            return re.sub(r"bind_(dn|password_file) = .*\n", "", found)

        plain = f"ldap://localhost:{directory.port}"
        sealed = table(plain, "start_tls = true", 'bind_protection = "confidentiality"')
        bound = table(f"ldaps://localhost:{directory.securePort}")
        # As if the KDC had got a new key, and the keytab not yet.
        realm.administer("cpw -randkey socksgw/gateway")
        with within(realm.environment):
            gateways = [gateway(FLAT + each) for each in (sealed, bound)]
        for running in gateways:
            assert tried(running.port, b"alice", b"sesame") == b"\x01\x01"
            assert "does not answer: Kerberos: " in running.log
        realm.administer(f"ktadd -k {ours} socksgw/gateway")
        for running in gateways:
            # The server rests for a moment.
            until(lambda port=running.port: granted(port, "alice", "sesame"))
            assert reached(running, "alice", "sesame") == 5, running.log
            assert running.journal("decision")[-1]["rule"] == "contractors"


def test_newKeys(
    gateway: Start, tmp_path: Path, destination: Callable[..., Destination]
) -> None:
    """
    A new version of the service's key is appended to the keytab while the gateway
    runs: tickets of both versions log in.
    """
    package("gssapi")
    realm = Realm(tmp_path / "realm", "CORP.EXAMPLE")
    keytab = realm.services(tmp_path / "rcmd.keytab", "rcmd/localhost")
    realm.user("alice")
    text = f"""
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
gssapi = {{ keytab = "{keytab}", protection = ["integrity"] }}
[[auth.choose]]
methods = ["gssapi"]
[[rule]]
id = "all"
allow = ["connect"]
{LOOPBACK}"""
    with realm.running():
        with within(realm.environment):
            running = gateway(text)
        port = destination(echo).port

        def versions(tickets: dict[str, str]) -> str:
            """Log in, and return which version of the key the ticket is of."""
            with within(tickets), Client(running.port, initiator()) as client:
                client.login(1).request("127.0.0.1", port)
            shown = subprocess.run(
                [program("klist", "krb5-user"), "-e", tickets["KRB5CCNAME"]],
                env={**os.environ, **tickets},
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            return shown.stdout

        old = realm.tickets()
        first = versions(old)
        # It appends to the file.
        realm.administer(f"ktadd -k {keytab} rcmd/localhost")
        assert {key.version for key in keysIn(keytab.read_bytes())} == {2, 3}
        assert versions(old) == first
        versions(realm.tickets(life="11m"))
    assert [each["user"] for each in running.journal("decision")] == [
        "alice@CORP.EXAMPLE"
    ] * 3


def _named(priority: int, host: str) -> str:
    """Return a dnsRecord of type SRV ([MS-DNSP] sections 2.3.2.2 and 2.2.2.2.4.18)."""
    labels = host.split(".")
    name = b"".join(bytes((len(each),)) + each.encode() for each in labels) + b"\0"
    data = struct.pack(">HHH", priority, 100, 389)
    data += bytes((len(name), len(labels))) + name
    head = struct.pack("<HHBBHI", len(data), 33, 5, 240, 0, 1)
    head += struct.pack(">I", 900) + bytes(8)
    return base64.b64encode(head + data).decode()


def test_domain(domain: DomainController, gateway: Start, tmp_path: Path) -> None:
    """
    The controllers are those that the domain's DNS names, in its order: the first one
    of the site does not answer, and the next one does.
    """
    zone = f"DC=_msdcs.corp.test,CN=MicrosoftDNS,DC=ForestDnsZones,{BASE}"
    domain.modify(
        f"dn: DC=_ldap._tcp.Lab._sites.dc,{zone}\nchangetype: add\n"
        "objectClass: dnsNode\n"
        f"dnsRecord:: {_named(10, HOST)}\ndnsRecord:: {_named(0, 'dc0.corp.test')}\n"
    )
    table = re.sub("url = .*", 'domain = "corp.test"\nsite = "Lab"', domain.table())
    running = gateway(POLICY + table, prefix=domain.resolving())
    assert reached(running, "alice", PASSWORD) == 5, running.log
    assert "corp.test has the controllers dc0.corp.test, dc1.corp.test" in running.log
    assert "the directory ldaps://dc0.corp.test does not answer" in running.log
    # Without a site, and by what the probe says.
    table = re.sub("site = .*", "", table)
    (tmp_path / "gw.toml").write_text(POLICY + table)
    command = [sys.executable, "-m", "socksgw.console.command", "check", "--probe"]
    done = subprocess.run(
        domain.resolving(*command, "--json", str(tmp_path / "gw.toml")),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = json.loads(done.stdout)
    (answer,) = [x for x in found if x["what"] == f"ldaps://{HOST}"]
    assert answer["state"] == "ok", answer
