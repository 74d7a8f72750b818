"""
What clients say: passwords appear nowhere, and nothing else can forge a line.
"""

from __future__ import annotations

import hmac
import json
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.clients import (
    GREETING,
    Server,
    exactly,
    four,
    named,
    opened,
    replied5,
    request4,
    request5,
)
from tests.live.origin import Origin, Request, answer
from tests.live.raw import LET_IN6, option6, request6
from tests.live.running import LOOPBACK, Running, socksgw
from tests.tools.proxyheaders import tls, vector, version2
from tests.tools.tokens import AUDIENCE, ISSUER, Issuer, setOf
from tests.tools.waiting import until

Gateway = Callable[..., Running]

USER = b"alice"
PASSWORD = b"Canary-pAsSw0rd-6f1d"
#: In every wrong password, and in every malformed one.
CANARY = b"caNaRy9e41"
#: Where control octets and forgeries begin.
MARK = b"mArK77"

#: RFC 1928 section 3: no authentication, and user and password.
BOTH = b"\x05\x02\x00\x02"
LOGIN = b"\x05\x01\x02"

HOSTILE = [
    MARK + b"\x1b[31mred\x1b[0m",
    MARK + b"\nDENY forged",
    MARK + b'\r\n{"v":1,"event":"decision"}',
    MARK + b'","verdict":"allow","x":"',
    MARK + b"\\",
    MARK + b"'\"`$(reboot)",
    MARK + b"\0after",
    MARK + b"\xff\xfe\x80",
    MARK + "\u009b31m\u202e\u2028".encode(),
    MARK + b"\x7f\x08\x08\x07",
    MARK + b"{kind}{0}%s%n",
    MARK + bytes(range(248)),
    b"",
    b"\0",
    b"\n",
]


def _login(name: bytes, password: bytes) -> bytes:
    """RFC 1929 section 2: VER ULEN UNAME PLEN PASSWD."""
    return b"\x01" + bytes((len(name),)) + name + bytes((len(password),)) + password


def _login6(name: bytes, password: bytes) -> bytes:
    """The same in an option (section 9 of draft-olteanu-intarea-socks-6-11)."""
    return option6(4, b"\x02" + _login(name, password))


def _heard(gateway: Running, octets: bytes, source: str = "127.0.0.1") -> bytes:
    """All that the gateway says to these octets, when nothing more comes."""
    with closing(opened(gateway.port, source)) as client:
        client.sendall(octets)
        client.shutdown(1)
        return exactly(client, 1 << 16)


@pytest.fixture
def started(gateway: Gateway, tmp_path: Path) -> Running:
    """
    A gateway where 127.0.0.1 logs in, and 127.0.0.2 need not.
    """
    users = tmp_path / "users"
    made = socksgw("passwd", str(users), USER.decode(), stdin=PASSWORD.decode() + "\n")
    assert made.returncode == 0, made.stderr
    return gateway(f"""
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
[http]
reasons = true
[auth]
checkers = ["passwd:{users}"]
throttle = {{ per_user = 0, per_source = 0 }}   # these tests fail often
[[auth.choose]]
from = ["127.0.0.2"]
methods = ["none"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["userpass"]
[[rule]]
id = "all"
allow = ["connect"]
to = ["127.0.0.0/8"]
[never]
except = ["127.0.0.0/8"]
""")


def _clean(started: Running, *secrets: bytes) -> None:
    """
    No secret in anything that the gateway wrote, and no control octet.

    @param secrets: more of them.
    """
    started.stop()
    for file in started.directory.rglob("*"):
        if not file.is_file():
            continue
        octets = file.read_bytes()
        for secret in (PASSWORD, CANARY, *secrets):
            assert secret not in octets, file
            for before in (b"", b"a", b"ab"):
                # As it is in base64, wherever it stands there.
                inside = b64encode(before + secret)[4:20]
                assert inside not in octets, file
            assert secret.hex().encode() not in octets.lower(), file
        text = octets.decode("utf-8")
        odd = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")}
        assert odd <= {"\n"}, (file, odd)
        if file.suffix == ".jsonl":
            assert text.isascii()
            for line in text.split("\n")[:-1]:
                assert json.loads(line)["v"] == 1


