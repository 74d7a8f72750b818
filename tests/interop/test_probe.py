"""
C{socksgw check --probe} with real servers: right ones, and each typical mistake.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.manual import chapters
from tests.interop.directory import GROUPS, Directory
from tests.live import upstreams
from tests.live.balancers import MODULE, HAProxy
from tests.live.postgres import Postgres
from tests.live.redisserver import LiveRedis
from tests.live.running import (
    HEAD,
    OPEN,
    environment,
    socksgw,
    socksgwProcess,
    withPlugins,
)
from tests.live.servers import Certificate, Daemon, freePort, package, program
from tests.live.sshd import Sshd
from tests.tools.certificates import SERVER, Authority, dns, pemOf

ANSWERS = {
    "/login": (200, {"allow": False}),
    "/anybody": (200, {"allow": True}),
    "/locked": (401, {}),
    "/decide": (200, {"result": False}),
    "/undefined": (200, {}),
    "/lines": (405, {}),
}


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, found = ANSWERS.get(self.path, (404, {}))
        octets = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    do_GET = do_POST = _answer

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def service() -> Iterator[int]:
    """Serve HTTP on loopback, and yield the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class World:
    """
    Servers that run, and the folder of the configurations.
    """

    def __init__(self, stack: ExitStack, where: Path, certificate: Certificate) -> None:
        package("ldaptor")
        self.where = where
        self.certificate = certificate
        self.directory = stack.enter_context(Directory(where / "slapd", certificate))
        self.http = stack.enter_context(service())
        self.postgres = stack.enter_context(closing(Postgres()))
        self.postgres.start()
        self.sql = self.postgres.database("audit")
        port = freePort(kind=socket.SOCK_STREAM)
        self.redisPort = port
        stack.callback(
            LiveRedis(["--port", str(port), "--requirepass", "redis-77"]).close
        )
        self.socks = freePort(kind=socket.SOCK_STREAM)
        command = upstreams.microsocks(self.socks, "edge", "edge-secret-9")
        stack.enter_context(Daemon(command, self.socks, where / "socks.log", {}))
        self.syslog = freePort(kind=socket.SOCK_STREAM)
        file = where / "rsyslog.conf"
        file.write_text(
            f'module(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" '
            f'port="{self.syslog}")\n*.* action(type="omfile" file="{where}/syslog")\n'
        )
        command = [program("rsyslogd", "rsyslog"), "-n", "-f", str(file)]
        command += ["-i", str(where / "rsyslog.pid")]
        stack.enter_context(Daemon(command, self.syslog, where / "rsyslog.log", {}))
        for name, text in {
            "edge": "edge-secret-9", "wrong": "not-this-one-66", "redis": "redis-77",
            "sql": self.sql,
            "wrong-sql": self.sql.replace("@", "x@"),
            "no-sql": self.sql.rpartition("/")[0] + "/nowhere",
        }.items():  # fmt: skip
            (where / name).write_text(f"{text}\n")
            (where / name).chmod(0o600)
        made = socksgw(
            "passwd", "users", "alice", cwd=where, stdin="sesame-of-alice-1\n"
        )
        assert made.returncode == 0, made.stderr

    def probe(
        self, text: str, seconds: int = 10
    ) -> tuple[int, dict[str, dict[str, Any]], str]:
        """
        Return the status, the answers by their places and what was asked, and all that
        was printed.
        """
        file = self.where / "gw.toml"
        file.write_text(text)
        done = socksgwProcess(
            "check", "--probe", "--json", "--timeout", str(seconds), str(file)
        )
        assert done.returncode in (0, 1), done.stdout + done.stderr
        found = json.loads(done.stdout)
        return (
            done.returncode,
            {f"{each['place']} {each['what']}": each for each in found},
            done.stdout + done.stderr,
        )


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[World]:
    """All servers."""
    with ExitStack() as stack:
        yield World(stack, tmp_path_factory.mktemp("probe"), certificate)


def _config(world: World, auth: str, upstream: str, rest: str) -> str:
    return (
        HEAD.replace('methods = ["none"]', 'methods = ["userpass"]')
        + auth
        + upstream
        + rest
    )


def _cluster(port: int, secret: str) -> str:
    return f"""
[cluster]
url = "redis://127.0.0.1:{port}/0"
members = ["probe"]
password_file = "{secret}"
"""


SECRETS = ("edge-secret-9", "not-this-one-66", "redis-77", "service-secret-88")


