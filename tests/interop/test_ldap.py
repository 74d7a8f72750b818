"""
Users and groups of a real directory, slapd.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.interop.directory import (
    BOUND,
    DONE,
    EXTENDED,
    GROUPS,
    PEOPLE,
    POLICY,
    SERVICE,
    SUCCESS,
    Directory,
    tried,
)
from tests.live import raw
from tests.live.kerberos import Client, Realm, initiator, within
from tests.live.running import Running
from tests.live.running import running as started
from tests.live.servers import (
    Certificate,
    Destination,
    Web,
    echo,
    missing,
    package,
    program,
)
from tests.tools.waiting import until

#: curl's CURLE_PROXY: the handshake with the proxy failed.
PROXY_FAILED = 97


@pytest.fixture(scope="module")
def directory(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Directory]:
    """One slapd for all tests that leave it as it was."""
    where = tmp_path_factory.mktemp("directory")
    with Directory(where / "slapd", certificate) as serving:
        yield serving


@pytest.fixture
def fetch(
    web: Callable[..., Web], quiet: dict[str, str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """C{fetch(gateway, user, password, host)}: by curl, from a web server there."""

    def run(
        gateway: Running, user: str, password: str, host: str = "127.0.0.1"
    ) -> subprocess.CompletedProcess[str]:
        url = f"http://{host}:{web(host).port}/"
        command = [program("curl", "curl"), "-sS", "--max-time", "30", "--noproxy", ""]
        command += ["--proxy", f"socks5h://127.0.0.1:{gateway.port}"]
        command += ["--proxy-user", f"{user}:{password}", url]
        return subprocess.run(
            command, env=quiet, capture_output=True, text=True, timeout=60, check=False
        )

    return run


Fetch = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Running]


@pytest.fixture(scope="module", params=["search", "template"])
def running(
    directory: Directory,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Running]:
    """
    A gateway that finds users by a search over ldaps, and one that knows where
    they are, with StartTLS.
    """
    if request.param == "search":
        table = directory.table(
            'user_filter = "(|(mail={user})(uid={user}))"', 'user_name = "uid"'
        )
    else:
        table = directory.table(
            f'user_dn = "uid={{user}},{PEOPLE}"\nstart_tls = true',
            url=f'"ldap://127.0.0.1:{directory.port}"',
        )
    yield from started(tmp_path_factory.mktemp("gateway"), POLICY + table)


def test_login(running: Running, fetch: Fetch) -> None:
    """
    curl gets in as a user of the directory, by whom the rules for the
    directory's groups are read, nested ones too; with a wrong password it does
    not.
    """
    searches = "user_filter" in (running.directory / "gw.toml").read_text()
    tries = [
        ("ALICE", "sesame", "127.0.0.1", "alice", "contractors"),
        ("alice", "sesame", "127.0.0.2", "alice", "nested"),
        ("bob", "bricks", "127.0.0.2", "bob", "nested"),
        ("bob", "bricks", "127.0.0.1", "bob", "default"),
    ]
    if searches:
        # One whose name, and place in the directory, are anything but plain.
        tries += [
            ("renée", "geheim", "127.0.0.1", "renée", "contractors"),
            ("alice@corp.example", "sesame", "127.0.0.1", "alice", "contractors"),
        ]
    for said, password, host, user, rule in tries:
        done = fetch(running, said, password, host)
        assert (done.returncode == 0) == (rule != "default"), done.stderr
        line = running.journal("decision")[-1]
        # The name is the directory's, however it was spelled.
        assert (line["user"], line["rule"]) == (user, rule)
    for user, password, reason in [
        ("alice", "bricks", "wrong-credentials"),
        # The directory's result is success; it forbids everything but a change.
        ("reset", "of-the-administrator", "password-must-change"),
        ("reset", "bricks", "wrong-credentials"),
        ("old", "of-long-ago", "password-expired"),
    ]:
        assert tried(running.port, user.encode(), password.encode()) == b"\x01\x01"
        assert running.journal("login-failed")[-1]["reason"] == reason, user
    assert fetch(running, "alice", "bricks").returncode == PROXY_FAILED


def test_nobodyElse(running: Running) -> None:
    """
    Names that mean something in a filter or in a distinguished name get
    nobody in, nor does an empty password; whatever is wrong sounds the same.
    """
    before = len(running.journal())
    tries = [
        (user, b"sesame")
        for user in [
            b"*", b"a*", b"alice*", b")(uid=*", b"*)(uid=*))(|(uid=*", b"alice)(|(uid=*",
            b"alice\0", b"\0", b"\xff\xfe", b"alice\\2a", b"alice,ou=people", b"x+uid=alice",
            b"alice#", b"\\61lice", b'"alice"', b"nobody", b"cn=admin", b"alice\n",
        ]
    ]  # fmt: skip
    tries += [(b"alice", each) for each in (b"", b"\0", b"sesame\0", b"Sesame")]
    with ThreadPoolExecutor(len(tries)) as threads:
        heard = list(threads.map(lambda each: tried(running.port, *each), tries))
    for each, octets in zip(tries, heard, strict=True):
        assert octets == b"\x01\x01", each

    def told() -> dict[str, int]:
        """Reasons, of lines and of the sums of what came too fast for lines."""
        found: Counter[str] = Counter()
        for line in running.journal()[before:]:
            if line["event"] == "login-failed":
                found[line["reason"]] += 1
            elif line["event"] == "refusals":
                found.update(line["reasons"])
        return found

    until(lambda: sum(told().values()) == len(tries))
    assert told() == {"wrong-credentials": len(tries)}


def test_wrongCertificate(
    directory: Directory, gateway: Start, fetch: Fetch, tmp_path: Path
) -> None:
    """A server that cannot prove who it is hears no password."""
    other = str(Certificate(tmp_path).file)
    authority = directory.table().replace(str(directory.ca), other)
    name = directory.table(url=f'"ldaps://127.0.0.2:{directory.securePort}"')
    starts = directory.table(
        "start_tls = true", url=f'"ldap://127.0.0.1:{directory.port}"'
    ).replace(str(directory.ca), other)
    tables = [
        table.replace('"ad"', f'"{i}"')
        for i, table in enumerate((authority, name, starts))
    ]
    running = gateway(POLICY + "".join(tables))
    assert fetch(running, "alice", "sesame").returncode == PROXY_FAILED
    assert running.journal("login-failed")[-1]["reason"] == "store-unavailable"
    assert running.log.count("does not answer: TLS: ") == 3
    assert "service-secret" not in running.log


def test_pages(
    certificate: Certificate, gateway: Start, tmp_path: Path, fetch: Fetch
) -> None:
    """
    A server that gives few entries for one search gives more of them in pages, and so
    all groups of a user in many are known.
    """
    more = "sizelimit size.soft=20 size.prtotal=unlimited\n"
    groups = [f"cn=g{i},{GROUPS}" for i in range(150)]
    entry = "changetype: add\nobjectClass: groupOfNames\nmember: uid=bob,"
    with Directory(tmp_path / "slapd", certificate, more) as directory:
        directory.modify("".join(f"dn: {x}\n{entry}{PEOPLE}\n\n" for x in groups))
        policy = re.sub(
            "(?m)^contractors = .*",
            f'contractors = {{ directory = ["{groups[0]}"] }}',
            POLICY,
        )
        policy = re.sub(
            "(?m)^office = .*", f'office = {{ directory = ["{groups[-1]}"] }}', policy
        )
        running = gateway(policy + directory.table('user_filter = "(uid={user})"'))
        for host in ("127.0.0.1", "127.0.0.2"):
            assert fetch(running, "bob", "bricks", host).returncode == 0, running.log


def test_dead(gateway: Start, directory: Directory, fetch: Fetch) -> None:
    """
    A server that is down, and one that accepts and says nothing, are passed
    over for the next; where there is none, nobody gets in, and soon.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = f"ldaps://127.0.0.1:{silent.getsockname()[1]}"
        urls = f'"ldaps://127.0.0.1:1", "{mute}", '
        urls += f'"ldaps://127.0.0.1:{directory.securePort}"'
        running = gateway(POLICY + directory.table('timeout = "1500ms"', url=urls))
        assert fetch(running, "alice", "sesame").returncode == 0
        until(
            lambda: (
                "ldaps://127.0.0.1:1 does not answer: Connection was ref" in running.log
            )
        )
        until(lambda: f"{mute} does not answer: no answer in time" in running.log)
        alone = gateway(POLICY + directory.table('timeout = "3s"', url=f'"{mute}"'))
        began = time.monotonic()
        assert tried(alone.port, b"alice", b"sesame") == b"\x01\x01"
        assert time.monotonic() - began < 20
        # Who comes next does not wait for what is known to be dead.
        began = time.monotonic()
        assert tried(alone.port, b"bob", b"bricks") == b"\x01\x01"
        assert time.monotonic() - began < 2.9
        reasons = [each["reason"] for each in alone.journal("login-failed")]
        assert reasons == ["store-unavailable"] * 2