def test_noSecretAndNoControlOctetIsWritten(started: Running) -> None:
    """
    Valid and broken handshakes, with hostile octets in every field: log,
    journal and standard output hold no password and no raw control octet,
    and each session has one line.
    """
    with Server() as echo:
        whole = request5(four(echo.place[0]), echo.port)
        sessions = 0
        # Good logins, with hostile host names.
        good = LOGIN + _login(USER, PASSWORD)
        assert _heard(started, good + whole).startswith(b"\x05\x02\x01\x00\x05\x00")
        sessions += 1
        for octets in HOSTILE:
            said = _heard(started, good + request5(named(octets), 80))
            assert said[:6] == b"\x05\x02\x01\x00\x05\x01"
            sessions += 1
        # Bad ones, hostile in both fields.
        for octets in HOSTILE:
            password = (octets + CANARY)[-255:]
            for name in (octets, USER, b"bob"):
                said = _heard(started, LOGIN + _login(name, password) + whole)
                assert said[:3] == b"\x05\x02\x01"
                assert said[3:4] != b"\0"
                assert len(said) == 4
                sessions += 1
        # Logins that break off within the password, or have another version.
        attempt = LOGIN + _login(USER, CANARY + PASSWORD)
        for cut in range(len(LOGIN), len(attempt)):
            _heard(started, attempt[:cut])
            sessions += 1
        for version in (0, 2, 4, 5, 255):
            octets = bytes((version,)) + _login(USER, CANARY)[1:]
            _heard(started, LOGIN + octets)
            sessions += 1
        # A password where something else is due.
        for octets in (CANARY, b"\x05" + CANARY, b"\x04" + CANARY, b"\x16\x03\x01"):
            _heard(started, octets + CANARY + PASSWORD)
        # SOCKS 4 and 4a, let in without login: user ids and names.
        for octets in HOSTILE:
            if b"\0" in octets:
                octets = octets.replace(b"\0", b"\x01")
            userId = octets[:250]
            packed = b"\x7f\0\0\1"
            said = _heard(
                started, request4(packed, echo.port, None, userId), "127.0.0.2"
            )
            assert said[:2] == b"\0\x5a"
            said = _heard(
                started, request4(b"\0\0\0\1", 80, userId, userId), "127.0.0.2"
            )
            assert said[:2] == b"\0\x5b"
            # And where a login is wanted, which SOCKS 4 has not.
            said = _heard(started, request4(packed, echo.port, None, userId))
            assert said[:2] == b"\0\x5b"
            said = _heard(
                started, GREETING + request5(named(octets[:255]), 80), "127.0.0.2"
            )
            assert said[:4] == b"\x05\x00\x05\x01"
            sessions += 4
    until(lambda: len(_lines(started)) >= sessions)
    assert MARK in (started.directory / "log").read_bytes()
    assert any(MARK.decode() in json.dumps(line) for line in _lines(started))
    _clean(started)


def test_noSecretOfSocks6IsWritten(started: Running) -> None:
    """
    The same of SOCKS 6, whose requests bring passwords and the IDs of sessions, right,
    wrong, broken off and out of place: one line for each.
    """
    right = _login6(USER, PASSWORD)
    with Server() as echo:
        place = echo.place
        # A session (section 8.4), and requests of it with hostile names.
        said = _heard(started, request6(*place, options=right + option6(5, b"")))
        assert said[:2] == b"\x06\x00"
        session = said[4:][len(LET_IN6) :][:20]
        assert session[:4] == bytes.fromhex("0006 0014")
        sessions = 1
        for octets in HOSTILE:
            for login in (right, session):
                said = _heard(started, request6(octets, 80, options=login))
                assert said[:2] == b"\x06\x00"
                assert said[-12:-10] == b"\x06\x01"
                sessions += 1
        # What lets nobody in: wrong in both fields; a session of nobody; a token.
        wrong = [
            _login6(name, (octets + CANARY)[-255:])
            for octets in HOSTILE
            for name in (octets, b"bob")
        ]
        wrong += [option6(6, CANARY * 2), option6(6, CANARY * 2) + right]
        wrong.append(session + option6(13, bytes(4)))
        # What is none, with a password or a session's ID behind it, or within.
        broken = [
            right[:3] + b"\0" + right[4:],
            right + right,
            option6(4, b"\x02\x02" + CANARY),
            option6(4, b"\x02" + _login(USER, CANARY) + CANARY),
            option6(5, b"") + session,
            session + session,
            option6(10, CANARY),
            option6(13, CANARY) + right,
        ]
        for options in (*wrong, *broken):
            said = _heard(started, request6(*place, options=options))
            assert said[:2] == b"\x06\x01"
            sessions += 1
        for whole in (
            request6(*place, options=_login6(USER, CANARY + PASSWORD)),
            request6(*place, options=session),
        ):
            for cut in range(1, len(whole)):
                assert _heard(started, whole[:cut]) == b""
                sessions += 1
        assert len(echo.peers) == 1
    until(lambda: len(_lines(started)) >= sessions)
    assert len(_lines(started)) == sessions
    assert MARK in (started.directory / "log").read_bytes()
    _clean(started, session[4:])


