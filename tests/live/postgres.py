"""
A real PostgreSQL server of our own.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.live.servers import freePort, missing, package
from tests.tools.waiting import until

__all__ = ["Postgres"]

#: Where Debian keeps what the commands in the path only call.
_HOMES = Path("/usr/lib/postgresql")
_HBA = """
local all postgres trust
host all all 127.0.0.1/32 scram-sha-256
"""


def _binaries() -> Path:
    """Return the directory of the newest server; without one the test is skipped."""
    found = sorted(_HOMES.glob("*/bin"), key=lambda each: int(each.parent.name))
    if not found:
        missing("PostgreSQL (Debian's package postgresql)")
    return found[-1]


class Postgres:
    """
    A server with an administrator who comes over a Unix socket, and others who come
    over loopback with a password.

    @ivar port: of both.
    """

    def __init__(self) -> None:
        package("psycopg")
        self._bin = _binaries()
        # It refuses to run as root, whose temporary directories it could not enter.
        self._user = "postgres" if os.geteuid() == 0 else None
        self.directory = Path(tempfile.mkdtemp(prefix="socksgw-pg-"))
        if self._user is not None:
            found = pwd.getpwnam(self._user)
            os.chown(self.directory, found.pw_uid, found.pw_gid)
        self._data = self.directory / "data"
        self.port = freePort(kind=socket.SOCK_STREAM)
        initdb = ["initdb", "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8"]
        self._run([*initdb, "--locale=C", "-D", str(self._data)])
        (self._data / "pg_hba.conf").write_text(_HBA)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def _options(self) -> dict[str, Any]:
        return {"user": self._user, "group": self._user, "cwd": self.directory}

    def _run(self, command: list[str]) -> None:
        command[0] = str(self._bin / command[0])
        done = subprocess.run(
            command, capture_output=True, timeout=60, check=False, **self._options()
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start it, also after it was killed, and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.directory,
            # The power does not fail here, and a process that is killed loses nothing.
            "fsync": "off",
            "max_connections": 40,
            "shared_buffers": "16MB",
        }
        command = [str(self._bin / "postgres"), "-D", str(self._data)]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]

        def begun() -> bool:
            if self._process is None or self._process.poll() is not None:
                # Those of a killed one need a moment to end.
                with (self.directory / "log").open("ab") as log:
                    self._process = subprocess.Popen(
                        command, stdout=log, stderr=log, **self._options()
                    )
            return self._answers()

        until(begun, 60)

    def _answers(self) -> bool:
        import psycopg

        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False

    def connect(self, database: str = "postgres") -> Any:
        """Connect as the administrator; each statement is a transaction."""
        import psycopg

        return psycopg.connect(
            host=str(self.directory),
            port=self.port,
            user="postgres",
            dbname=database,
            autocommit=True,
        )

    def query(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        """Return what a query of the administrator yields."""
        with self.connect(database) as connection:
            found: list[tuple[Any, ...]] = connection.execute(statement).fetchall()
            return found

    def database(self, name: str) -> str:
        """Make a database, of a role of the same name, and return its URL."""
        with self.connect() as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p%{name}'")
            connection.execute(f"CREATE DATABASE {name} OWNER {name}")
        return f"postgresql://{name}:p%25{name}@127.0.0.1:{self.port}/{name}"

    def kill(self) -> None:
        """Kill the server with all its processes' parent; they end by themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def close(self) -> None:
        """Stop it, and remove what it had."""
        assert self._process is not None
        # At once, whoever is connected.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        shutil.rmtree(self.directory)