def test_allIsWell(world: World) -> None:
    """Each server answers, nothing is changed at it, and no secret is printed."""
    text = _config(
        world,
        '[auth]\ncheckers = ["passwd:users"]\n'
        + world.directory.table()
        + '[[auth.checker]]\nkind = "http"\n'
        f'url = "http://127.0.0.1:{world.http}/login"\n'
        f'[groups]\ncontractors = {{ directory = ["cn=Contractors,{GROUPS}"] }}\n',
        f"""
[gateway]
name = "probe"
[[upstream]]
name = "edge"
url = "socks5://127.0.0.1:{world.socks}"
login = {{ method = "userpass", user = "edge", password_file = "edge" }}
[[upstream]]
name = "behind"
url = "socks5://127.0.0.1:{world.socks}"
login = {{ method = "userpass", user = "edge", password_file = "edge" }}
cleartext_passwords = true
[[rule]]
id = "all"
allow = ["connect"]
who = ["@contractors"]
via = [["edge"], ["behind"]]
decider = "opa"
[[decider]]
name = "opa"
url = "http://127.0.0.1:{world.http}/decide"
""",
        _cluster(world.redisPort, "redis")
        + f"""
[[audit.sink]]
kind = "sql"
url_file = "sql"
[[audit.sink]]
kind = "syslog"
url = "tcp://127.0.0.1:{world.syslog}"
[[audit.sink]]
kind = "http"
url = "http://127.0.0.1:{world.http}/lines"
[[audit.sink]]
kind = "file"
url = "lines.jsonl"
""",
    )
    status, found, printed = world.probe(text)
    said = {key: (each["state"], each["said"]) for key, each in found.items()}
    bad = {key: each for key, each in said.items() if each[0] != "ok"}
    bad = {key: each for key, each in bad.items() if not key.startswith("resolver")}
    # The tests' own certificate is one of two days.
    assert {key.split(" ")[0] for key in bad} == {"auth.checker[0].ca"}
    assert all(" expires in 1 days" in each[1] for each in bad.values())
    by = {key.split(" ")[0]: said[key][1] for key in said}
    assert by["auth.checkers[0]"] == "1 user"
    assert by["auth.checker[0]"].startswith("answers, TLS with the right certificate")
    assert "refuses a user who does not exist" in by["auth.checker[1]"]
    assert by["upstream[0]"] == "lets us in"
    assert by["upstream[1]"] == "it was asked through edge; lets us in"
    assert "denies a request that nobody makes" in by["decider[0]"]
    assert by["cluster.url"].startswith("answers, and runs scripts; version ")
    assert by["audit.sink[0]"] == "answers; it has no tables yet: the sink makes them"
    assert by["audit.sink[1]"] == "accepts connections"
    assert not (world.where / "audit").exists()
    assert world.postgres.query("audit", "SELECT count(*) FROM pg_tables "
                                "WHERE schemaname = 'public'") == [(0,)]  # fmt: skip
    assert not any(each in printed for each in SECRETS)
    assert status == (1 if any(s == "failed" for s, _ in said.values()) else 0)


def test_redisOfFewerRights(world: World) -> None:
    """
    The manual's user may be asked for all, one of fewer rights for what it may; a Redis
    that drops what is counted is told.
    """
    from redis import Redis

    client = Redis(port=world.redisPort, password="redis-77")
    (rights,) = (
        line.split(">PASSWORD ")[1].split()
        for line in chapters()["cluster"].splitlines()
        if "ACL SETUSER socksgw" in line
    )
    text = _config(
        world,
        '[auth]\ncheckers = ["passwd:users"]\n',
        '[gateway]\nname = "probe"\n[[rule]]\nid = "all"\nallow = ["connect"]\n',
        _cluster(world.redisPort, "redis").replace("/0", "/1") + 'user = "socksgw"\n',
    )
    found = []
    try:
        for fewer, memory in (("+info", "0"), ("", "0"), ("", "1gb")):
            client.execute_command(
                "ACL", "SETUSER", "socksgw", "reset", "on", ">redis-77",
                *(each for each in rights if each != fewer),
            )  # fmt: skip
            client.config_set("maxmemory", memory)
            client.config_set("maxmemory-policy", "volatile-lru")
            _, answers, _ = world.probe(text)
            (each,) = (
                answer for key, answer in answers.items() if key.startswith("cluster")
            )
            found.append((each["state"], each["said"], each["remedy"]))
    finally:
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", "noeviction")
        client.execute_command("ACL", "DELUSER", "socksgw")
        client.close()
    assert found[0][0] == found[1][0] == "ok", found
    assert (
        found[0][1]
        == "answers, and runs scripts; its version is not for this user: +info"
    )
    assert found[1][1].startswith("answers, and runs scripts; version ")
    assert found[2] == (
        "warning",
        "answers, and runs scripts, and drops what is counted when its memory is full "
        "(volatile-lru)",
        "set maxmemory-policy to noeviction",
    )


