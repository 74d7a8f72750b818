"""
Three real gateways that count together in a real Redis.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.admin import AdminClient
from tests.live.clients import Server, connected, exactly, four
from tests.live.redisserver import LiveRedis
from tests.live.restarts import Restarted, restarted
from tests.live.running import HEAD
from tests.tools.waiting import until

NAMES = ("a", "b", "c")
SECRET = "canary-of-redis"

#: By sources, so that tests do not meet.
TEXT = (
    HEAD.replace(
        "[[auth.choose]]",
        """[[listen]]
name = "login"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:users"]
throttle = { per_user = 6, per_source = 100, window = "1m" }
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
[[auth.choose]]""",
        1,
    )
    + """
[[limit]]
per = "source"
sessions = 4
quota = "2MB/1d"
[[rule]]
id = "all"
allow = ["connect"]
"""
)


def cluster(redis: LiveRedis, name: str, members: Sequence[str] = NAMES) -> str:
    """Return the configuration of a member."""
    return f"""
[gateway]
name = "{name}"
[cluster]
url = "{redis.url}"
members = [{", ".join(f'"{each}"' for each in members)}]
password_file = "redis"
ttl = "3s"
timeout = "1s"
{TEXT}"""


class Three:
    """
    Three gateways.

    @ivar each: the gateways, and C{admins}: clients of their admin interfaces.
    """

    def __init__(
        self, redis: LiveRedis, each: Sequence[Restarted], sink: Server
    ) -> None:
        self.redis = redis
        self.each = each
        self.admins = [AdminClient(gateway.admin) for gateway in each]
        self._sink = sink

    def enter(self, at: int, source: str) -> tuple[socket.socket, int | None]:
        """Connect a client of one of them, and return it with the reply."""
        place = self._sink.place
        return connected(self.each[at].port, four(place[0]), place[1], source)

    def status(self, at: int) -> Any:
        """Return what one says of the cluster."""
        return self.admins[at].get("/api/status")["cluster"]

    def metrics(self, at: int) -> str:
        """Return the metrics of one."""
        return self.admins[at].ask("/metrics").octets.decode()

    def together(self) -> None:
        """Wait until all hear of each other."""

        def heard() -> bool:
            said = [self.status(at) for at in range(3)]
            return all(not each["alone"] and not each["absent"] for each in said)

        until(heard, 30)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    """Three gateways, their Redis, and a server that echoes."""
    directory = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        redis = LiveRedis(["--requirepass", SECRET])
        stack.callback(redis.close)
        sink = stack.enter_context(Server())
        found = []
        for name in NAMES:
            own = directory / name
            own.mkdir()
            for file, text in (("redis", SECRET), ("users", "")):
                (own / file).write_text(text)
                (own / file).chmod(0o600)
            text = cluster(redis, name)
            found.append(stack.enter_context(restarted(own, text)))
        three = Three(redis, found, sink)
        three.together()
        yield three
        assert not any(SECRET in each.log for each in found)


@pytest.fixture
def kept() -> Iterator[Callable[[socket.socket], None]]:
    """Keeps clients until the end of a test."""
    with ExitStack() as stack:
        yield lambda client: (stack.enter_context(closing(client)), None)[1]


def test_sessions(three: Three, kept: Callable[[socket.socket], None]) -> None:
    """Four of one source, wherever they are; whoever leaves makes room anywhere."""
    clients = []
    for at in (0, 1, 2, 0):
        client, reply = three.enter(at, "127.0.0.2")
        kept(client)
        assert reply == 0
        clients.append(client)
    for at in (0, 1, 2):
        client, reply = three.enter(at, "127.0.0.2")
        kept(client)
        assert reply == 1
        line = three.each[at].journal("decision")[-1]
        assert "4 sessions per source" in line["why"]
    client, reply = three.enter(2, "127.0.0.3")
    kept(client)
    assert reply == 0
    clients[1].close()

    def enters() -> bool:
        client, reply = three.enter(2, "127.0.0.2")
        kept(client)
        return reply == 0

    until(enters, 20)
    client, reply = three.enter(0, "127.0.0.2")
    kept(client)
    assert reply == 1


def test_quota(three: Three, kept: Callable[[socket.socket], None]) -> None:
    """Octets of one source, both ways, end where the quota does, wherever they move."""
    source, moved = "127.0.0.4", 0
    clients = []
    for at in range(3):
        client, reply = three.enter(at, source)
        kept(client)
        assert reply == 0
        clients.append(client)
    block = bytes(10_000)
    for _ in range(200):
        for client in list(clients):
            try:
                client.sendall(block)
                came = exactly(client, len(block))
            except OSError:
                came = b""
            moved += len(came)
            if len(came) < len(block):
                clients.remove(client)
        if not clients:
            break
    assert clients == []
    assert 950_000 <= moved <= 1_000_000

    def ended() -> list[Any]:
        return [
            each
            for gateway in three.each
            for each in gateway.journal("end")
            if each.get("reason") == "quota"
        ]

    until(lambda: len(ended()) == 3, 20)
    assert sum(each["sent"] + each["received"] for each in ended()) <= 2_000_000
    client, reply = three.enter(1, source)
    kept(client)
    assert reply == 2


def test_failedLogins(three: Three) -> None:
    """Wrong passwords of one name from one source count wherever they are tried."""

    def fail(at: int, number: int) -> None:
        with raw.dial(three.each[at].ports[1], source=("127.0.0.5", 0)) as client:
            client.sendall(b"\x05\x01\x02")
            assert raw.exactly(client, 2) == b"\x05\x02"
            client.sendall(raw.login(b"bob", b"%d" % number))
            assert raw.exactly(client, 2)[1] != 0

    def refused(at: int) -> int:
        (line,) = [
            each
            for each in three.metrics(at).splitlines()
            if each.startswith("socksgw_throttle_blocked ")
        ]
        return int(float(line.split()[1]))

    assert [refused(at) for at in range(3)] == [0, 0, 0]
    for number in range(6):
        fail(number % 3, number)
    until(lambda: all(refused(at) == 1 for at in range(3)), 20)


def test_redisHangs(three: Three, kept: Callable[[socket.socket], None]) -> None:
    """
    Members are alone for as long: one of four sessions each. That is said once, and
    stands in the status, in metrics and beside readiness.
    """
    source = "127.0.0.6"
    for each in three.each:
        each.mark = len(each.log)  # type: ignore[attr-defined]
    three.redis.hang(True)
    try:
        replies = []
        for at in (0, 1, 2, 0, 1):
            client, reply = three.enter(at, source)
            kept(client)
            replies.append(reply)
        assert replies == [0, 0, 0, 1, 1]
        said = three.status(0)
        assert said["alone"]
        assert "Redis is out of reach" in said["why"]
        ready = three.admins[0].get("/readyz")
        assert ready["ready"]
        assert ready["remarks"] == [said["why"]]
        # Metrics are made once a second at most.
        until(lambda: "\nsocksgw_cluster_alone 1.0" in three.metrics(0), 20)
        printed = three.each[0].command("status").stdout
        assert "out of reach" in printed
    finally:
        three.redis.hang(False)
    three.together()
    for each in three.each:
        log = each.log[each.mark :]  # type: ignore[attr-defined]
        assert log.count("Redis is out of reach") == 1
        assert log.count("limits are counted together again") == 1
    client, reply = three.enter(0, source)
    kept(client)
    assert reply == 0
    client, reply = three.enter(1, source)
    kept(client)
    assert reply == 1


def test_redisForgets(three: Three, kept: Callable[[socket.socket], None]) -> None:
    """It is killed, and has nothing when it is back: what lives counts as before."""
    source = "127.0.0.7"
    for at in (0, 0, 1):
        client, reply = three.enter(at, source)
        kept(client)
        assert reply == 0
    three.redis.kill()
    three.redis.start()
    client, reply = three.enter(2, source)
    kept(client)
    assert reply == 0
    for at in range(3):
        client, reply = three.enter(at, source)
        kept(client)
        assert reply == 1
    three.together()


def test_redisDrops(three: Three, kept: Callable[[socket.socket], None]) -> None:
    """
    It has dropped who the members are: they count as before, and each warns once that
    this may be.
    """
    from redis import Redis

    source = "127.0.0.10"
    for at in (0, 0, 1):
        client, reply = three.enter(at, source)
        kept(client)
        assert reply == 0
    redis = Redis(unix_socket_path=str(three.redis.socket), password=SECRET)
    redis.config_set("maxmemory", "1gb")
    redis.config_set("maxmemory-policy", "allkeys-lru")
    for _ in range(2):
        (members,) = redis.keys("*:members")
        redis.delete(members)
        three.together()
    client, reply = three.enter(2, source)
    kept(client)
    assert reply == 0
    for at in range(3):
        client, reply = three.enter(at, source)
        kept(client)
        assert reply == 1
        log = three.each[at].log
        assert log.count("(maxmemory-policy allkeys-lru)") == 1
    redis.config_set("maxmemory", "0")
    redis.close()


def test_restart(three: Three, kept: Callable[[socket.socket], None]) -> None:
    """The process that takes over counts the sessions that it gets, and those left."""
    source = "127.0.0.8"
    clients = []
    for at in (0, 0, 1):
        client, reply = three.enter(at, source)
        kept(client)
        clients.append(client)
        assert reply == 0
    three.each[0].restart()
    three.together()
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    client, reply = three.enter(0, source)
    kept(client)
    assert reply == 0
    for at in range(3):
        client, reply = three.enter(at, source)
        kept(client)
        assert reply == 1


def test_reload(three: Three, kept: Callable[[socket.socket], None]) -> None:
    """
    A member that is stopped has its share kept, and the others name it; a reload
    without it lets them have all. It comes back.
    """
    source = "127.0.0.9"
    gone = three.each[2]
    before = (gone.directory / "gw.toml").read_text()
    gone.healthy()

    def free(at: int) -> bool:
        client, reply = three.enter(at, source)
        kept(client)
        return reply == 0

    assert [free(0), free(1), free(0), free(1)] == [True, True, True, False]
    until(lambda: three.status(0)["absent"] == ["c"], 20)
    until(lambda: 'no word from member "c"' in three.each[0].log, 20)
    for at in (0, 1):
        file = three.each[at].directory / "gw.toml"
        file.write_text(file.read_text().replace(', "c"]', "]"))
        assert three.each[at].command("reload").returncode == 0
    until(lambda: free(0), 20)
    assert not free(1)
    assert three.status(1)["members"] == ["a", "b"]
    # It is started again, and the others are told.
    (gone.directory / "log").unlink()
    with restarted(gone.directory, before.partition("[admin]")[0]) as back:
        for at in (0, 1):
            file = three.each[at].directory / "gw.toml"
            file.write_text(file.read_text().replace('"b"]', '"b", "c"]'))
            assert three.each[at].command("reload").returncode == 0
        until(lambda: three.status(0)["absent"] == [], 20)
        assert AdminClient(back.admin).get("/api/status")["cluster"]["absent"] == []


def test_wrongPassword(three: Three, tmp_path: Path) -> None:
    """The log says so, without it; a file that is mended is used without a reload."""
    (tmp_path / "redis").write_text("canary-that-is-wrong")
    (tmp_path / "users").write_text("")
    for file in ("redis", "users"):
        (tmp_path / file).chmod(0o600)
    text = cluster(three.redis, "z", ["z"]).replace(
        "[cluster]", '[cluster]\nname = "y"'
    )
    with restarted(tmp_path, text) as gateway:
        until(lambda: "Redis is out of reach" in gateway.log, 30)
        assert "password" in gateway.log.lower()
        assert "canary" not in gateway.log
        (tmp_path / "redis").write_text(SECRET)
        until(lambda: "counted together again" in gateway.log, 30)
