"""
Clients by every transport that the gateway takes, which all look like a socket.

This is the one place that knows them: what is tested of a session is tested over
each name in L{TRANSPORTS}.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL

from socksgw.client import Login, PasswordLogin
from socksgw.client.logins.gssapi import GssapiLogin
from socksgw.plugins.gssapi_stub import StubInitiator
from tests.fakes.gssapi import StubTickets
from tests.live import raw
from tests.live.asking import Way, asking, stopAsking
from tests.live.kerberos import frame
from tests.live.protocols import PROTOCOLS, Protocol
from tests.live.running import LOOPBACK, Running, running, socksgw
from tests.tools import proxyheaders
from tests.tools.certificates import Authority, pemOf, server

__all__ = [
    "ASKED",
    "ASKED5",
    "SPOKEN",
    "Serving",
    "TRANSPORTS",
    "Channel",
    "opened",
    "serving",
]

REALM = "CORP.EXAMPLE"
USER, PASSWORD = "alice", "correct-horse"
#: An abstract name, since paths of temporary files may be too long.
_PATH = f"@socksgw-transports-{os.getpid()}"
_RULES = (
    """
[[rule]]
id = "forbidden"
deny = "any"
to = ["127.0.0.9"]
[[rule]]
id = "all"
allow = ["connect", "bind", "udp"]
"""
    + LOOPBACK
)
#: A listener for each transport, in the order of L{TRANSPORTS}.
CONFIGURATION = f"""
[[listen]]
name = "plain"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[[listen]]
name = "gssapi"
address = ["127.0.0.1:0"]
[[listen]]
name = "tls+gssapi"
address = ["127.0.0.1:0"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[[listen]]
name = "inside"
address = ["127.0.0.1:0"]
[[listen]]
name = "tcp"
endpoint = "tcp:0:interface=127.0.0.1"
protocols = ["socks5", "socks4", "socks6", "http"]
[[listen]]
name = "ssl"
endpoint = "ssl:0:interface=127.0.0.1:privateKey=gw.key:certKey=gw.pem"
protocols = ["socks5", "socks4", "socks6", "http"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6", "http"]
[[listen]]
name = "unix"
address = ["unix:{_PATH}"]
protocols = ["socks5", "socks4", "socks6", "http"]
[auth]
checkers = ["passwd:users"]
strip_realms = ["{REALM}"]
gssapi = {{ mechanism = "stub", protection = ["confidentiality"] }}
[auth.tls]
certificate = "gw.pem"
key = "gw.key"
[[auth.choose]]
listener = ["gssapi", "tls+gssapi"]
methods = ["gssapi"]
[[auth.choose]]
listener = ["inside"]
methods = ["tls"]
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
[[auth.choose]]
methods = ["none"]
"""
#: The same for those that name a client: such listeners are not of this machine alone.
PROXIED = """
[[listen]]
name = "proxy1"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
proxy_protocol_from = ["127.0.0.1"]
[[listen]]
name = "proxy2"
endpoint = "tcp:0:interface=127.0.0.1"
protocols = ["socks5", "socks4", "socks6", "http"]
proxy_protocol_from = ["127.0.0.1"]
[[listen]]
name = "proxy+tls"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
proxy_protocol_from = ["127.0.0.1"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
"""
HANDSHAKE, OPTIONS, DATA, CLOSING = 1, 2, 3, 4


class Serving(Running):
    """
    Two gateways, which look like one.

    @ivar authority: the file of the authority that the first one's name is verified by.
    """

    def __init__(self, authority: Path, *gateways: Running) -> None:
        self.authority = str(authority)
        self._gateways = gateways

    @property
    def ports(self) -> list[int]:
        return [port for each in self._gateways for port in each.ports]

    def journal(self, event: str | None = None) -> list[dict[str, Any]]:
        # Each numbers its sessions. The latest line about a port has to be the last:
        # a port is used again by another server.
        lines = [
            {**line, "session": (number, line.get("session"))}
            for number, each in enumerate(self._gateways)
            for line in each.journal(event)
        ]
        return sorted(lines, key=lambda line: str(line["time"]))


@contextmanager
def serving(
    directory: Path, rules: str = _RULES, workers: int = 0
) -> Iterator[Serving]:
    """
    Run what has a listener for each transport.

    @param rules: what follows the listeners and logins in the configuration.
    @param workers: how many processes serve clients, where more than one does.
    """
    if workers:
        rules += f"\n[gateway]\nworkers = {workers}\n"
    alone, proxied = directory / "alone", directory / "proxied"
    for each in (alone, proxied):
        each.mkdir()
        _prepare(each)
    run = contextmanager(running)
    with (
        run(alone, CONFIGURATION + rules) as first,
        run(proxied, PROXIED + rules) as second,
    ):
        try:
            yield Serving(alone / "ca.pem", first, second)
        finally:
            stopAsking()


def _prepare(directory: Path) -> None:
    """Write what the gateway shows, and who its user is."""
    authority = Authority()
    server(authority).write(directory, "gw")
    (directory / "ca.pem").write_bytes(pemOf(authority.certificate))
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr


class Channel:
    """
    A client's end of a connection to the gateway: a plain socket.

    @cvar halfCloses: whether it can end its side and read on.
    @cvar tellsCut: whether it can tell the orderly end from another.
    @cvar resets: whether it can end with a reset.
    @cvar datagrams: whether it may have some beside the connection.
    @cvar secured: the level that a record shows; L{None} for none.
    @cvar protocols: what may be spoken over it.
    @cvar source: how the client begins that a record shows.
    @ivar protocol: what is spoken.
    """

    halfCloses = True
    tellsCut = True
    resets = datagrams = True
    secured: str | None = None
    protocols = tuple(PROTOCOLS)
    source = "127.0.0.1:"

    def __init__(self, port: int) -> None:
        self.plain = raw.dial(port)

    def login(self, protocol: Protocol) -> None:
        """Say everything up to the request."""
        self.protocol = protocol
        self.sendall(protocol.greeting)
        greeted = raw.exactly(self.socket, len(protocol.greeted))
        assert greeted == protocol.greeted

    def ask(self, host: str, port: int, behind: bytes = b"") -> int:
        """Ask for a connection, and read the answer."""
        self.sendall(self.protocol.request(host, port) + behind)
        return self.protocol.reply(self.socket)

    def connect(self, port: int, behind: bytes = b"") -> None:
        """Ask for one to a server on this machine, which is granted."""
        assert self.ask("127.0.0.1", port, behind) == self.protocol.granted

    @property
    def socket(self) -> Any:
        """This, for what takes a socket."""
        return self

    def sendall(self, octets: bytes) -> None:
        self.plain.sendall(octets)

    def recv(self, count: int) -> bytes:
        return self.plain.recv(count)

    def shutdown(self, how: int) -> None:
        """End our side."""
        self.plain.shutdown(how)

    def wrapped(self, datagram: bytes) -> bytes:
        """What stands for a datagram beside the connection."""
        return datagram

    def unwrapped(self, octets: bytes) -> bytes:
        """The datagram that these stand for."""
        return octets

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.plain.close()


class Unix(Channel):
    """On a Unix socket, whose ends are all orderly."""

    resets = datagrams = tellsCut = False

    def __init__(self, port: int) -> None:
        self.plain = raw.dialPath(_PATH.replace("@", "\0"))


class TLS(Channel):
    """With TLS around it; an end without TLS's own word for it is an error."""

    secured = "confidentiality"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._begin()
        self._shake()

    def _begin(self) -> None:
        self.tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self.tls.set_connect_state()

    def _put(self, octets: bytes) -> None:
        self.plain.sendall(octets)

    def _take(self) -> bytes:
        return self.plain.recv(1 << 16)

    def _push(self) -> None:
        """Send what TLS has to say."""
        try:
            while True:
                self._put(self.tls.bio_read(1 << 16))
        except SSL.WantReadError:
            pass

    def _pull(self) -> None:
        """Have TLS hear what comes."""
        octets = self._take()
        if not octets:
            raise ConnectionResetError("cut off, without TLS's word for the end")
        self.tls.bio_write(octets)

    def _shake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except SSL.WantReadError:
                self._push()
                self._pull()
            else:
                self._push()
                return

    def sendall(self, octets: bytes) -> None:
        for start in range(0, len(octets), 16384):
            self.tls.send(octets[start : start + 16384])
            self._push()

    def recv(self, count: int) -> bytes:
        while True:
            try:
                return self.tls.recv(count)
            except SSL.WantReadError:
                self._pull()
            except SSL.ZeroReturnError:
                return b""

    def shutdown(self, how: int) -> None:
        self.tls.shutdown()
        self._push()


class SSLEndpoint(TLS):
    """The same at a listener that is one of Twisted's endpoints."""

    # Twisted's TLS ends both sides together, and in order.
    halfCloses = tellsCut = False


class GSSAPI(Channel):
    """Protected by the stub of a GSSAPI mechanism (RFC 1961), which has no end."""

    secured = "confidentiality"
    tellsCut = False
    protocols = ("socks5",)
    _ahead = b""

    def login(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._write(b"\x05\x01\x01")
        assert self._read(2) == b"\x05\x01"
        initiator = StubInitiator(f"{USER}@{REALM}")
        self._write(frame(1, initiator.first))
        self.tokens = initiator.established(self._message(1))
        self._write(frame(2, self.tokens.wrap(b"\x02", False)))
        assert self.tokens.unwrap(self._message(2))[0] == b"\x02"

    def _write(self, octets: bytes) -> None:
        super().sendall(octets)

    def _some(self, count: int) -> bytes:
        return super().recv(count)

    def _read(self, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            came = self._some(count - len(octets))
            if not came:
                break
            octets += came
        return octets

    def _message(self, kind: int) -> bytes:
        head = self._read(4)
        if not head:
            return b""
        assert head[:2] == bytes((1, kind))
        return self._read(int.from_bytes(head[2:], "big"))

    def sendall(self, octets: bytes) -> None:
        for start in range(0, len(octets), 60_000):
            part = octets[start : start + 60_000]
            self._write(frame(3, self.tokens.wrap(part, True)))

    def wrapped(self, datagram: bytes) -> bytes:
        return frame(3, self.tokens.wrap(datagram, True))

    def unwrapped(self, octets: bytes) -> bytes:
        assert octets[:2] == b"\1\3"
        return self.tokens.unwrap(octets[4:])[0]

    def recv(self, count: int) -> bytes:
        if not self._ahead:
            token = self._message(3)
            self._ahead = self.tokens.unwrap(token)[0] if token else b""
        found, self._ahead = self._ahead[:count], self._ahead[count:]
        return found


class GSSAPIInTLS(GSSAPI):
    """The same with TLS around it, which has one."""

    tellsCut = True

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.plain.close()
        self._below = TLS(port)
        self.plain = self._below.plain

    def _write(self, octets: bytes) -> None:
        self._below.sendall(octets)

    def _some(self, count: int) -> bytes:
        return self._below.recv(count)

    def shutdown(self, how: int) -> None:
        self._below.shutdown(how)


class Inside(TLS):
    """TLS inside SOCKS (draft-ietf-aft-socks-ssl-00)."""

    protocols = ("socks5",)
    _state = HANDSHAKE

    def _begin(self) -> None:
        self.plain.sendall(b"\x05\x01\x06")
        assert raw.exactly(self.plain, 2) == b"\x05\x06"
        super()._begin()

    def login(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._state = OPTIONS
        # A login inside, and datagrams unprotected beside it.
        self.sendall(b"\x02\x01\x10")
        assert raw.exactly(self.socket, 3) == b"\x02\x01\x10"
        self.sendall(raw.GREETING_LOGIN)
        assert raw.exactly(self.socket, 2) == b"\x05\x02"
        self.sendall(raw.login(USER.encode(), PASSWORD.encode()))
        assert raw.exactly(self.socket, 2) == b"\x01\x00"
        self._state = DATA

    def _put(self, octets: bytes) -> None:
        head = bytes((1, self._state)) + len(octets).to_bytes(2, "big")
        self.plain.sendall(head + octets)

    def _take(self) -> bytes:
        first = self.plain.recv(1)
        if not first:
            return b""
        length = raw.exactly(self.plain, 3)[1:]
        return raw.exactly(self.plain, int.from_bytes(length, "big"))

    def shutdown(self, how: int) -> None:
        self._state = CLOSING
        super().shutdown(how)
        self.plain.shutdown(how)


class Proxied(Channel):
    """By a proxy in front, which tells by a line who the client is."""

    source = "127.0.0.77:"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.plain.sendall(proxyheaders.line("127.0.0.77", 7777))


class ProxiedTwo(Channel):
    """The same in version 2, with a checksum."""

    source = "127.0.0.78:"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        told = proxyheaders.vector(2, b"gw.example")
        header = proxyheaders.version2("127.0.0.78", 7778, vectors=told)
        self.plain.sendall(proxyheaders.checked(header))


class ProxiedTLS(TLS):
    """By a proxy that passes TLS through; the header and TLS come in one segment."""

    source = "127.0.0.79:"
    _header = proxyheaders.version2("127.0.0.79", 7779)

    def _put(self, octets: bytes) -> None:
        self.plain.sendall(self._header + octets)
        self._header = b""


class LoggedIn(Channel):
    """With a user and a password (RFC 1929, RFC 7617)."""

    protocols = ("socks5", "socks6", "http")

    def login(self, protocol: Protocol) -> None:
        self.protocol = protocol
        if protocol is PROTOCOLS["socks6"]:
            self.protocol = protocol._replace(
                request=self._request6, reply=self._reply6
            )
        elif protocol is PROTOCOLS["socks5"]:
            self.sendall(raw.GREETING_LOGIN)
            assert raw.exactly(self.socket, 2) == b"\x05\x02"
            self.sendall(raw.login(USER.encode(), PASSWORD.encode()))
            assert raw.exactly(self.socket, 2) == b"\x01\x00"
        else:
            self.protocol = protocol._replace(request=self._request)

    def _request6(self, host: str, port: int) -> bytes:
        return raw.request6(host, port, options=raw.login6(USER, PASSWORD))

    def _reply6(self, connection: Any) -> int:
        assert raw.entered6(connection) == (0, raw.LET_IN6)
        return raw.replied6(connection)[0]

    def _request(self, host: str, port: int) -> bytes:
        shown = b64encode(f"{USER}:{PASSWORD}".encode())
        head = PROTOCOLS["http"].request(host, port)
        return head[:-2] + b"Proxy-Authorization: Basic %b\r\n\r\n" % shown


class Client(Channel):
    """
    By our own client, which asks at a listener.

    @cvar listener: its name.
    @cvar authenticates: how the client logs in there; L{None} for not at all.
    """

    listener = "plain"
    protocols = tuple(PROTOCOLS)
    authenticates: Login | None = None

    def __init__(self, port: int, authority: str) -> None:
        ca = authority if self.listener == "tls" else ""
        self.plain = asking(Way(port, ca, self.authenticates))


class ClientTLS(Client):
    """By TLS; Twisted's ends both sides together."""

    listener, secured = "tls", "confidentiality"
    halfCloses = False


class ClientLoggedIn(Client):
    """With a user and a password."""

    listener = "login"
    protocols = ("socks5", "socks6", "http")
    authenticates = PasswordLogin(USER, PASSWORD)


class ClientGSSAPI(Client):
    """Protected by the stub of a GSSAPI mechanism, which has no end."""

    listener, secured = "gssapi", "confidentiality"
    protocols = ("socks5",)
    tellsCut = False
    authenticates = GssapiLogin(StubTickets(f"{USER}@{REALM}"), "rcmd@gw.example")


#: The client of each transport, by its listener's name.
TRANSPORTS: Final[dict[str, type[Channel]]] = {
    "plain": Channel,
    "tls": TLS,
    "gssapi": GSSAPI,
    "tls+gssapi": GSSAPIInTLS,
    "inside": Inside,
    "tcp": Channel,
    "ssl": SSLEndpoint,
    "login": LoggedIn,
    "unix": Unix,
    "proxy1": Proxied,
    "proxy2": ProxiedTwo,
    "proxy+tls": ProxiedTLS,
}
#: Each with what may be spoken over it.
SPOKEN: Final = [
    (name, protocol)
    for name, channel in TRANSPORTS.items()
    for protocol in channel.protocols
]
#: Our own client, which makes requests of its own, by where it asks.
CLIENTS: Final[dict[str, type[Client]]] = {
    "client": Client,
    "client+tls": ClientTLS,
    "client+login": ClientLoggedIn,
    "client+gssapi": ClientGSSAPI,
}
#: The same with what it is asked for.
ASKED: Final = [
    *SPOKEN,
    *((name, each) for name, client in CLIENTS.items() for each in client.protocols),
]
#: Those that have what SOCKS 5 alone has.
ASKED5: Final = [*TRANSPORTS, *CLIENTS]


def opened(gateway: Serving, name: str, protocol: str = "socks5") -> Channel:
    """A client by this transport whose request is due."""
    client = CLIENTS.get(name)
    if client is not None:
        channel: Channel = client(portOf(gateway, client.listener), gateway.authority)
        channel.login(PROTOCOLS[protocol])
    else:
        channel = TRANSPORTS[name](portOf(gateway, name))
        channel.login(PROTOCOLS[protocol])
    return channel


def portOf(gateway: Running, name: str) -> int:
    """Where the listener of a transport is."""
    order = [each for each, channel in TRANSPORTS.items() if channel is not Unix]
    return gateway.ports[order.index(name)] if name in order else 0