def test_mistakes(world: World) -> None:
    """Each is told in words, with what to do, and the others are asked all the same."""
    nobody = freePort(kind=socket.SOCK_STREAM)
    d = world.directory

    def store(name: str, table: str) -> str:
        return table.replace('name = "ad"', f'name = "{name}"')

    (world.where / "empty").write_text("")
    (world.where / "empty").chmod(0o600)
    wrong = world.where / "wrong"
    auth = '[auth]\ncheckers = ["passwd:empty"]\n' + "".join([
        store("password", d.table().replace(str(d.password), str(wrong))),
        store("base", d.table().replace('base = "', 'base = "ou=nowhere,')),
        store("port", d.table(url=f'"ldaps://127.0.0.1:{nobody}"')),
        store("name", d.table(url=f'"ldaps://127.0.0.2:{d.securePort}"')),
        store("plain", d.table(url=f'"ldaps://127.0.0.1:{d.port}"')),
        store("user", d.table('user_filter = "(&(sn=none)(employeeNumber={user}))"')),
        '[[auth.checker]]\nname = "anybody"\nkind = "http"\n'
        f'url = "http://127.0.0.1:{world.http}/anybody"\n',
        '[[auth.checker]]\nname = "locked"\nkind = "http"\n'
        f'url = "http://127.0.0.1:{world.http}/locked"\n',
        '[groups]\nlost = { directory = ["cn=Lost,' + GROUPS + '"] }\n',
    ])  # fmt: skip
    ups = "".join(
        f'[[upstream]]\nname = "{name}"\nurl = "{url}"\n{more}\n'
        for name, url, more in (
            ("refused", f"socks5://127.0.0.1:{nobody}", ""),
            ("secret", f"socks5://127.0.0.1:{world.socks}",
             'login = { method = "userpass", user = "edge", password_file = "wrong" }'),
            ("login", f"socks5://127.0.0.1:{world.socks}", ""),
            ("web", f"socks5://127.0.0.1:{world.http}", ""),
            ("tls", f"socks5+tls://127.0.0.1:{world.socks}", ""),
            ("unknown", "socks5://no-such-host.invalid:1080", ""),
        )
    )  # fmt: skip
    ups += '[gateway]\nname = "probe"\n[resolver]\nservers = ["127.0.0.1:1"]\n'
    rule = ('[[rule]]\nid = "all"\nallow = ["connect"]\nwho = ["@lost"]\ndecider = "opa"\n'
            'via = [["refused", "secret", "login", "web", "tls", "unknown"]]\n'
            '[[decider]]\nname = "opa"\n'
            f'url = "http://127.0.0.1:{world.http}/undefined"\n')  # fmt: skip
    sinks = "".join(
        f"[[audit.sink]]\n{each}\n"
        for each in (
            'kind = "sql"\nname = "secret"\nurl_file = "wrong-sql"',
            'kind = "sql"\nname = "database"\nurl_file = "no-sql"',
            f'kind = "syslog"\nurl = "tcp://127.0.0.1:{nobody}"',
            f'kind = "http"\nurl = "http://127.0.0.1:{world.http}/locked"',
            'kind = "file"\nurl = "/nowhere/lines.jsonl"',
            'kind = "pipe"\nurl = "/nowhere/pipe"',
        )
    )
    status, found, printed = world.probe(
        _config(world, auth, ups + rule, _cluster(world.redisPort, "wrong") + sinks),
        8,
    )
    assert status == 1
    others = []
    by = {key.split(" ")[0]: each for key, each in found.items()}
    for place, state, said, remedy in (
        ("resolver.servers[0]", "failed", "", ""),
        ("auth.checkers[0]", "warning", "holds no user", "socksgw passwd"),
        ("auth.checker[0]", "failed", "the bind account's name or password is wrong",
         "bind_password_file"),
        ("auth.checker[1]", "failed", "there is no entry ou=nowhere,", "correct base"),
        ("auth.checker[2]", "failed", "connection refused", "is the port right?"),
        ("auth.checker[3]", "failed", "TLS: its certificate is refused: it is for "
         "localhost, 127.0.0.1", "127.0.0.2"),
        ("auth.checker[4]", "failed", "", ""),
        ("auth.checker[5]", "failed", "no entry with employeeNumber", "user_filter"),
        ("auth.checker[6]", "failed", "lets in a user who does not exist", "false"),
        ("auth.checker[7]", "failed", "refuses the gateway (status 401)", "token_file"),
        ("upstream[0]", "failed", "connection refused", "is the port in url right?"),
        ("upstream[1]", "failed", "refuses the login", "the secret"),
        ("upstream[2]", "failed", "it takes none of our methods", "login.method"),
        ("upstream[3]", "failed", "no answer in time", "does it run"),
        ("upstream[4]", "failed", "it closes the connection", "scheme"),
        ("upstream[5]", "failed", "", "name servers"),
        ("decider[0]", "failed", "its policy says nothing of it", "path of url"),
        ("cluster.url", "failed", "password is wrong", "password_file"),
        ("audit.sink[0]", "failed", "password authentication failed", "correct user"),
        ("audit.sink[1]", "failed", "does not exist", "CREATE DATABASE"),
        ("audit.sink[2]", "failed", "Connection refused", "is it running"),
        ("audit.sink[3]", "failed", "refuses the token", "token_file"),
        ("audit.sink[4]", "failed", "no directory /nowhere", "make it"),
        ("audit.sink[5]", "failed", "no named pipe", "mkfifo"),
    ):  # fmt: skip
        each = by[place]
        if (
            each["state"] != state
            or said not in each["said"]
            or remedy not in each["remedy"]
        ):
            others.append((place, each))
    assert not others
    assert not any(each in printed for each in SECRETS)
    assert "Traceback" not in printed