def _chap(gateway: Running, user: bytes, password: bytes, more: bytes = b"") -> bytes:
    """
    What comes of a login by CHAP (draft-ietf-aft-socks-chap-01): the status.

    @param more: further attributes, of one octet each.
    """
    with closing(opened(gateway.port)) as client:
        client.sendall(b"\x05\x01\x03" + b"\x01\x01\x11\x01\x85")
        challenge = exactly(client, 2 + 5 + 4 + 32)[-32:]
        response = b"\x04\x10" + hmac.digest(password, challenge, "md5")
        name = b"\x02" + bytes((len(user),)) + user
        count = bytes((2 + more.count(b"\x04\x01"),))
        client.sendall(b"\x01" + count + name + response + more)
        client.shutdown(1)
        return exactly(client, 1 << 16)


def test_noSecretOfChapIsWritten(gateway: Gateway, tmp_path: Path) -> None:
    """
    Logins by challenge and response, by password, and by whoever is throttled:
    neither the passwords that the gateway knows nor those that clients try are
    in anything that it writes.
    """
    secrets, users = tmp_path / "secrets", tmp_path / "users"
    for options in (["--secrets", str(secrets)], [str(users)]):
        command = ["passwd", *options, USER.decode()]
        made = socksgw(*command, stdin=PASSWORD.decode() + "\n")
        assert made.returncode == 0, made.stderr
        assert PASSWORD.decode() not in made.stdout + made.stderr
    started = gateway(f"""
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["secrets:{secrets}", "passwd:{users}"]
throttle = {{ per_user = 4, window = "10m" }}
[[auth.choose]]
methods = ["chap", "userpass"]
""")
    assert _chap(started, USER, PASSWORD) == b"\x01\x01\x00\x01\x00"
    # Broken off, and broken: the canary where a response is due, or a name.
    whole = b"\x05\x01\x03" + b"\x01\x01\x11\x01\x85"
    for broken in (
        b"\x01\x01\x04\x0a" + CANARY,
        b"\x01\x01\x04\xff" + CANARY,
        b"\x01\x02\x02\x01a\x02\x0a" + CANARY,
        b"\x02" + CANARY,
        LOGIN + _login(USER, CANARY),
        b"\x01\x03\x02\x05alice\x04\x0a" + CANARY + b"\x01\x0a" + CANARY,
    ):
        for cut in range(len(broken) + 1):
            _heard(started, whole + broken[:cut], "127.0.0.2")
    # Wrong, until it is throttled, and then right as well.
    for password in [CANARY] * 6 + [PASSWORD] * 2:
        assert _chap(started, USER, password) == b"\x01\x01\x00\x01\x01"
        said = _heard(started, LOGIN + _login(USER, password))
        assert said == b"\x05\x02\x01\x01"
    assert _chap(started, b"bob", CANARY, b"\x04\x01x") == b""
    # While the file cannot be used.
    secrets.write_text(f"alice:{PASSWORD.decode()}\n")
    assert _chap(started, USER, PASSWORD) == b"\x01\x01\x00\x01\x01"
    assert _chap(started, b"bob", PASSWORD) == b"\x01\x01\x00\x01\x01"
    reasons = {line["reason"] for line in started.journal("login-failed")}
    assert reasons == {"wrong-credentials", "throttled", "store-unreadable"}
    until(lambda: "throttle" in started.log)
    until(lambda: "secrets: line 1" in started.log)
    _clean(started)


def _basic(user: bytes, password: bytes) -> bytes:
    """RFC 7617 section 2, in the field of a proxy."""
    login = b64encode(user + b":" + password)
    return b"Proxy-Authorization: Basic " + login + b"\r\n"


