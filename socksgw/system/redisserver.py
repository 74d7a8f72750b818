"""
One Redis that is asked by a script, from a thread.

C{redis} (an extra) is imported as it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from typing import Any, Final, NamedTuple, final
from urllib.parse import unquote, urlsplit

from socksgw.system.files import FileError

__all__ = ["Address", "RedisFailed", "RedisServer", "addressIn"]

_PORT: Final = 6379
_PLAIN, _TLS, _UNIX = "redis", "rediss", "unix"


class RedisFailed(Exception):
    """
    Redis has not done what it was asked for, as far as is known.

    The text is one line, and holds no secret.
    """


class Address(NamedTuple):
    """
    Where a Redis is.

    @ivar host: its name or address; of a Unix socket its path.
    @ivar port: 0 of a Unix socket.
    @ivar tls: whether it speaks TLS.
    @ivar database: the number of its database.
    """

    host: str
    port: int
    tls: bool
    database: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def addressIn(url: str) -> Address:
    """
    Return where a URL leads.

    @raise ValueError: it leads to no Redis; the text says what is wrong and names
        nothing of the URL, which may hold a secret.
    """
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError:
        raise ValueError("is no URL") from None
    if found.scheme not in (_PLAIN, _TLS, _UNIX):
        raise ValueError("must begin with redis://, rediss:// (TLS) or unix://")
    if "@" in found.netloc:
        raise ValueError("must hold no user and no password: use user, password_file")
    if found.query or found.fragment:
        raise ValueError("must end after the number of the database")
    if found.scheme == _UNIX:
        path = unquote(found.path)
        if found.netloc or not path.startswith("/"):
            raise ValueError("must be like unix:///run/redis/redis.sock")
        return Address(path, 0, False, 0)
    number = found.path.strip("/")
    if not found.hostname or (number and not number.isdecimal()):
        raise ValueError("must be like redis://redis.example:6379/0")
    return Address(
        found.hostname, port or _PORT, found.scheme == _TLS, int(number or 0)
    )


@final
class RedisServer:
    """
    A connection, opened as it is needed; used by one thread at a time.
    """

    def __init__(
        self,
        address: Address,
        timeout: float,
        user: str = "",
        password: Callable[[], bytes] | None = None,
        ca: str = "",
        certificate: str = "",
        key: str = "",
    ) -> None:
        """
        Open nothing yet.

        @param timeout: seconds that one answer may take, and opening.
        @param password: returns the password; it is asked at each connection.
        @param ca: the file of the CAs of its certificate; by default the system's.
        @param certificate: the file of ours, and C{key} of its key.
        @raise ImportError: the extra is not installed.
        """
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.credentials import CredentialProvider
        from redis.retry import Retry

        class Credentials(CredentialProvider):
            """The user, and the password as its file has it now."""

            def get_credentials(self) -> tuple[str] | tuple[str, str]:
                assert password is not None
                secret = password().decode("utf-8", "surrogateescape")
                return (user, secret) if user else (secret,)

        options: dict[str, Any] = {}
        if not address.port:
            options["unix_socket_path"] = address.host
        else:
            options["host"], options["port"] = address.host, address.port
            options["socket_keepalive"] = True
        if address.tls:
            options |= {
                "ssl": True,
                "ssl_cert_reqs": "required",
                "ssl_check_hostname": True,
                "ssl_ca_certs": ca or None,
                "ssl_certfile": certificate or None,
                "ssl_keyfile": key or None,
            }
        if password is not None:
            options["credential_provider"] = Credentials()
        self._redis: Any = Redis(
            db=address.database,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # What failed is asked anew, by who knows what was asked.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            **options,
        )
        self.address = address

    def run(self, script: str, key: str, argument: bytes) -> bytes:
        """
        Have it run a script, and return what that returns.

        @param key: the one key of the script, and C{argument} its one argument.
        @raise RedisFailed: that is not known to be done.
        """
        from redis.exceptions import NoScriptError, RedisError

        name = sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            try:
                found = self._redis.execute_command("EVALSHA", name, 1, key, argument)
            except NoScriptError:
                found = self._redis.execute_command("EVAL", script, 1, key, argument)
        except (RedisError, FileError, OSError, ValueError) as e:
            # What is left of an answer must not be taken for the next one.
            self.close()
            raise RedisFailed(_line(e)) from None
        if not isinstance(found, bytes):
            raise RedisFailed("its answer is none to a script")
        return found

    def close(self) -> None:
        """Close the connection; L{run} opens another one."""
        self._redis.connection_pool.disconnect()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
