"""
Users and groups of Active Directory: a real domain controller, Samba's.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from socksgw.system.keytab import keysIn
from tests.interop.directory import tried
from tests.live import raw
from tests.live.kerberos import Client, initiator, within
from tests.live.running import LOOPBACK, ROOT, Running, environment, socksgwProcess
from tests.live.running import running as started
from tests.live.samba import BASE, GROUPS, NO_HOUR, PASSWORD, DomainController
from tests.live.servers import Destination, echo, package
from tests.tools.waiting import until

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
REFRESH = '[auth]\ngroups_refresh = "300ms"\ncache = "0s"\n'
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


def refused(gateway: Running, user: str, password: str = PASSWORD) -> tuple[str, str]:
    """
    Log in in vain.

    @return: the reason in the journal, and what the client has heard.
    """
    before = len(gateway.journal("login-failed"))
    heard = tried(gateway.port, user.encode(), password.encode())
    lines = until(lambda: gateway.journal("login-failed")[before:])
    return lines[-1]["reason"], heard.hex()


def replaced(domain: DomainController, dn: str, value: str) -> None:
    """Give an attribute of an account another value: a line of LDIF."""
    attribute = value.partition(":")[0]
    domain.modify(f"dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{value}\n")


def test_oneIdentity(running: Running) -> None:
    """
    Each name by which Active Directory knows a user logs in as the same one, whose
    groups are those of the token: nested ones, of each scope, and the primary one,
    which has no member in the directory. The name is the directory's sAMAccountName.
    """
    for said in (
        "alice",
        "ALICE",
        "alice.adams@corp.test",
        "Alice.Adams@CORP.TEST",
        "alice@corp.test",
        "ALICE@CORP.TEST",
        "CORP\\alice",
        "corp\\Alice",
        "corp.test\\alice",
    ):
        assert asked(running, said, "127.0.0.1") == 5, said
        line = running.journal("decision")[-1]
        assert (line["user"], line["rule"]) == ("alice", "contractors"), said
    for user, host, name, rule in [
        ("alice", "127.0.0.2", "alice", "everybody"),
        ("bob@corp.test", "127.0.0.2", "bob", "everybody"),
        ("carol", "127.0.0.3", "carol", "engineers"),
        ("bob", "127.0.0.1", "bob", "default"),
        ("erin@corp.example", "127.0.0.4", "erin", "users"),
        # Whose place in the directory needs escapes (RFC 4514).
        ("renée", "127.0.0.4", "renée", "users"),
        ("CORP\\RENÉE", "127.0.0.4", "renée", "users"),
    ]:
        assert asked(running, user, host) == (2 if rule == "default" else 5)
        line = running.journal("decision")[-1]
        assert (line["user"], line["rule"]) == (name, rule)


@pytest.mark.parametrize(
    "said",
    [
        "*", "ali*", "alice)(cn=*", "*)(|(cn=*", "OTHER\\alice", "CORP\\", "\\alice", "@corp.test",
        "alice@corp.example", "erin@corp.test@corp.example", "alice@CORP", "CORP\\alice@corp.test",
        "alice.adams", "CN=Alice Adams,OU=People,DC=corp,DC=test", "Alice Adams",
        "krbtgt", "Guest",
    ],
)  # fmt: skip
def test_nobodyElse(running: Running, said: str) -> None:
    """Other names get nobody in."""
    assert refused(running, said) == ("wrong-credentials", "0101")


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("disabled", "account-disabled"),
        ("expired", "account-expired"),
        ("locked", "account-locked"),
        ("mustchange", "password-must-change"),
        ("oldpassword", "password-expired"),
        ("nighttime", "logon-hours"),
        ("elsewhere", "logon-workstation"),
        # No code tells of it.
        ("smartcard", "wrong-credentials"),
        ("CLIENT1$", "machine-account"),
        ("CORP\\client1$", "machine-account"),
        ("robot$", "machine-account"),
    ],
)
def test_states(running: Running, user: str, reason: str) -> None:
    """
    The journal tells why an account may not log in with its password; the client does
    not hear it. With a wrong one neither learns it, but that an account is locked.
    """
    assert refused(running, user) == (reason, "0101")
    why = running.journal("login-failed")[-1]["why"]
    assert "data" not in why
    assert "80090308" not in why
    said = reason if user == "locked" else "wrong-credentials"
    assert refused(running, user, "wrong") == (said, "0101")


def test_atTheController(running: Running) -> None:
    """To the directory a login by password is one at the domain controller."""
    assert asked(running, "here", "127.0.0.4") == 5


def test_enabled(running: Running, domain: DomainController) -> None:
    """As soon as the state of an account has changed, its password is good again."""
    dn = domain.account("dormant", control=514)
    assert refused(running, "dormant") == ("account-disabled", "0101")
    replaced(domain, dn, "userAccountControl: 512")
    assert asked(running, "dormant", "127.0.0.4") == 5


def test_empty(running: Running, domain: DomainController) -> None:
    """An empty password is no bind of nobody: no server hears it."""
    before = domain.log
    assert refused(running, "alice", "") == ("wrong-credentials", "0101")
    assert domain.log == before


def test_machines(domain: DomainController, gateway: Callable[..., Running]) -> None:
    """Accounts of machines log in where the configuration says so."""
    table = domain.table("machine_accounts = true")
    serving = gateway(BY_PASSWORD + POLICY + table)
    assert asked(serving, "CORP\\client1$", "127.0.0.4") == 5
    assert serving.journal("decision")[-1]["user"] == "CLIENT1$"


def test_condition(domain: DomainController, gateway: Callable[..., Running]) -> None:
    """A filter says who else may not log in, whatever they are called."""
    table = domain.table(
        f'user_filter = "(memberOf:1.2.840.113556.1.4.1941:=CN=Everybody,{GROUPS})"'
    )
    serving = gateway(BY_PASSWORD + POLICY + table)
    assert asked(serving, "alice@corp.test", "127.0.0.1") == 5
    assert refused(serving, "carol@corp.test")[0] == "wrong-credentials"


def test_catalog(domain: DomainController, gateway: Callable[..., Running]) -> None:
    """
    By a global catalog the users of all domains log in; a name has its domain, so that
    there is one user of that name.
    """
    table = domain.table('base = ""', url=f"ldaps://{domain.address}:3269")
    serving = gateway(BY_PASSWORD + POLICY + table)
    for said in ("alice", "alice.adams@corp.test", "CORP\\ALICE", "alice@corp.test"):
        assert asked(serving, said, "127.0.0.2") == 5
        line = serving.journal("decision")[-1]
        assert (line["user"], line["rule"]) == ("alice@corp.test", "everybody")
    assert refused(serving, "disabled") == ("account-disabled", "0101")


def test_sids(domain: DomainController, gateway: Callable[..., Running]) -> None:
    """
    A group that is named by its security identifier stays the same when it is renamed
    and moved; one that is named by its name is lost, and denies. Groups for mail are
    none, since no token has them.
    """
    dn = domain.group("Auditors", "CN=bob,OU=People,DC=corp,DC=test")
    sid = domain.value(dn, "objectSid")
    groups = f"""