def test_noSecretOfHttpIsWritten(started: Running) -> None:
    """
    Credentials in requests: right, wrong, broken off, malformed in each way, and
    where they do not belong.
    """
    sessions = 0
    with Server() as echo:
        host = b"127.0.0.1:%d" % echo.port
        begin = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (host, host)
        right, wrong = _basic(USER, PASSWORD), _basic(USER, CANARY)
        assert _heard(started, begin + right + b"\r\n").startswith(b"HTTP/1.1 200")
        sessions += 1
        answers = set()
        for octets in HOSTILE:
            for name in (octets, USER, b"bob"):
                field = _basic(name, octets + CANARY)
                answers.add(_heard(started, begin + field + b"\r\n"))
                sessions += 1
        assert len(answers) == 1
        assert b"HTTP/1.1 407" in answers.pop()
        attempt = begin + wrong + b"\r\n"
        for cut in range(len(begin), len(attempt), 3):
            _heard(started, attempt[:cut])
            sessions += 1
        for field in (
            wrong.replace(b": ", b" : "),
            wrong.replace(b":", b""),
            b" " + wrong,
            wrong + wrong,
            wrong.replace(b"\r\n", b"\n"),
            wrong.replace(b"\r\n", b"\0\r\n"),
            wrong.replace(b"Basic", b"Digest"),
            wrong.replace(b"Basic", b"Negotiate"),
            wrong.replace(b"Basic ", b""),
            b"Proxy-Authorization: " + CANARY + b"\r\n",
            b"Proxy-Authorization: Bearer " + CANARY + b"\r\n",
            b"X: " + CANARY * 9000 + b"\r\n",
        ):
            assert b" 200 " not in _heard(started, begin + field + b"\r\n")
            sessions += 1
        # In the request line.
        for line in (
            b"CONNECT alice:" + CANARY + b"@" + host + b" HTTP/1.1",
            b"GET http://alice:" + CANARY + b"@" + host + b"/ HTTP/1.1",
        ):
            _heard(started, line + b"\r\nHost: " + host + b"\r\n\r\n")
            sessions += 1
    until(lambda: len(_lines(started)) >= sessions)
    _clean(started)