def certified(where: Path) -> dict[str, Path]:
    """
    Certificates of TLS upstreams, with their keys: right, for another name, expired.
    Their authority is in C{ca.pem}, another one in C{other.pem}.
    """
    root = Authority()
    (where / "ca.pem").write_bytes(pemOf(root.certificate))
    (where / "other.pem").write_bytes(pemOf(Authority().certificate))
    days = timedelta(days=1)
    issued = {
        "right": root.issue(dns("localhost"), usage=(SERVER,)),
        "elsewhere": root.issue(dns("elsewhere.example"), usage=(SERVER,)),
        "expired": root.issue(
            dns("localhost"), usage=(SERVER,), before=-3 * days, after=-days
        ),
    }
    return {name: each.writeTogether(where, name) for name, each in issued.items()}


class Others:
    """
    Upstreams of others that run, and what the configuration says of each.

    @ivar tables: their tables of C{[[upstream]]}.
    @ivar said: by their names, the state, and words of the answer and the remedy.
    """

    def __init__(self, stack: ExitStack, where: Path) -> None:
        self._stack = stack
        self._where = where
        self.tables = ""
        self.said: dict[str, tuple[str, str, str]] = {}

    def serve(self, command: Callable[[int, Path], list[str]]) -> int:
        """Run a program with a folder of its own, and return its port."""
        port = freePort(kind=socket.SOCK_STREAM)
        folder = self._where / str(port)
        folder.mkdir()
        # Dante and squid give up root.
        folder.chmod(0o777)
        log = self._where / f"{port}.log"
        self._stack.enter_context(
            Daemon(command(port, folder), port, log, environment())
        )
        return port

    def has(
        self, name: str, url: str, said: tuple[str, str, str], more: str = ""
    ) -> None:
        """Add an upstream, and what is to be said of it."""
        number = len(self.said)
        self.tables += f'[[upstream]]\nname = "u{number}"\nurl = "{url}"\n{more}\n'
        self.said[name] = said


IN = ("ok", "lets us in", "")
WRONG = ("failed", "does not accept the user and password", "the secret")
OTHER = ("failed", "it wants another login than ours", "login.method")
NONE = ("failed", "it takes none of our methods", "login.method")
CLOSES = ("failed", "it closes the connection instead of an answer", "the protocol")
SILENT = ("failed", "no answer in time, though it accepts", "is it of that kind?")
SPEAKS = ("failed", "it does not speak that protocol", "the protocol")
PLAIN = ("failed", "TLS: ", "TLS")
LOGIN = 'login = { method = "userpass", user = "edge", password_file = "wrong" }'


def _dante(text: str, other: str) -> Callable[[int, Path], list[str]]:
    """Dante with a line of its configuration replaced."""

    def command(port: int, folder: Path) -> list[str]:
        found = upstreams.dante(port, folder)
        file = folder / "danted.conf"
        assert text in file.read_text()
        file.write_text(file.read_text().replace(text, other))
        return found

    return command