def test_keytab(
    certificate: Certificate,
    gateway: Start,
    tmp_path: Path,
    fetch: Fetch,
    destination: Callable[..., Destination],
) -> None:
    """
    The gateway's own account may be a Kerberos principal: the key is in a
    keytab, and the directory knows it by its name. A key that is no longer good
    lets nobody in. Whoever logs in by Kerberos is the user whom the directory
    finds, however the ticket spells the name, and nobody else gets in. Whom the
    filter does not find any more, since the account is disabled, ends, and does
    not come in anew.
    """
    package("gssapi")
    if not list(Path("/usr/lib").glob("*/sasl2/libgssapiv2.so")):
        missing("Kerberos for slapd (Debian's package libsasl2-modules-gssapi-mit)")
    realm = Realm(tmp_path / "realm", "CORP.EXAMPLE")
    keys = realm.services(tmp_path / "ldap.keytab", "ldap/localhost")
    ours = realm.services(tmp_path / "gw.keytab", "socksgw/gateway")
    more = "sasl-host localhost\nsasl-realm CORP.EXAMPLE\n"
    more += f'authz-regexp "^uid=socksgw/gateway,.*cn=gssapi,cn=auth$" "{SERVICE}"\n'
    slapd = {**realm.environment, "KRB5_KTNAME": f"FILE:{keys}"}
    with (
        realm.running(),
        Directory(tmp_path / "slapd", certificate, more, slapd) as directory,
    ):
        table = directory.table(
            f'bind_keytab = "{ours}"',
            'user_filter = "(&(uid={user})(!(employeeType=gone)))"',
            url=f'"ldaps://localhost:{directory.securePort}"',
        )
        table = re.sub(r"bind_(dn|password_file) = .*\n", "", table)
        services = realm.services(tmp_path / "rcmd.keytab", "rcmd/localhost")
        policy = POLICY.replace(
            'methods = ["userpass"]',
            f'''methods = ["userpass", "gssapi"]
[auth]
strip_realms = ["CORP.EXAMPLE"]
cache = "0s"
groups_refresh = "500ms"
gssapi = {{ keytab = "{services}", protection = ["integrity"] }}''',
        )
        with within(realm.environment):
            running = gateway(policy + table)
        assert fetch(running, "alice", "sesame", "127.0.0.2").returncode == 0
        assert running.journal("decision")[-1]["rule"] == "nested"
        port = destination(echo).port
        for name in ("ALICE", "alice"):
            realm.user(name)
            with (
                within(realm.tickets(name)),
                Client(running.port, initiator()) as client,
            ):
                client.login(1).request("127.0.0.1", port)
            line = running.journal("decision")[-1]
            assert (line["user"], line["rule"]) == ("alice", "contractors")
        realm.user("mallory")
        with (
            within(realm.tickets("mallory")),
            Client(running.port, initiator()) as client,
            pytest.raises(AssertionError, match="aborted"),
        ):
            client.login(1)
        assert running.journal("login-failed")[-1]["reason"] == "unknown-user"
        tickets = realm.tickets("ALICE")
        with within(tickets), Client(running.port, initiator()) as client:
            client.login(1).request("127.0.0.1", port)
            directory.modify(
                f"dn: uid=alice,{PEOPLE}\nchangetype: modify\n"
                "add: employeeType\nemployeeType: gone\n"
            )
            until(
                lambda: (
                    [
                        each["why"]
                        for each in running.journal("end")
                        if each["reason"] == "revoked"
                    ]
                    == ["the user no longer exists"]
                )
            )
        with (
            within(tickets),
            Client(running.port, initiator()) as client,
            pytest.raises(AssertionError, match="aborted"),
        ):
            client.login(1)
        assert running.journal("login-failed")[-1]["reason"] == "unknown-user"
        directory.modify(
            f"dn: uid=alice,{PEOPLE}\nchangetype: modify\ndelete: employeeType\n"
        )
        realm.administer("cpw -randkey socksgw/gateway")
        with within(realm.environment):
            later = gateway(POLICY + table)
        assert fetch(later, "alice", "sesame").returncode == PROXY_FAILED
        assert "does not answer: Kerberos: " in later.log