def test_noSecretOfWhatIsPassedOnIsWritten(gateway: Gateway, tmp_path: Path) -> None:
    """
    Requests that are passed on, behind headers of a balancer: what their fields,
    URL and body have for the destination, what it answers, and the tokens that they
    log in with; also where the request, the token or the destination is broken.
    """
    issuer = Issuer("ES256")
    keys, users = tmp_path / "keys.json", tmp_path / "users"
    keys.write_bytes(setOf(issuer))
    keys.chmod(0o644)
    made = socksgw("passwd", str(users), USER.decode(), stdin=PASSWORD.decode() + "\n")
    assert made.returncode == 0, made.stderr
    started = gateway(f"""
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["http"]
proxy_protocol_from = ["127.0.0.1"]
[http]
reasons = true
[auth]
checkers = ["passwd:{users}"]
throttle = {{ per_user = 0, per_source = 0 }}   # these tests fail often
[[auth.checker]]
kind = "jwt"
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
keys = "{keys}"
[[auth.choose]]
methods = ["token", "userpass"]
cleartext_passwords = true
[[rule]]
id = "all"
allow = ["connect"]
to = ["127.0.0.0/8"]
{LOOPBACK}""")
    canary = CANARY.decode()
    tokens = [
        issuer.token(canary=canary),
        issuer.token(canary=canary, exp=1),
        issuer.token(canary=canary, aud="another"),
        issuer.token(canary=canary, iss=canary),
        issuer.token({"alg": "none"}, canary=canary),
        issuer.token({"kid": canary}, canary=canary),
        issuer.token(canary=canary)[:-3],
        CANARY,
        CANARY + b"." + CANARY + b"." + CANARY,
    ]
    logins = [b"Proxy-Authorization: Bearer " + token + b"\r\n" for token in tokens]
    logins += [_basic(b"token", token) for token in tokens]
    logins += [_basic(USER, PASSWORD), _basic(USER, CANARY)]
    fields = [
        b"Authorization: Basic " + b64encode(USER + b":" + CANARY) + b"\r\n",
        b"Authorization: Bearer " + CANARY + b"\r\nCookie: a=" + CANARY + b"\r\n",
        b"Authorization : Basic " + CANARY + b"\r\n",
        b"Authorization: " + CANARY + b"\r\n " + CANARY + b"\r\n",
        b"Authorization: " + CANARY + b"\0\r\n",
        b"Connection: close, " + CANARY + b"\r\n",
        b"Content-Length: " + CANARY + b"\r\n",
        b"Transfer-Encoding: " + CANARY + b"\r\n",
        b"Expect: " + CANARY + b"\r\n",
        b"Upgrade: " + CANARY + b"\r\nConnection: upgrade\r\n",
    ]
    answers = [
        answer(CANARY, fields=b"Set-Cookie: " + CANARY + b"\r\n"),
        answer(b"", "401 " + canary, b"WWW-Authenticate: " + CANARY + b"\r\n"),
        b"HTTP/1.1 200 OK\r\nX : " + CANARY + b"\r\n\r\n",
        CANARY + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CANARY,
        b"",
    ]
    turn = iter(range(10**6))

    def serve(request: Request) -> bool:
        request.say(answers[next(turn) % len(answers)])
        return True

    header = version2("127.0.0.77", 4000, vectors=vector(2, b"gw.example") + tls(1, 0))
    sessions = 0
    with Origin(serve) as origin:

        def ask(rest: bytes) -> bytes:
            line = b"POST " + origin.url("/" + canary + "?key=" + canary)
            return _heard(started, header + line + b" HTTP/1.1\r\nHost: x\r\n" + rest)

        length = b"Content-Length: %d\r\n\r\n" % len(CANARY)
        for login in logins:
            for each in (b"", fields[0]):
                ask(login + each + length + CANARY)
                sessions += 1
        for login in (logins[0], logins[1], _basic(USER, PASSWORD)):
            for each in fields:
                ask(login + each + length + CANARY)
                sessions += 1
        # The header's sender, or what it passes on, is wrong.
        whole = logins[0] + fields[0] + b"\r\n"
        for begin in (b"", header[:-1], header[:12] + b"\x31" + header[13:]):
            _heard(started, begin + b"GET / HTTP/1.1\r\nHost: x\r\n" + whole)
            sessions += 1
        asked = b"".join(head for _, head in origin.heads)
        assert CANARY in asked
        assert b"Proxy-Authorization" not in asked
    until(lambda: len(_lines(started)) >= sessions, seen=lambda: len(_lines(started)))
    found = _lines(started)
    assert {"decision", "login-failed", "refused"} == {line["event"] for line in found}
    assert {"alice", "build"} <= {line.get("user") for line in found}
    assert {"bad-answer", "destination-lost"} <= {
        line["reason"] for line in started.journal("end")
    }
    kept = b"".join(x.read_bytes() for x in started.directory.rglob("*") if x.is_file())
    for token in tokens[:6]:
        signature = token.rpartition(b".")[2]
        assert signature not in kept
        assert token.split(b".")[1] not in kept
    _clean(started)


def _lines(started: Running) -> list[dict[str, object]]:
    """A session's lines, the ends apart."""
    kinds = ("decision", "refused", "login-failed")
    return [line for line in started.journal() if line["event"] in kinds]


def test_failuresLookTheSame(started: Running) -> None:
    """
    An unknown user, a wrong password, and empty fields get the same octets,
    after which the connection ends (RFC 1929 section 2); so does a password
    that is right but for one octet, or for its case.
    """
    attempts = [
        (USER, CANARY),
        (b"nobody", CANARY),
        (b"nobody", PASSWORD),
        (USER.upper(), PASSWORD),
        (USER, PASSWORD.lower()),
        (USER, PASSWORD + b"\0"),
        (USER, PASSWORD[:-1]),
        (USER + b"\0", PASSWORD),
        (USER + b"\n", PASSWORD),
        (USER + b":" + PASSWORD, PASSWORD),
        (b"", b""),
        (USER, b""),
        (b"", PASSWORD),
        (b"anonymous", PASSWORD),
        (b"users", PASSWORD),
        (b"@users", PASSWORD),
        (PASSWORD, USER),
        (b"x" * 255, b"y" * 255),
    ]
    request = request5(four("127.0.0.1"), started.port)
    heard = {
        _heard(started, LOGIN + _login(name, password) + request)
        for name, password in attempts
    }
    assert len(heard) == 1
    (said,) = heard
    assert said[:3] == b"\x05\x02\x01"
    assert len(said) == 4
    assert said[3] != 0
    # By SOCKS 6 the connection ends, too, whatever is behind the request.
    assert {
        _heard(started, request6("127.0.0.1", 9, options=_login6(*attempt)) + request)
        for attempt in attempts
    } == {bytes.fromhex("06 01 0008 0004 0008 02 01 01 00")}
    failures = started.journal("login-failed")
    assert len(failures) == 2 * len(attempts)
    assert not started.journal("decision")
    # The one that is right still is.
    with closing(opened(started.port)) as client:
        client.sendall(LOGIN + _login(USER, PASSWORD))
        assert exactly(client, 4) == b"\x05\x02\x01\x00"


