"""
A real Redis that is asked: with a password, over TLS, and when it does not answer.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from socksgw.system.files import FileError
from socksgw.system.redisserver import Address, RedisFailed, RedisServer, addressIn
from tests.live.redisserver import LiveRedis
from tests.live.servers import freePort
from tests.tools.certificates import CLIENT, Authority, email, pemOf, server
from tests.tools.waiting import until

ECHO = "return ARGV[1] .. KEYS[1]"


@pytest.mark.parametrize(
    ("url", "address", "text"),
    [
        ("redis://a.example", ("a.example", 6379, False, 0), "a.example:6379"),
        ("rediss://[::1]:7/3", ("::1", 7, True, 3), "[::1]:7"),
        ("unix:///run/a%20b.sock", ("/run/a b.sock", 0, False, 0), "/run/a b.sock"),
    ],
)
def test_addresses(url: str, address: tuple[str, int, bool, int], text: str) -> None:
    """What URLs lead to."""
    assert addressIn(url) == Address(*address)
    assert str(addressIn(url)) == text


@pytest.fixture(scope="module")
def secured(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LiveRedis, Path, int]]:
    """A Redis with TLS, that wants certificates and a password; its files, its port."""
    directory = tmp_path_factory.mktemp("redis")
    authority = Authority()
    server(authority).write(directory, "redis")
    authority.issue(email("gw@corp.example"), usage=(CLIENT,)).write(directory, "gw")
    (directory / "ca.pem").write_bytes(pemOf(authority.certificate))
    stranger = Authority("Another CA")
    (directory / "stranger.pem").write_bytes(pemOf(stranger.certificate))
    port = freePort(kind=socket.SOCK_STREAM)
    redis = LiveRedis(
        [
            *("--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1"),
            *("--tls-cert-file", str(directory / "redis.pem")),
            *("--tls-key-file", str(directory / "redis.key")),
            *("--tls-ca-cert-file", str(directory / "ca.pem")),
            *("--requirepass", "right"),
        ]
    )
    yield redis, directory, port
    redis.close()


def test_tls(secured: tuple[LiveRedis, Path, int]) -> None:
    """
    Name, CA, own certificate and password have to be right; no error has the password.
    """
    _, directory, port = secured
    own = {
        "ca": str(directory / "ca.pem"),
        "certificate": str(directory / "gw.pem"),
        "key": str(directory / "gw.key"),
    }

    def ask(host: str, password: bytes, **files: str) -> bytes:
        asked = RedisServer(
            Address(host, port, True, 0), 5.0, "", lambda: password, **files
        )
        try:
            return asked.run(ECHO, "k", b"v")
        finally:
            asked.close()

    assert ask("localhost", b"right", **own) == b"vk"
    with pytest.raises(RedisFailed, match=r"CERTIFICATE_VERIFY_FAILED.*127\.0\.0\.1"):
        ask("127.0.0.1", b"right", **own)
    with pytest.raises(RedisFailed, match="CERTIFICATE_VERIFY_FAILED"):
        ask("localhost", b"right", **{**own, "ca": str(directory / "stranger.pem")})
    with pytest.raises(RedisFailed, match="CERTIFICATE_VERIFY_FAILED"):
        ask("localhost", b"right", certificate=own["certificate"], key=own["key"])
    with pytest.raises(RedisFailed):
        ask("localhost", b"right", ca=own["ca"])
    with pytest.raises(RedisFailed) as found:
        ask("localhost", b"canary-wrong", **own)
    assert "canary" not in str(found.value)
    assert "password" in str(found.value).lower()


def test_hangs() -> None:
    """An answer that comes too late is never taken for the next one."""
    redis = LiveRedis()
    try:
        asked = RedisServer(addressIn(redis.url), 0.2)
        assert asked.run(ECHO, "a", b"1") == b"1a"
        redis.hang(True)
        for text in (b"2", b"3"):
            with pytest.raises(RedisFailed, match="Timeout"):
                asked.run(ECHO, "a", text)
        redis.hang(False)
        until(lambda: asked.run(ECHO, "a", b"4") == b"4a", 5)
        # It forgets the script.
        redis.client().script_flush()
        assert asked.run(ECHO, "a", b"5") == b"5a"
        with pytest.raises(RedisFailed, match="none to a script"):
            asked.run("return 7", "a", b"")
        with pytest.raises(RedisFailed, match="oh dear"):
            asked.run("return redis.error_reply('oh dear')", "a", b"")
        redis.kill()
        with pytest.raises(RedisFailed):
            asked.run(ECHO, "a", b"6")
        redis.start()
        assert asked.run(ECHO, "a", b"7") == b"7a"
        asked.close()
    finally:
        redis.close()


def test_theFileOfThePassword(secured: tuple[LiveRedis, Path, int]) -> None:
    """One that cannot be read is a failure as any other."""
    redis, _, _ = secured

    def password() -> bytes:
        raise FileError("word: is empty")

    asked = RedisServer(addressIn(redis.url), 1.0, "", password)
    with pytest.raises(RedisFailed, match="word: is empty"):
        asked.run(ECHO, "a", b"")
    asked = RedisServer(addressIn(redis.url), 1.0, "default", lambda: b"right")
    assert asked.run(ECHO, "a", os.fsencode("ü")) == "üa".encode()
    asked.close()