def answered(*answers: bytes) -> Callable[[socket.socket], None]:
    """
    A server that sends these, one for each message that comes; C{ID} in them is
    the message's (RFC 4511 section 4.1.1), C{NEXT} the one after it.
    """

    def serve(connection: socket.socket) -> None:
        for answer in answers:
            came = connection.recv(4096)
            if not came:
                return
            # SEQUENCE, its length in one octet or more (X.690 8.1.3), INTEGER.
            number = came[4 + (came[1] & 0x7F if came[1] > 0x7F else 0)]
            answer = answer.replace(b"ID", bytes([2, 1, number]))
            connection.sendall(answer.replace(b"NEXT", bytes([2, 1, number + 1])))
        while connection.recv(4096):
            pass

    def forgiving(connection: socket.socket) -> None:
        try:
            serve(connection)
        except OSError:
            pass

    return forgiving


#: An entry cn=x (4.5.2), whose uid is alice.
ENTRY = (
    b"\x30\x22ID\x64\x1d\x04\x04cn=x" b"\x30\x15\x30\x13\x04\x03uid\x31\x0c"
    b"\x04\x05alice\x04\x03bob"
)  # fmt: skip
#: The server will close (4.4.1), under the number 0.
NOTICE = b"\x30\x24\x02\x01\x00\x78\x1f\x0a\x01\x34\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20036"


