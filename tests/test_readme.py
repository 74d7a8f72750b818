"""
What README.rst and the chapters of the manual show works as it stands there.
"""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from socksgw.config.loading import loads
from socksgw.config.schema import Listen, Throttle
from socksgw.console.help import helpMain
from socksgw.console.reference import allTables
from socksgw.console.rendering import rendered
from socksgw.gateway import Gateway
from socksgw.gateway.examination import examine
from socksgw.limits.limits import DEFAULTS
from socksgw.login import checkers
from socksgw.login.passwords import setPassword
from socksgw.login.stores import remote
from socksgw.login.stores.keys import HTTP, JWT, LDAP, PAM
from socksgw.route.librarylookup import THREADS, THREADS_PER_SOURCE
from socksgw.route.lookup import QUESTIONS
from socksgw.system.tls import EMPTY
from tests.fakes.policy import Facts
from tests.live.running import ROOT, Running, environment, socksgw, socksgwProcess
from tests.live.servers import PATIENCE, Certificate, freePort
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.waiting import until

CHAPTERS = sorted((ROOT / "socksgw" / "manual").glob("*.rst"))
README = ROOT / "README.rst"
DOCUMENTS = {path.stem: path.read_text("utf-8") for path in (README, *CHAPTERS)}


def block(language: str, containing: str) -> str:
    """The one code block of that language that has some words in it."""
    found = [text for text in blocks(language) if containing in text]
    assert len(found) == 1, f"{len(found)} {language} blocks have {containing!r}"
    return found[0]


def blocks(language: str) -> list[str]:
    """All code blocks of a language, without their indentation."""
    pattern = rf"\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)"
    return [
        re.sub(r"(?m)^    ", "", found)
        for text in DOCUMENTS.values()
        for found in re.findall(pattern, text)
    ]


def test_theReadmeIsShort() -> None:
    """README.rst is read at one sitting, and names each chapter."""
    text = DOCUMENTS["README"]
    assert text.count("\n") <= 320
    listed = text.partition("Chapter             What")[2].partition("The texts are")[0]
    named = set(re.findall(r"(?m)^(\w+) {2,}", listed))
    assert named == {path.stem for path in CHAPTERS}


def test_everyTable() -> None:
    """Each piece of configuration that is shown has keys that exist."""
    shown = [text for text in blocks("toml") if "[build-system]" not in text]
    assert len(shown) > 5
    for text in shown:
        loads(text, "shown")


EVERYTHING = "\n".join(DOCUMENTS.values())


def test_everyFile() -> None:
    """Each file and folder of this project that is named is there."""
    named = set(
        re.findall(r"``((?:socksgw|tests|etc|twisted|\.ci)/[\w./]+)``", EVERYTHING)
    )
    assert len(named) > 40
    assert {each for each in named if not (ROOT / each).exists()} == {
        # Patterns of names.
        "socksgw/plugins/auth_NAME.py",
        "socksgw/x/y.py",
        "tests/plugins/test_auth_NAME.py",
        "tests/x/test_y.py",
    }


#: What looks like a key: what programs call of a gateway.
NO_KEYS = {f"gateway.{name}" for name in vars(Gateway) if name[0] != "_"}


def test_everyKey() -> None:
    """Each key of the configuration that is named is one."""
    known = {table.path for table in allTables()} | NO_KEYS
    known |= {key.path for table in allTables() for key in table.keys}
    first = {path.partition(".")[0] for path in known} - {""}
    named = set(re.findall(r"``\[*((?:[a-z_]+\.)+[a-z_]+)\]*[ `]", EVERYTHING))
    keys = {each for each in named if each.partition(".")[0] in first}
    assert len(keys) > 25
    assert {each for each in keys if not each.endswith((".py", ".toml"))} <= known


def test_boundsOfOneSource() -> None:
    """What one source may take is what the code and the schema have."""
    listen, throttle = Listen("a"), Throttle()
    (bound,) = (each for each in DEFAULTS if each.per == "source")
    text = rendered(DOCUMENTS["limits"])
    rows = text.partition("What one source may take")[2].splitlines()
    columns = [" ".join(row[24:52].strip() for row in rows)]
    found = " ".join(" ".join(columns).split())
    for said in (
        f"{listen.half_open_per_source} of {listen.half_open} at a listener",
        f"{bound.associations} {bound.binds} half of them {bound.groups};",
        f"{QUESTIONS // 4} of {QUESTIONS} questions; {THREADS_PER_SOURCE} of {THREADS} threads",
        f"{throttle.per_source} a minute",
        f"queue of {checkers._WAITING} (LDAP, HTTP: {remote._MOST}); a source",
        f"{EMPTY} for each MiB of data",
    ):
        assert said in found, found