def _socks(others: Others) -> None:
    here = "socks5://127.0.0.1"
    port = others.serve(upstreams.dante)
    others.has("dante", f"{here}:{port}", IN)
    others.has("dante, login", f"{here}:{port}", NONE, LOGIN)
    others.has("dante, http", f"http://127.0.0.1:{port}", CLOSES)
    vague = ("warning", "whether it lets us in, SOCKS 4 does not tell", "target")
    others.has("dante, 4", f"socks4a://127.0.0.1:{port}", vague)
    others.has("dante, tls", f"socks5+tls://127.0.0.1:{port}", PLAIN)
    port = others.serve(_dante("socksmethod: none", "socksmethod: username"))
    others.has("dante for users", f"{here}:{port}", NONE)
    others.has("dante, wrong", f"{here}:{port}", WRONG, LOGIN)
    port = others.serve(_dante("client pass", "client block"))
    others.has("dante for others", f"{here}:{port}", CLOSES)


def _http(others: Others, users: Path) -> None:
    here = "http://127.0.0.1"
    port = others.serve(upstreams.squid)
    others.has("squid", f"{here}:{port}", IN)
    others.has("squid, 5", f"socks5://127.0.0.1:{port}", SILENT)
    others.has("squid, tls", f"https://127.0.0.1:{port}", PLAIN)
    port = others.serve(
        lambda at, folder: upstreams.squid(at, folder, "http_access deny all")
    )
    denied = ("warning", "its rules refuse a name that nobody has", "target")
    others.has("squid for nobody", f"{here}:{port}", denied)
    lines = (
        f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {users}\n"
        "acl users proxy_auth REQUIRED\nhttp_access allow users"
    )
    port = others.serve(lambda at, folder: upstreams.squid(at, folder, lines))
    others.has("squid for users", f"{here}:{port}", OTHER)
    others.has("squid, wrong", f"{here}:{port}", WRONG, LOGIN)
    port = others.serve(lambda at, folder: upstreams.tinyproxy(folder, "", at))
    others.has("tinyproxy", f"{here}:{port}", IN)
    line = "BasicAuth edge right"
    port = others.serve(lambda at, folder: upstreams.tinyproxy(folder, line, at))
    others.has("tinyproxy for users", f"{here}:{port}", OTHER)
    others.has("tinyproxy, wrong", f"{here}:{port}", WRONG, LOGIN)


def _nginx(behind: int, port: int, folder: Path) -> list[str]:
    """nginx, which forwards connections."""
    file = folder / "nginx.conf"
    file.write_text(
        f"load_module {MODULE};\ndaemon off;\npid {folder}/pid;\n"
        f"error_log {folder}/log;\nevents {{}}\nstream {{ server {{ "
        f"listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{behind}; }} }}\n"
    )
    return [program("nginx", "nginx"), "-p", str(folder), "-c", str(file)]


def _stunnel(pem: Path, behind: int, port: int, folder: Path) -> list[str]:
    return upstreams.stunnel(folder, pem, f"connect = 127.0.0.1:{behind}", port)