def test_noPasswordHoldsANull(tmp_path: Path) -> None:
    """
    HMAC, and so scrypt, takes a password for the same with NULLs behind it:
    none may have any, when it is set as when it is checked.
    """
    users = str(tmp_path / "users")
    made = socksgw("passwd", users, "alice", stdin="secret\0\n")
    assert made.returncode == 1
    assert "NULL" in made.stderr
    assert not (tmp_path / "users").exists()


def _without6(port: int) -> list[bytes]:
    """Requests of SOCKS 6 that bring no login, or more than one."""
    wrong, right = _login(USER, CANARY), _login(USER, PASSWORD)
    advertised = option6(2, b"\0\0\x02")
    options = [
        b"",
        # No authentication, as an offer, and as what is said by it (sections 8.2, 8.3).
        option6(2, b"\0\0\0\0"),
        option6(4, bytes(4)),
        option6(4, b"\xff" + right),
        # By another method; of no session; of a session that is to begin.
        option6(4, b"\x03" + right),
        option6(6, bytes(16)),
        option6(6, bytes(16)) + _login6(USER, PASSWORD),
        option6(6, bytes(16)) + option6(10, b""),
        option6(5, b"") + option6(11, b"\0\0\0\1") + option6(13, bytes(4)),
        # A second login, after a wrong one.
        _login6(USER, CANARY) + _login6(USER, PASSWORD),
        _login6(USER, CANARY) + advertised,
        option6(4, b"\x02" + wrong + right),
    ]
    again = request6("127.0.0.1", port)
    found = [request6("127.0.0.1", port, options=each) for each in options]
    found[-2] += right
    # By messages: another request in their place, or behind a wrong one.
    proving = request6("127.0.0.1", port, options=advertised)
    found += [proving + again, proving + wrong + right, proving + wrong + again]
    # In place of initial data, which is no message.
    early = option6(2, len(right).to_bytes(2, "big") + b"\x02")
    found.append(request6("127.0.0.1", port, options=early) + right + wrong)
    return found


def test_noLoginNoRequest(started: Running) -> None:
    """
    No way past the login: other methods, a request in its place, a second
    try, SOCKS 4; no decision is made for any, and nothing is dialled.
    """
    with Server() as echo:
        request = request5(four(echo.place[0]), echo.port)
        wrong, right = _login(USER, CANARY), _login(USER, PASSWORD)
        for octets in (
            GREETING + request,
            b"\x05\x00" + request,
            b"\x05\x01\xff" + request,
            b"\x05\x03\x00\x01\x03" + request,
            BOTH + request,
            LOGIN + request,
            LOGIN + GREETING + request,
            LOGIN + wrong + right + request,
            LOGIN + wrong + LOGIN + right + request,
            LOGIN + b"\x01\x00" + request,
            LOGIN + b"\x00\x00\x00" + request,
            request,
            right + request,
            request4(b"\x7f\0\0\1", echo.port, None, USER),
            request4(b"\0\0\0\1", echo.port, b"127.0.0.1", USER + b":" + PASSWORD),
            *_without6(echo.port),
        ):
            said = _heard(started, octets)
            assert b"\x05\x00\x00" not in said
            assert said[:2] not in (b"\0\x5a", b"\x06\x00")
            assert b"\x06\x00\x00\x00" not in said
        assert started.journal("decision") == []
        assert echo.peers == []
        # The same client, honest: RFC 1928 section 3, the server chooses.
        with closing(opened(started.port)) as client:
            client.sendall(BOTH + right + request)
            assert exactly(client, 4) == b"\x05\x02\x01\x00"
            assert replied5(client) == 0