[groups]
bySID = {{ sid = "{sid.lower()}" }}
both = {{ sid = ["{sid}"], directory = ["{dn}"] }}
byName = {{ directory = ["{dn}"] }}
mail = {{ directory = ["CN=Newsletter,{GROUPS}"] }}
"""
    rules = "".join(
        f"""
[[rule]]
id = "{group}"
allow = ["connect"]
who = ["@{group}"]
to = ["127.0.0.{i}"]
"""
        for i, group in enumerate(("bySID", "both", "byName", "mail"), 1)
    )
    head = '[[listen]]\nname = "main"\naddress = ["127.0.0.1:0"]\n' + BY_PASSWORD
    serving = gateway(REFRESH + groups + head + rules + LOOPBACK + domain.table())

    def allowed() -> list[int]:
        return [asked(serving, "bob", f"127.0.0.{i}") for i in range(1, 5)]

    assert allowed() == [5, 5, 5, 2]
    assert 'no directory has "CN=Newsletter' in serving.log
    domain.modify(
        f"dn: {dn}\nchangetype: modrdn\nnewrdn: CN=Inspectors\ndeleteoldrdn: 1\n"
        "newsuperior: CN=Users,DC=corp,DC=test\n"
    )
    until(lambda: allowed() == [5, 5, 2, 2])
    assert f'no directory has "{dn}"' in serving.log


@pytest.mark.parametrize("base", [BASE, ""])
def test_probe(domain: DomainController, tmp_path: Path, base: str) -> None:
    """C{check --probe} finds the users of a domain, and groups that are not there."""
    port = 636 if base else 3269
    table = domain.table(f'base = "{base}"', url=f"ldaps://{domain.address}:{port}")
    more = (
        f'[groups]\ng = {{ sid = "S-1-5-32-545", directory = ["CN=Gone,{GROUPS}"] }}\n'
    )
    file = tmp_path / "gw.toml"
    file.write_text(BY_PASSWORD + POLICY.replace("[groups]\n", more) + table)
    done = socksgwProcess("check", "--probe", "--json", str(file))
    (found,) = [
        each for each in json.loads(done.stdout) if each["place"] == "auth.checker[0]"
    ]
    assert found["state"] == "warning", found
    assert "found users" in found["said"]
    assert found["said"].endswith(f"no such group: cn=gone,{GROUPS.lower()}")


def test_live(
    domain: DomainController,
    gateway: Callable[..., Running],
    destination: Callable[..., Destination],
) -> None:
    """
    A live session ends when its account may not log in any more, and the journal tells
    why; so it does when a group is left by which it was allowed.
    """
    changes = {
        "userAccountControl: 514": "the account is disabled",
        "accountExpires: 132223104000000000": "the account has expired",
        "pwdLastSet: 0": "the password has to be changed first",
        f"logonHours:: {NO_HOUR}": "the account may not log on at this hour",
        "lock": "the account is locked",
        "age": "the password has expired",
        "delete": "the user no longer exists",
    }
    users = {f"live{i}": change for i, change in enumerate(changes)}
    names = {user: domain.account(user) for user in users}
    group = domain.group("Visitors", *names.values())
    policy = POLICY.replace(f"CN=Contractors,{GROUPS}", group)
    serving = gateway(REFRESH + BY_PASSWORD + policy + domain.table())
    port = destination(echo).port
    leaver = domain.account("leaver")
    domain.modify(f"dn: {group}\nchangetype: modify\nadd: member\nmember: {leaver}\n")
    with ExitStack() as stack:

        def session(user: str) -> None:
            client = stack.enter_context(raw.dial(serving.port))
            client.sendall(
                raw.GREETING_LOGIN + raw.login(user.encode(), PASSWORD.encode())
            )
            assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
            client.sendall(raw.request5("127.0.0.1", port))
            assert raw.exactly(client, 10)[1] == 0

        def ended() -> str:
            line = raw.end(serving, port)
            assert line["reason"] == "revoked"
            why: str = line["why"]
            return why

        for user, change in users.items():
            session(user)
            if change == "delete":
                domain.modify(f"dn: {names[user]}\nchangetype: delete\n")
            elif change == "lock":
                domain.lock(user)
            elif change == "age":
                domain.age(user)
            else:
                replaced(domain, names[user], change)
            assert ended() == changes[change]
        session("leaver")
        domain.modify(
            f"dn: {group}\nchangetype: modify\ndelete: member\nmember: {leaver}\n"
        )
        assert "contractors" in ended()


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
cache = "0s"
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
    # A ticket for the service stays good when its user may not log in any more.
    dn = domain.account("ticketed")
    tickets = domain.tickets("ticketed")
    with within(tickets), Client(serving.port, initiator()) as client:
        client.login(1)
    for change, reason in [
        (f"logonHours:: {NO_HOUR}", "logon-hours"),
        ("userAccountControl: 514", "account-disabled"),
    ]:
        replaced(domain, dn, change)
        with (
            within(tickets),
            Client(serving.port, initiator()) as client,
            pytest.raises(AssertionError, match="aborted"),
        ):
            client.login(1)
        assert serving.journal("login-failed")[-1]["reason"] == reason


def test_chapter(
    domain: DomainController,
    tmp_path: Path,
    destination: Callable[..., Destination],
) -> None:
    """
    The chapter's configuration, with this domain in place of its own, ends in a login by
    a ticket that the journal tells of. The account's one keytab has keys of AES.
    """
    package("gssapi")
    chapter = (ROOT / "socksgw" / "manual" / "activedirectory.rst").read_text("utf-8")
    text = chapter.partition(".. code-block:: toml\n")[2].partition("\n\n- ")[0]
    for old, new in [
        ("corp.example", "corp.test"),
        ("CORP.EXAMPLE", "CORP.TEST"),
        ("DC=example", "DC=test"),
        ("/var/lib/socksgw", "var"),
        ("[admin]", f'[admin]\n    endpoint = "unix:{tmp_path}/admin.sock"'),
        ("10.0.0.2:1080", "127.0.0.1:0"),
        # Here the wiki is on this machine.
        ('"private"', '"127.0.0.0/8"'),
    ]:
        assert old in text
        text = text.replace(old, new)
    text = re.sub("(?m)^    ", "", text) + LOOPBACK
    domain.know("wiki", "127.0.0.1")
    directory = tmp_path / "gateway"
    directory.mkdir()
    shutil.copy(domain.keytabs["svc-socks"], directory / "gw.keytab")
    shutil.copy(domain.ca, directory / "corp-ca.pem")
    kinds = {key.kind for key in keysIn((directory / "gw.keytab").read_bytes())}
    assert {17, 18} <= kinds

    def run(*words: str, **more: str) -> str:
        """Return what C{socksgw} prints."""
        command = [sys.executable, "-m", "socksgw.console.command", *words]
        done = subprocess.run(
            domain.resolving(*command),
            cwd=directory, env=environment(**{**domain.environment, **more}),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    wiki = destination(lambda connection: connection.sendall(b"the wiki\n")).port
    where = {"prefix": domain.resolving(), "extra": domain.environment}
    with contextmanager(started)(directory, text, **where) as serving:
        words = ("wiki.corp.test", str(wiki), "--login", "gssapi")
        proxy = f"socks5://gw.corp.test:{serving.port}"
        tickets = domain.tickets("alice")
        assert "the wiki" in run("connect", *words, "--proxy", proxy, **tickets)
        line = serving.journal("decision")[-1]
        assert (line["user"], line["rule"]) == ("alice", "contractors-wiki")
        found = run("audit", "search", "--config", "gw.toml", "--user", "alice")
        assert "wiki.corp.test" in found