def test_realUpstreams(tmp_path: Path) -> None:
    """
    What is said of programs that people have in front, behind balancers and TLS, and of
    the wrong protocol, login or certificate for them.
    """
    (tmp_path / "wrong").write_text("not-this-one-66\n")
    (tmp_path / "wrong").chmod(0o600)
    (tmp_path / "users").write_text("edge:$apr1$abcdefgh$wqvAEJCRhkAuxu8xRGTfN1\n")
    tmp_path.chmod(0o755)
    with ExitStack() as stack:
        others = Others(stack, tmp_path)
        _socks(others)
        _http(others, tmp_path / "users")
        (tmp_path / "ssh").mkdir()
        sshd = Sshd(tmp_path / "ssh", environment())
        stack.callback(sshd.stop)
        sshd.ready()
        port = others.serve(lambda at, _: upstreams.ssh(at, sshd))
        others.has("ssh", f"socks5://127.0.0.1:{port}", IN)
        others.has("ssh, login", f"socks5://127.0.0.1:{port}", CLOSES, LOGIN)
        others.has("sshd", f"socks5://127.0.0.1:{sshd.port}", SPEAKS)
        behind = others.serve(lambda at, _: upstreams.microsocks(at))
        dead = freePort(kind=socket.SOCK_STREAM)
        for name, port, said in (("good", behind, IN), ("dead", dead, CLOSES)):
            (tmp_path / name).mkdir()
            haproxy = HAProxy(tmp_path / name, {"way": ("", f"127.0.0.1:{port}")})
            stack.enter_context(haproxy)
            place = f"socks5://127.0.0.1:{haproxy.ports['way']}"
            others.has(f"HAProxy, {name}", place, said)
            place = f"socks5://127.0.0.1:{others.serve(partial(_nginx, port))}"
            others.has(f"nginx, {name}", place, said)
        for name, pem in certified(tmp_path).items():
            port = others.serve(partial(_stunnel, pem, behind))
            url = f"socks5+tls://localhost:{port}"
            refused = "TLS: its certificate is refused: "
            said = {
                "right": IN,
                "elsewhere": ("failed", f"{refused}it is for elsewhere.example, and not "
                              "for localhost", "DNS:localhost"),
                "expired": ("failed", f"{refused}it has expired", "the clock"),
            }[name]  # fmt: skip
            others.has(f"tls, {name}", url, said, 'ca = "ca.pem"')
            if name == "right":
                said = ("failed", f"{refused}no trusted authority", '"ca"')
                others.has("tls, of others", url, said, 'ca = "other.pem"')
        file = tmp_path / "gw.toml"
        file.write_text(f'{OPEN}[gateway]\nstate_dir = "state"\n{others.tables}')
        done = socksgwProcess("check", "--probe", "--json", "--timeout", "8", str(file))
    assert "not-this-one-66" not in done.stdout + done.stderr
    names = list(others.said)
    wrong = []
    for each in json.loads(done.stdout):
        found = re.fullmatch(r"upstream\[(\d+)\]", each["place"])
        if found:
            name = names.pop(0)
            state, words, remedy = others.said[name]
            if not (
                each["state"] == state
                and words in each["said"]
                and remedy in each["remedy"]
            ):
                wrong.append((name, each))
    assert not wrong
    assert not names


#: A checker of another project, which says what it has been answered.
PLUGIN = """
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import ICheckerFactory
from twisted.cred.checkers import ICredentialsChecker
from twisted.plugin import IPlugin
from zope.interface import implementer

from socksgw.interfaces import Answer, IProbed


@implementer(ICredentialsChecker, IProbed)
class Checker:
    credentialInterfaces = (IUsernamePassword,)

    async def probe(self):
        return [Answer("the oracle", "speaks in riddles", "warning", "listen")]


@implementer(ICheckerFactory, IPlugin)
class Factory:
    authType = "oracle"
    authHelp = argStringFormat = "None."
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, text):
        return Checker()


oracle = Factory()
"""


def test_text(tmp_path: Path) -> None:
    """
    What is said for people; whoever is silent is named while it is waited for, and no
    longer than was said. Plug-ins are asked, too.
    """
    surroundings = withPlugins(tmp_path, "twisted.plugins", oracle_cred=PLUGIN)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        (tmp_path / "gw.toml").write_text(
            OPEN
            + '[auth]\ncheckers = ["oracle:x"]\n[gateway]\nstate_dir = "state"\n'
            + f'[[upstream]]\nname = "silent"\nurl = "socks5://127.0.0.1:{port}"\n'
        )
        command = [sys.executable, "-m", "socksgw.console.command", "check", "--probe"]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--timeout", "3", str(tmp_path / "gw.toml")],
            env=surroundings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert time.monotonic() - began < 30
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    at = lines.index("WARN  auth.checkers[0]  the oracle")
    assert lines[at + 1 : at + 3] == ["      speaks in riddles", "      → listen"]
    at = lines.index("FAIL  upstream[0]  silent")
    assert lines[at + 1] == "      no answer in time, though it accepts connections"
    assert lines[-1].endswith(", 1 failed")
    assert "waiting for upstream[0] (silent)" in done.stderr
    assert not (tmp_path / "state").exists()


def test_wrongUse(tmp_path: Path) -> None:
    """Without --probe there is nothing to be had as JSON; errors are told first."""
    file = tmp_path / "gw.toml"
    file.write_text("[gateway]\nnames = 1\n")
    assert socksgw("check", "--json", str(file)).returncode == 2
    done = socksgw("check", "--probe", str(file))
    assert (done.returncode, "unknown key" in done.stderr + done.stdout) == (2, True)
    file.write_text(OPEN)
    done = socksgw("check", "--json", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert socksgw("check", "--probe", "--timeout", "0", str(file)).returncode == 2
