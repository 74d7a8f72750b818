"""
A Kerberos realm on loopback: MIT's KDC, its principals, and clients' tickets.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tests.live import raw
from tests.live.servers import Daemon, freePort, program

#: The user, and the password that gets the first ticket.
USER, PASSWORD = "alice", "correct-horse-kerberos"


class Realm:
    """
    A realm whose KDC runs; everything of it is in one folder.

    @ivar name: its name.
    @ivar keytab: the keys of the services.
    @ivar environment: what its clients and servers need to find it.
    """

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True)
        self.name = name
        self.directory = directory
        self.keytab = directory / "gw.keytab"
        # The same number for UDP and TCP.
        self._port = freePort(kind=socket.SOCK_STREAM)
        config, profile = directory / "krb5.conf", directory / "kdc.conf"
        config.write_text(
            f"""
[libdefaults]
 default_realm = {name}
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
 forwardable = true
[realms]
 {name} = {{
  kdc = 127.0.0.1:{self._port}
 }}
[domain_realm]
 localhost = {name}
"""
        )
        profile.write_text(
            f"""
[kdcdefaults]
 kdc_listen = 127.0.0.1:{self._port}
 kdc_tcp_listen = 127.0.0.1:{self._port}
[realms]
 {name} = {{
  database_name = {directory}/principal
  key_stash_file = {directory}/stash
  acl_file = {directory}/acl
  max_life = 1h
 }}
"""
        )
        self.environment = {
            "KRB5_CONFIG": str(config),
            "KRB5_KDC_PROFILE": str(profile),
            "KRB5RCACHEDIR": str(directory),
            "KRB5CCNAME": f"FILE:{directory}/nobody",
            "KRB5_KTNAME": f"FILE:{directory}/none",
        }
        self._run("kdb5_util", "krb5-kdc", "create", "-s", "-P", "throw-away")

    def _run(self, name: str, package: str, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [program(name, package), *arguments],
            env={**os.environ, **self.environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def administer(self, *commands: str) -> None:
        """Commands of kadmin."""
        self._run("kadmin.local", "krb5-admin-server", stdin="\n".join(commands) + "\n")

    def services(self, keytab: Path, *principals: str) -> Path:
        """Make a keytab with the keys of these services."""
        for principal in principals:
            self.administer(f"addprinc -randkey {principal}")
            self.administer(f"ktadd -k {keytab} {principal}")
        return keytab

    def user(self, name: str, password: str = PASSWORD) -> None:
        """Somebody who can get tickets."""
        self.administer(f"addprinc -pw {password} {name}")

    @contextmanager
    def running(self) -> Iterator[Realm]:
        """Run the KDC for as long as the context lasts."""
        path = program("krb5kdc", "krb5-kdc")
        environment = {**os.environ, **self.environment}
        log = self.directory / "kdc.log"
        command = [path, "-n", "-P", str(self.directory / "pid")]
        with Daemon(command, self._port, log, environment):
            yield self

    def tickets(
        self, name: str = USER, password: str = PASSWORD, life: str = "10m"
    ) -> dict[str, str]:
        """
        Get a user a ticket, and return the environment with it.
        """
        cache = f"FILE:{self.directory}/tickets-{name.replace('/', '-')}-{life}"
        found = {**self.environment, "KRB5CCNAME": cache}
        done = subprocess.run(
            [program("kinit", "krb5-user"), "-l", life, "-c", cache, name],
            env={**os.environ, **found},
            input=f"{password}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return found


@contextmanager
def within(environment: dict[str, str]) -> Iterator[None]:
    """Let this process's own library use these tickets."""
    with mock.patch.dict(os.environ, environment):
        yield


def initiator(service: str = "rcmd@localhost", sequence: bool = True) -> Any:
    """
    Make the client's side of a context, as RFC 1961 section 3.2 asks for it.

    @param sequence: for streams, and not for datagrams.
    """
    import gssapi

    flags = gssapi.RequirementFlag
    asked = flags.mutual_authentication | flags.replay_detection
    asked |= flags.confidentiality | flags.integrity | flags.delegate_to_peer
    if sequence:
        asked |= flags.out_of_sequence_detection
    name = gssapi.Name(service, gssapi.NameType.hostbased_service)
    return gssapi.SecurityContext(
        name=name, mech=gssapi.MechType.kerberos, flags=asked, usage="initiate"
    )


def frame(kind: int, token: bytes) -> bytes:
    """RFC 1961 section 3.4: ver, mtyp, len, token."""
    return bytes((1, kind)) + len(token).to_bytes(2, "big") + token


class Client:
    """
    A client of RFC 1961, said by hand. Its context is one of the library's,
    or anything that wraps and unwraps alike.

    @ivar connection: its connection to the gateway.
    """

    def __init__(self, port: int, context: Any) -> None:
        self.connection = raw.dial(port)
        self.context = context
        self._secret = False
        self._ahead = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def message(self, kind: int) -> bytes:
        """Read the token of the next message; an abort has none."""
        version, found = raw.exactly(self.connection, 2)
        assert version == 1
        assert found == kind, "aborted" if found == 0xFF else found
        length = int.from_bytes(raw.exactly(self.connection, 2), "big")
        return raw.exactly(self.connection, length)

    def greet(self) -> None:
        """RFC 1928 section 3: GSSAPI is offered, and nothing else."""
        self.connection.sendall(b"\x05\x01\x01")
        assert raw.exactly(self.connection, 2) == b"\x05\x01"

    def login(self, level: int, halfway: Callable[[], object] | None = None) -> Client:
        """
        Sections 3 and 4; the level is granted.

        @param halfway: called when half of the first token is sent.
        """
        self.greet()
        token = self.context.step()
        while not self.context.complete:
            message = frame(1, token)
            if halfway is not None:
                half = len(message) // 2
                self.connection.sendall(message[:half])
                message = message[half:]
                halfway()
                halfway = None
            self.connection.sendall(message)
            token = self.context.step(self.message(1))
        asked = self.context.wrap(bytes((level,)), False).message
        self.connection.sendall(frame(2, asked))
        assert self.context.unwrap(self.message(2)).message == bytes((level,))
        self._secret = level == 2
        return self

    def wrapped(self, octets: bytes) -> bytes:
        """Section 5: a message that holds these."""
        return frame(3, self.context.wrap(octets, self._secret).message)

    def unwrapped(self, token: bytes) -> bytes:
        """Unwrap a token, which must be as secret as was agreed."""
        octets, secret, _ = self.context.unwrap(token)
        assert secret == self._secret
        found: bytes = octets
        return found

    def send(self, octets: bytes) -> None:
        """Send."""
        self.connection.sendall(self.wrapped(octets))

    def receive(self) -> bytes:
        """Read some octets; none at the end."""
        if self._ahead:
            octets, self._ahead = self._ahead, b""
            return octets
        if not self.connection.recv(1, socket.MSG_PEEK):
            return b""
        return self.unwrapped(self.message(3))

    def exactly(self, count: int) -> bytes:
        """As many octets."""
        octets = b""
        while len(octets) < count:
            came = self.receive()
            assert came, f"ended after {octets!r}"
            octets += came
        octets, self._ahead = octets[:count], octets[count:]
        return octets

    def request(
        self, host: str | bytes, port: int, command: int = 1
    ) -> tuple[str, int]:
        """
        RFC 1928 section 4, and its reply of success.

        @return: the bound address and port.
        """
        self.send(raw.request5(host, port, command))
        head = self.exactly(4)
        assert head == b"\x05\x00\x00\x01", head
        address = socket.inet_ntoa(self.exactly(4))
        return address, int.from_bytes(self.exactly(2), "big")