def test_everyTopic() -> None:
    """Each topic of C{socksgw help} that is named is known to it."""
    text = " ".join(EVERYTHING.split())
    topics = set(re.findall(r"socksgw help ([a-z][\w.-]*|\"[^\"]+\")", text))
    assert len(topics) > 15
    for topic in topics:
        out, errors = io.StringIO(), io.StringIO()
        assert helpMain(topic.strip('"'), out, errors) == 0, topic


def test_policy(tmp_path: Path) -> None:
    """The realistic policy is good, once its users are there."""
    users = tmp_path / "users"
    setPassword(users, "bob", b"secret")
    made = socksgw("passwd", str(users), "alice", stdin="secret\n")
    assert made.returncode == 0, made.stderr
    text = block("toml", "no-private").replace("/etc/socksgw/users", str(users))
    (tmp_path / "gateway.toml").write_text(text)
    checked = socksgw("check", "--strict", str(tmp_path / "gateway.toml"))
    assert checked.returncode == 0, checked.stdout
    assert 'anonymous on "lan" from 10.0.8.0/24' in checked.stdout


def test_upstreams(tmp_path: Path) -> None:
    """The chapter's configuration is good, but for the warning that it tells of."""
    (tmp_path / "gateway.toml").write_text(block("toml", 'name = "partner"'))
    checked = socksgw("check", "--strict", str(tmp_path / "gateway.toml"))
    assert checked.returncode == 0, checked.stdout


def test_directory(tmp_path: Path) -> None:
    """So is the directory's table, with its files."""
    text = block("toml", "bind_password_file")
    certificate = Certificate(tmp_path).file
    secret = tmp_path / "ad"
    secret.touch(0o600)
    secret.write_text("secret")
    text = text.replace("/etc/socksgw/corp-ca.pem", str(certificate))
    text = text.replace("/run/credentials/ad", str(secret))
    rest = '[[rule]]\nid = "r"\nallow = "any"\nwho = ["@contractors", "@auditors"]\n'
    rest += '[[listen]]\nname = "lan"\naddress = ["127.0.0.1:0"]\n'
    (tmp_path / "gateway.toml").write_text(text + rest)
    checked = socksgw("check", "--strict", str(tmp_path / "gateway.toml"))
    assert checked.returncode == 0, checked.stdout


WORKLOADS = [
    text for text in blocks("toml") if "[[expect]]" in text and "[listen.tls]" in text
]


@pytest.mark.parametrize("number", range(4))
def test_workloads(number: int, tmp_path: Path) -> None:
    """The examples of tokens and workloads meet their own expectations."""
    assert len(WORKLOADS) == 4
    text = WORKLOADS[number]
    authority = Authority()
    server(authority).write(tmp_path, "gw")
    for name in ("bundle.pem", "corp-ca.pem"):
        (tmp_path / name).write_bytes(pemOf(authority.certificate))
    secrets = "/var/run/secrets/kubernetes.io/serviceaccount"
    text = text.replace(f"{secrets}/ca.crt", "corp-ca.pem")
    text = text.replace(f"{secrets}/token", "token")
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text("e")
    (tmp_path / "gateway.toml").write_text(text)
    checked = socksgw("check", "--strict", str(tmp_path / "gateway.toml"))
    assert checked.returncode == 0, checked.stdout
    assert "exposed without login: nothing" in checked.stdout
    # They are tests: who is let in is not, once the rules are for somebody else.
    (tmp_path / "gateway.toml").write_text(
        text.replace("who = [", 'who = ["x", ').replace('"x", ', '"x"] # ')
    )
    checked = socksgw("check", "--strict", str(tmp_path / "gateway.toml"))
    assert checked.returncode != 0
    assert "expects allow" in checked.stdout


def test_everyOptionOfACheckerIsShown() -> None:
    """etc/socksgw.toml's tables are good, too, but for their files."""
    shown = (ROOT / "etc" / "socksgw.toml").read_text()
    end = shown.index("# [auth.tls]")
    tables = shown[shown.index("# [[auth.checker]]") : end]
    text = re.sub(r"(?m)^# ?", "", tables)
    config = loads(f'[[listen]]\nname = "a"\naddress = ["127.0.0.1:0"]\n{text}', "f")
    assert {each.kind for each in config.auth.checker} == {
        "ldap",
        "http",
        "pam",
        "jwt",
    }
    known = {"ldap": LDAP, "http": HTTP, "pam": PAM, "jwt": JWT}
    for each in config.auth.checker:
        missing = set(known[each.kind]) - set(each.options)
        assert missing <= {
            "user_dn",
            "flavor",
            "machine_accounts",
            "bind_keytab",
            "bind_principal",
            "bind_protection",
            "keys",
            "domain",
            "site",
        }
        assert all(f"{key}" in tables for key in missing)
    problems = examine(config, Facts(), MemoryReactorClock()).errors
    assert [each.text for each in problems if "No such file" not in each.text] == []


