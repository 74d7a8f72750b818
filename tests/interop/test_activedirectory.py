"""
Users and groups of Active Directory: a real domain controller, Samba's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.interop.directory import tried
from tests.live import raw
from tests.live.kerberos import Client, initiator, within
from tests.live.running import LOOPBACK, Running
from tests.live.running import running as started
from tests.live.samba import GROUPS, PASSWORD, DomainController
from tests.live.servers import Destination, echo, package

#: Each group gets to an address of its own; everybody who is logged in to one.
POLICY = (
    """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[[rule]]
id = "contractors"
allow = ["connect"]
who = ["@contractors"]
to = ["127.0.0.1"]
[[rule]]
id = "everybody"
allow = ["connect"]
who = ["@everybody"]
to = ["127.0.0.2"]
[[rule]]
id = "engineers"
allow = ["connect"]
who = ["@engineers"]
to = ["127.0.0.3"]
[[rule]]
id = "users"
allow = ["connect"]
who = ["users"]
to = ["127.0.0.4"]
"""
    + f"""
[groups]
contractors = {{ directory = ["CN=Contractors,{GROUPS}"] }}
everybody = {{ directory = ["cn=everybody, {GROUPS.lower()}"] }}
engineers = {{ directory = ["CN=Engineers,{GROUPS}"] }}
"""
    + LOOPBACK
)
BY_PASSWORD = '[[auth.choose]]\nmethods = ["userpass"]\n'


@pytest.fixture(scope="module")
def running(
    domain: DomainController, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A gateway whose users log in by password."""
    text = BY_PASSWORD + POLICY + domain.table()
    yield from started(tmp_path_factory.mktemp("gateway"), text)


def asked(gateway: Running, user: str, host: str, password: str = PASSWORD) -> int:
    """
    Log in and ask for a destination where nobody listens.

    @return: the reply (RFC 1928 section 6): 5 where the rules allow it.
    """
    login = raw.login(user.encode(), password.encode())
    with raw.dial(gateway.port) as client:
        client.sendall(raw.GREETING_LOGIN + login)
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
        client.sendall(raw.request5(host, 1))
        return raw.exactly(client, 10)[1]


def test_groups(running: Running) -> None:
    """
    The groups of a user are those of their token: nested ones, of each scope, and the
    primary one, which has no member in the directory.
    """
    for user, host, rule in [
        ("alice", "127.0.0.1", "contractors"),
        ("alice", "127.0.0.2", "everybody"),
        ("bob", "127.0.0.2", "everybody"),
        ("carol", "127.0.0.3", "engineers"),
        ("bob", "127.0.0.1", "default"),
    ]:
        assert asked(running, user, host) == (2 if rule == "default" else 5)
        line = running.journal("decision")[-1]
        assert (line["user"], line["rule"]) == (user, rule)
    assert tried(running.port, b"erin", b"wrong") == b"\x01\x01"


def test_kerberos(
    domain: DomainController,
    gateway: Callable[..., Running],
    destination: Callable[..., Destination],
) -> None:
    """
    A ticket of the domain, for the service that a user account has, logs in by the AES
    keys of that account.
    """
    package("gssapi")
    choose = f"""
[auth]
strip_realms = ["CORP.TEST"]
gssapi = {{ keytab = "{domain.keytabs["svc-socks"]}", protection = ["integrity"] }}
[[auth.choose]]
methods = ["gssapi"]
"""
    with within(domain.environment):
        serving = gateway(choose + POLICY + domain.table())
    port = destination(echo).port
    with within(domain.tickets("ALICE")), Client(serving.port, initiator()) as client:
        client.login(1).request("127.0.0.1", port)
    line = serving.journal("decision")[-1]
    assert (line["user"], line["rule"]) == ("alice", "contractors")