@pytest.mark.parametrize("starts", [False, True], ids=["plain", "startTLS"])
def test_hostileDirectory(
    destination: Callable[..., Destination],
    gateway: Start,
    directory: Directory,
    starts: bool,
) -> None:
    """
    Whatever somebody says in a directory's place, nobody gets in and nothing
    breaks; what is said before TLS counts for nothing.
    """
    said = [
        [EXTENDED + BOUND.replace(b"ID", b"NEXT"), BOUND, ENTRY + DONE, BOUND],
        [EXTENDED, BOUND, BOUND],
        [b"\x30\x0cID\x78\x07\x0a\x01\x02\x04\x00\x04\x00", BOUND],
    ]
    if not starts:
        said = [
            [BOUND, DONE, BOUND],
            [BOUND, ENTRY.replace(b"ID", b"NEXT") + DONE, DONE],
            [BROKEN],
            [BOUND, ENTRY * 3 + DONE, BOUND],
            [BOUND, BOUND],
            [BOUND + BOUND.replace(b"ID", b"NEXT"), BOUND],
            [NOTICE],
            [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
            [b"\x30\x84\x7f\xff\xff\xff" + bytes(2 << 20)],
            [b"\x30\x80\x00\x00"],
            [b"\x30" * 60_000],
            [b""],
        ]
    tables, ports = [], []
    for i, answers in enumerate(said):
        server = destination(answered(*answers))
        ports.append(server.port)
        url = f'"ldap://127.0.0.1:{server.port}"'
        more = "start_tls = true" if starts else ""
        table = directory.table(more, 'timeout = "500ms"', url=url)
        tables.append(table.replace('"ad"', f'"{i}"'))
    running = gateway(POLICY + "".join(tables))
    assert tried(running.port, b"alice", b"sesame") == b"\x01\x01"
    if starts:
        until(lambda: "octets between the answer to StartTLS and TLS" in running.log)
    else:
        broken = ports[said.index([BROKEN])]
        assert f":{broken} does not answer: no LDAP: " in running.log
    assert "service-secret" not in running.log


#: A success with a control (RFC 4511 section 4.1.11) of the password's policy, whose
#: value ends within the error.
BROKEN = (
    b"\x30\x31ID\x61" + SUCCESS + b"\xa0\x23\x30\x21"
    b"\x04\x191.3.6.1.4.1.42.2.27.8.5.1" + b"\x04\x04\x30\x03\x81\x01"
)
#: Bob is let in by his name, and by no group.
LIVE = """
[[rule]]
id = "bob"
allow = ["connect"]
who = ["bob"]
[auth]
groups_refresh = "500ms"
groups_hold = "1s"
"""


def cut(connection: socket.socket) -> None:
    """As C{echo}, for clients that are cut off."""
    try:
        echo(connection)
    except ConnectionResetError:
        pass


def test_whoLives(
    certificate: Certificate,
    gateway: Start,
    destination: Callable[..., Destination],
    tmp_path: Path,
) -> None:
    """
    Who is taken out of a group loses what lives by it: the reason is in the
    record, and a login that is remembered brings nothing back. So does who is
    taken out of the directory. A reload meanwhile ends nothing. When the
    directory hangs, what it said holds for a while, and the record says that
    its groups are not known any more. A group that it does not have is told of.
    """
    with Directory(tmp_path / "slapd", certificate) as directory, ExitStack() as stack:
        lost = f'lost = {{ directory = ["cn=Gone,{GROUPS}"] }}\nstaff = ['
        policy = POLICY.replace("staff = [", lost)
        running = gateway(LIVE + policy + directory.table('timeout = "1s"'))
        server = destination(cut)

        def client(user: bytes, password: bytes) -> tuple[socket.socket, int]:
            connection = stack.enter_context(closing(raw.dial(running.port)))
            connection.sendall(raw.GREETING_LOGIN + raw.login(user, password))
            assert raw.exactly(connection, 4) == b"\x05\x02\x01\x00"
            connection.sendall(raw.request5("127.0.0.1", server.port))
            return connection, raw.reply5(connection)[0]

        def ended() -> tuple[str, str]:
            """Why the latest client's session was."""
            line = raw.end(running, server.port)
            return line["reason"], line["why"]

        why = 'rule "default": no rule allows it; "contractors" matches no longer: who'
        revoked = ("revoked", why)
        group = f"dn: cn=Contractors,{GROUPS}\nchangetype: modify\n"
        contractor, granted = client(b"alice", b"sesame")
        assert granted == 0
        running.process.send_signal(signal.SIGHUP)
        until(lambda: running.journal("reloaded"))
        # Past a refresh.
        time.sleep(1.2)
        contractor.sendall(b"still")
        assert raw.exactly(contractor, 5) == b"still"
        directory.modify(f"{group}delete: member\nmember: uid=alice,{PEOPLE}\n")
        assert ended() == revoked
        assert client(b"alice", b"sesame")[1] == 2
        directory.modify(f"{group}add: member\nmember: uid=alice,{PEOPLE}\n")
        assert client(b"bob", b"bricks")[1] == 0
        directory.modify(f"dn: uid=bob,{PEOPLE}\nchangetype: delete\n")
        assert ended() == ("revoked", "the user no longer exists")
        until(lambda: client(b"alice", b"sesame")[1] == 0)
        assert not running.journal("groups-failed")
        until(
            lambda: f'group "lost": no directory has "cn=Gone,{GROUPS}"' in running.log
        )
        directory.hang()
        reason, ended_ = ended()
        assert reason == "revoked"
        assert 'is not known: "ad" cannot be asked: ' in ended_
        assert ended_.endswith('; "contractors" may match still')
        failed = running.journal("groups-failed")[0]
        assert (failed["checker"], failed["user"]) == ("ad", "alice")
        assert "no answer" in failed["reason"]


#: Contractors are denied one place, whoever is in a group around theirs gets to
#: another, and everybody to the first.
DENIED = (
    POLICY[: POLICY.index("[[rule]]")]
    + """
[[rule]]
id = "no contractors"
deny = ["connect"]
who = ["@contractors"]
to = ["127.0.0.2"]
[[rule]]
id = "nested"
allow = ["connect"]
who = ["@office"]
to = ["127.0.0.1"]
[[rule]]
id = "rest"
allow = ["connect"]
to = ["127.0.0.2"]
[auth]
groups_refresh = "500ms"
groups_hold = "1s"
"""
    + POLICY[POLICY.index("\n[groups]") :]
)


def test_aDenyByAGroupOutlivesTheDirectory(
    certificate: Certificate,
    gateway: Start,
    destination: Callable[..., Destination],
    tmp_path: Path,
) -> None:
    """
    After slapd has stopped, and its last answer holds no longer, a user whom a
    group denies is denied still, and a session that a group allows ends; the
    records say why.
    """
    with Directory(tmp_path / "slapd", certificate) as directory, ExitStack() as stack:
        running = gateway(DENIED + directory.table('timeout = "1s"'))
        server = destination(cut)

        def client(user: bytes, password: bytes) -> Callable[[str], int]:
            """A client that has logged in, and asks for a place later."""
            connection = stack.enter_context(closing(raw.dial(running.port)))
            connection.sendall(raw.GREETING_LOGIN + raw.login(user, password))
            assert raw.exactly(connection, 4) == b"\x05\x02\x01\x00"

            def ask(host: str) -> int:
                connection.sendall(raw.request5(host, server.port))
                return raw.reply5(connection)[0]

            return ask

        alice = (b"alice", b"sesame")
        assert client(*alice)("127.0.0.2") == 2
        assert client(*alice)("127.0.0.1") == 0
        assert running.journal("decision")[0]["rule"] == "no contractors"
        waiting = client(*alice)
        directory.stop()
        line = raw.end(running, server.port)
        assert line["reason"] == "revoked"
        assert 'is not known: "ad" cannot be asked: ' in line["why"]
        assert line["why"].endswith('; "nested" may match still')
        for ask in waiting, client(*alice):
            assert ask("127.0.0.2") == 2
            denied = running.journal("decision")[-1]
            assert denied["rule"] == "no contractors"
            assert 'is not known: "ad" cannot be asked: ' in denied["why"]