VOUCHER = b"correct horse"


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The manual's two plug-ins, each out of one file, built and installed as a
    distribution of their own: where they are then.
    """
    source = tmp_path_factory.mktemp("distribution")
    for language, name in (
        ("toml", "pyproject.toml"),
        ("python", "socksgw/plugins/auth_voucher.py"),
        ("python", "twisted/plugins/vouchers.py"),
    ):
        text = block(language, f"# {name}\n")
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    site = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
            "--no-build-isolation", "--disable-pip-version-check",
            "--target", str(site), str(source),
        ],
        check=True,
        timeout=60,
    )  # fmt: skip
    assert sorted(str(x.relative_to(site)) for x in site.rglob("*.py")) == [
        "socksgw/plugins/auth_voucher.py",
        "twisted/plugins/vouchers.py",
    ]
    return site


CONFIGURATION = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[never]
except = ["127.0.0.1"]
[[rule]]
id = "alice"
allow = ["connect"]
who = ["alice"]
"""


@pytest.mark.parametrize(
    ("line", "answer", "event"),
    [
        (b"alice:" + VOUCHER + b"\n", b"welcome\n", "decision"),
        (b"alice:x\n", b"no\n", "login-failed"),
        (b"bob:" + VOUCHER + b"\n", b"no\n", "login-failed"),
    ],
)
def test_plugins(
    plugins: Path,
    tmp_path: Path,
    gateway: Callable[..., Running],
    monkeypatch: pytest.MonkeyPatch,
    line: bytes,
    answer: bytes,
    event: str,
) -> None:
    """The example method and checker are found, log in, and fail as they should."""
    monkeypatch.setenv("PYTHONPATH", str(plugins))
    users = tmp_path / "vouchers"
    users.write_text(f"alice {sha256(VOUCHER).hexdigest()}\n")
    listed = socksgw("plugins").stdout.splitlines()
    for kind, name in (("method", "voucher"), ("checker", "vouchers")):
        assert any(x.split()[:2] == [kind, name] for x in listed), listed
    assert not any("BROKEN" in x and "voucher" in x for x in listed)
    explained = socksgwProcess("help", "auth.voucher.longest").stdout
    assert explained.startswith("auth.voucher.longest: integer; default 200\n")
    text = block("toml", "[auth.voucher]").replace("/etc/socksgw/vouchers", str(users))
    running = gateway(CONFIGURATION + text)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.settimeout(10)
            client.sendall(b"\x05\x01\x80")
            stream = client.makefile("rb")
            assert stream.read(2) == b"\x05\x80"
            client.sendall(line)
            assert stream.read(len(answer)) == answer
            if event == "decision":
                client.sendall(b"\x05\x01\0\x01\x7f\0\0\x01" + port.to_bytes(2, "big"))
                assert stream.read(2) == b"\x05\0"
                assert len(stream.read(8)) == 8
                # The store changes: who is gone from it is cut off.
                users.write_text("")
                with pytest.raises(ConnectionResetError):
                    stream.read(1)
            else:
                assert stream.read() == b""
    recorded = until(lambda: running.journal(event))
    assert recorded[0]["method"] == "voucher"
    if event == "decision":
        (end,) = until(lambda: running.journal("end"))
        assert end["why"] == "the user no longer exists"


def test_theContract(plugins: Path, tmp_path: Path) -> None:
    """The tests that the manual has for the method's author pass."""
    (tmp_path / "test_voucher.py").write_text(block("python", "AuthMethodContract"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": f"{plugins}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 passed" in done.stdout, done.stdout


def test_embedding(tmp_path: Path) -> None:
    """The program that has the gateway inside serves."""
    port = freePort(kind=socket.SOCK_STREAM)
    program = block("python", "SocksFactory").replace("tcp:1080", f"tcp:{port}")
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
    )

    def greeted() -> bytes | None:
        assert process.poll() is None
        try:
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(b"\x05\x01\0")
                return client.recv(2)
        except ConnectionRefusedError:
            return None

    try:
        assert until(greeted, 90) == b"\x05\0"
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert errors == b""
    assert process.returncode == 0
