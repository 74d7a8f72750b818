"""
UDP ASSOCIATE with programs that people use: Net-SNMP, dig, TFTP, ffmpeg,
PySocks.
"""

from __future__ import annotations

import getpass
import grp
import hashlib
import os
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import socks

from tests.interop.shared import PASSWORD, USER, needsSix
from tests.live import raw
from tests.live.names import KnownNames
from tests.live.running import Running, running, socksgw
from tests.live.servers import (
    PATIENCE,
    Daemon,
    Socksify,
    freePort,
    program,
)
from tests.tools.waiting import until

PAYLOAD = random.Random(69).randbytes(200_000)

CONFIGURATION = """
[[listen]]
name = "open"
address = ["127.0.0.1:0"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
[[listen]]
name = "address"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "forbidden"
deny = ["udp"]
to = ["127.0.0.9"]
[[rule]]
id = "address"
allow = ["udp"]
listener = ["address"]
udp = { replies = "address" }
[[rule]]
id = "login"
allow = ["udp"]
who = ["alice"]
listener = ["login"]
[[rule]]
id = "open"
allow = ["udp"]
listener = ["open"]
[never]
except = ["127.0.0.0/8", "::1"]
"""


class Gateway:
    """
    The gateway of this file, and its ports.

    @ivar open: serves without login; answers come from the very place that
        was asked.
    @ivar login: the same, but wants user and password.
    @ivar address: serves without login; answers may come from any port of the
        address that was asked.
    """

    def __init__(self, gateway: Running) -> None:
        self.running = gateway
        self.open, self.login, self.address = gateway.ports

    def flow(self, port: int) -> dict[str, Any]:
        """The latest decision about a flow to this port."""
        found: list[dict[str, Any]] = until(
            lambda: [e for e in self.running.journal("flow") if e["port"] == port]
        )
        return found[-1]

    def of(self, event: str, session: int) -> list[dict[str, Any]]:
        """The lines of one session, when its end is there."""
        until(lambda: [e for e in self._lines("end") if e["session"] == session])
        return [e for e in self._lines(event) if e["session"] == session]

    def _lines(self, event: str) -> list[dict[str, Any]]:
        return self.running.journal(event)

    def exchanged(self, port: int, host: str = "127.0.0.1") -> dict[str, Any]:
        """
        The end of the latest flow to this port. It was allowed, the
        association's line has the same octets, and there were no strangers.
        """
        flow = self.flow(port)
        assert flow["verdict"] == "allow"
        assert flow["addresses"] == [host]
        assert (flow["command"], flow["protocol"]) == ("udp", "socks5")
        (end,) = self.of("end", flow["session"])
        ends = self.of("flow-end", flow["session"])
        for key in ("sent", "received"):
            assert end[key] == sum(each[key] for each in ends)
        assert "strangers" not in end
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        (mine,) = [each for each in ends if each["address"] == place]
        return mine


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway; stopped at the end, when it must have been well."""
    directory = tmp_path_factory.mktemp("udp")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    for started in running(directory, CONFIGURATION):
        yield Gateway(started)


def socksify(
    directory: Path, quiet: dict[str, str], gateway: Gateway, login: bool = False
) -> Socksify:
    """Programs through the gateway, with login or without."""
    port = gateway.login if login else gateway.open
    return Socksify(directory, quiet, port, login=(USER, PASSWORD) if login else None)


# Net-SNMP.

#: sysName.0 (RFC 3418).
SYS_NAME = ".1.3.6.1.2.1.1.5.0"


@pytest.fixture
def snmp(tmp_path: Path, quiet: dict[str, str]) -> dict[str, str]:
    """An environment in which Net-SNMP leaves the system's files alone."""
    own = tmp_path / "snmp"
    own.mkdir()
    return {
        **quiet,
        "MIBS": "",
        "MIBDIRS": str(own),
        "SNMPCONFPATH": str(own),
        "SNMP_PERSISTENT_DIR": str(own),
    }


def _snmpd(tmp_path: Path, environment: dict[str, str], name: str) -> Daemon:
    """An agent with this sysName."""
    port = freePort()
    (tmp_path / "snmpd.conf").write_text(f"rocommunity public\nsysName {name}\n")
    command = [program("snmpd", "snmpd"), "-f", "-Lo", "-C"]
    command += ["-c", str(tmp_path / "snmpd.conf"), "-p", str(tmp_path / "pid")]
    command += ["-I", "system_mib,vacm_conf", f"udp:127.0.0.1:{port}"]
    return Daemon(command, port, tmp_path / "snmpd.log", environment)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("login", [False, True], ids=["open", "login"])
def test_snmpGet(
    gateway: Gateway, tmp_path: Path, snmp: dict[str, str], host: str, login: bool
) -> None:
    """snmpget asks snmpd; the name goes to the gateway, which looks it up."""
    client = socksify(tmp_path, snmp, gateway, login)
    with _snmpd(tmp_path, snmp, f"agent of {host}") as agent:
        command = [program("snmpget", "snmp"), "-v2c", "-c", "public"]
        command += ["-t", "10", "-r", "0", "-On", f"{host}:{agent.port}", SYS_NAME]
        done = client(*command)
    assert done.stdout == f'{SYS_NAME} = STRING: "agent of {host}"\n', done.stderr
    flow = gateway.flow(agent.port)
    assert flow["user"] == (USER if login else "anonymous")
    assert flow["rule"] == ("login" if login else "open")
    assert (flow["asked"], flow["name"]) == (
        host,
        None if host == "127.0.0.1" else host,
    )
    end = gateway.exchanged(agent.port)
    assert (end["sent_datagrams"], end["received_datagrams"]) == (1, 1)


def test_snmpGetForbidden(
    gateway: Gateway, tmp_path: Path, snmp: dict[str, str]
) -> None:
    """
    What policy denies is silence to the client, however often it repeats
    itself, and one line in the journal.
    """
    client = socksify(tmp_path, snmp, gateway)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as agent:
        agent.bind(("127.0.0.9", 0))
        port = agent.getsockname()[1]
        command = [program("snmpget", "snmp"), "-v2c", "-c", "public"]
        command += ["-t", "0.3", "-r", "3", f"127.0.0.9:{port}", SYS_NAME]
        done = client(*command)
        assert done.returncode != 0
        assert "Timeout: No Response" in done.stderr
        (flow,) = gateway.of("flow", gateway.flow(port)["session"])
        assert (flow["verdict"], flow["rule"]) == ("deny", "forbidden")
        agent.setblocking(False)
        with pytest.raises(BlockingIOError):
            agent.recv(1)


def test_snmpTrap(gateway: Gateway, tmp_path: Path, snmp: dict[str, str]) -> None:
    """
    Traps reach snmptrapd: each is one datagram of a program that ends as soon
    as it has sent it.
    """
    port = freePort()
    (tmp_path / "trapd.conf").write_text("authCommunity log public\n")
    command = [program("snmptrapd", "snmptrapd"), "-f", "-Lo", "-C", "-n", "-On"]
    command += ["-c", str(tmp_path / "trapd.conf"), "-p", str(tmp_path / "pid")]
    daemon = Daemon(
        [*command, f"udp:127.0.0.1:{port}"], port, tmp_path / "trapd.log", snmp
    )
    client = socksify(tmp_path, snmp, gateway)
    enterprise = ".1.3.6.1.4.1.8072.2.3.0.1"
    with daemon:
        for number in range(5):
            trap = [program("snmptrap", "snmp"), "-v2c", "-c", "public"]
            trap += [f"127.0.0.1:{port}", "", enterprise]
            trap += [".1.3.6.1.4.1.8072.2.3.2.1", "i", str(4711 + number)]
            done = client(*trap)
            assert done.returncode == 0, done.stderr
            until(lambda: f"INTEGER: {4711 + number}\n" in daemon.log)  # noqa: B023
            end = gateway.exchanged(port)
            assert (end["sent_datagrams"], end["received_datagrams"]) == (1, 0)
    assert daemon.log.count(f"= OID: {enterprise}") == 5


def test_oneDatagramAndGone(gateway: Gateway) -> None:
    """
    What a client sends before it ends the control connection goes out, also
    when nothing lies between the two.
    """
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(PATIENCE)
        where = b"\x7f\0\0\1" + server.getsockname()[1].to_bytes(2, "big")
        for number in range(20):
            said = b"trap %d" % number
            with (
                raw.dial(gateway.open) as control,
                closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client,
            ):
                control.sendall(raw.GREETING)
                assert raw.exactly(control, 2) == b"\x05\x00"
                control.sendall(raw.request5("0.0.0.0", 0, command=3))
                code, host, port = raw.reply5(control)
                assert code == 0
                client.sendto(b"\0\0\0\x01" + where + said, (host, port))
            assert server.recv(100) == said


# dig.


def test_dig(gateway: Gateway, tmp_path: Path, quiet: dict[str, str]) -> None:
    """
    dig asks a DNS server over UDP. Its library sends by sendmmsg(2) without
    the C library, which no preloaded wrapper sees; where the kernel has no
    such call (strace says so), it uses sendmsg.
    """
    client = socksify(tmp_path, quiet, gateway)
    strace: tuple[str, ...] = (
        program("strace", "strace"),
        "-f",
        "-qq",
        "-o",
        "/dev/null",
    )
    strace += ("-e", "trace=sendmmsg", "-e", "inject=sendmmsg:error=ENOSYS")
    with KnownNames({"known.example": "192.0.2.7"}) as names:
        command = [program("dig", "bind9-dnsutils"), "+tries=1", "+time=20", "+short"]
        command += ["-p", str(names.port), "@127.0.0.1", "known.example", "A"]
        done = client(*command, prefix=strace)
    assert done.stdout == "192.0.2.7\n", done.stderr
    assert names.names == ["known.example"]
    assert gateway.flow(names.port)["rule"] == "open"
    end = gateway.exchanged(names.port)
    assert (end["sent_datagrams"], end["received_datagrams"]) == (1, 1)


# TFTP.


@pytest.fixture
def tftpd(tmp_path: Path, quiet: dict[str, str]) -> Iterator[Daemon]:
    """
    A TFTP server on 127.0.0.2, with C{down.bin} in its directory. It answers
    from a new port (RFC 1350 section 4).
    """
    served = tmp_path / "tftp"
    served.mkdir()
    (served / "down.bin").write_bytes(PAYLOAD)
    port = freePort("127.0.0.2")
    command = [program("atftpd", "atftpd"), "--daemon", "--no-fork", "--logfile", "-"]
    if os.geteuid() == 0:
        # As which it shall run on; others run on as they are.
        group = grp.getgrgid(os.getegid()).gr_name
        command += ["--user", f"{getpass.getuser()}.{group}"]
    command += ["--port", str(port), "--bind-address", "127.0.0.2", str(served)]
    with Daemon(command, port, tmp_path / "tftpd.log", quiet) as server:
        yield server


def _tftp(client: Socksify, port: int, patience: int, *commands: str) -> str:
    """
    Run tftp with these commands, and return what it said.

    @param patience: seconds after which it gives up, without having asked
        again: it jumps out of a call of Dante's then, which from there on
        takes its datagrams for Dante's own, and sends them past every server.
    """
    said = ["binary", f"rexmt {patience}", f"timeout {patience}", *commands]
    done = client(
        program("tftp", "tftp-hpa"),
        "127.0.0.2",
        str(port),
        stdin="\n".join([*said, "quit", ""]),
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("direction", ["down", "up"])
def test_tftp(
    gateway: Gateway,
    tmp_path: Path,
    quiet: dict[str, str],
    tftpd: Daemon,
    direction: str,
) -> None:
    """
    C{replies = "address"}: the answer comes from a port that nobody has
    asked, with its true source, and the client goes on with that.
    """
    client = Socksify(tmp_path, quiet, gateway.address)
    (tmp_path / "up.bin").write_bytes(PAYLOAD)
    verb = "get" if direction == "down" else "put"
    said = _tftp(client, tftpd.port, 30, f"{verb} {direction}.bin")
    came = (tmp_path if verb == "get" else tmp_path / "tftp") / f"{direction}.bin"
    # atftpd acknowledges the last block before it writes its last buffer, and with
    # the acknowledgement the client is done.
    until(lambda: came.stat().st_size >= len(PAYLOAD))
    assert hashlib.sha256(came.read_bytes()).digest() == (
        hashlib.sha256(PAYLOAD).digest()
    ), said

    session = gateway.flow(tftpd.port)["session"]
    asked, transfer = gateway.of("flow", session)
    assert asked["port"] == tftpd.port
    assert transfer["port"] != tftpd.port
    for each in (asked, transfer):
        assert (each["verdict"], each["rule"]) == ("allow", "address")
        assert each["addresses"] == ["127.0.0.2"]
    ends = {each["address"]: each for each in gateway.of("flow-end", session)}
    assert set(ends) == {
        f"127.0.0.2:{tftpd.port}",
        f"127.0.0.2:{transfer['port']}",
    }
    way = "received" if direction == "down" else "sent"
    assert sum(each[way] for each in ends.values()) > len(PAYLOAD)


def test_tftpExact(
    gateway: Gateway, tmp_path: Path, quiet: dict[str, str], tftpd: Daemon
) -> None:
    """
    Without it the answers are a stranger's: the client gets none of them, and
    they are counted.
    """
    client = Socksify(tmp_path, quiet, gateway.open)
    said = _tftp(client, tftpd.port, 3, "get down.bin")
    assert "timed out" in said
    assert (tmp_path / "down.bin").read_bytes() == b""
    session = gateway.flow(tftpd.port)["session"]
    (flow,) = gateway.of("flow", session)
    assert (flow["verdict"], flow["rule"]) == ("allow", "open")
    (end,) = gateway.of("flow-end", session)
    assert end["sent_datagrams"] >= 1
    assert (end["received_datagrams"], end["received"]) == (0, 0)
    (whole,) = gateway.of("end", session)
    assert whole["strangers"] >= 1
    assert whole["received"] == 0


# RTP.


def _waiting(receiver: socket.socket) -> list[bytes]:
    """Every datagram that has come."""
    receiver.setblocking(False)
    found = []
    while True:
        try:
            found.append(receiver.recv(1 << 16))
        except BlockingIOError:
            return found


def test_rtp(gateway: Gateway, tmp_path: Path, quiet: dict[str, str]) -> None:
    """
    ffmpeg sends a second of sound, 8,000 samples, by RTP (RFC 3550): every
    packet comes, in order, and so does RTCP in an association of its own.
    """
    client = socksify(tmp_path, quiet, gateway)
    with ExitStack() as stack:
        receivers = []
        for _ in range(2):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            receivers.append(stack.enter_context(closing(made)))
            made.bind(("127.0.0.1", 0))
        media, control = (each.getsockname()[1] for each in receivers)
        command = [program("ffmpeg", "ffmpeg"), "-nostdin", "-loglevel", "warning"]
        command += ["-re", "-f", "lavfi", "-i", "sine=frequency=440:duration=1"]
        command += ["-c:a", "pcm_mulaw", "-ar", "8000", "-f", "rtp"]
        done = client(*command, f"rtp://127.0.0.1:{media}?rtcpport={control}")
        assert done.returncode == 0, done.stderr
        end = gateway.exchanged(media)
        gateway.exchanged(control)
        packets, reports = map(_waiting, receivers)

    assert len(packets) == end["sent_datagrams"] > 10
    assert sum(map(len, packets)) == end["sent"]
    sequence, timestamp, source = struct.unpack_from(">HII", packets[0], 2)
    samples = 0
    for packet in packets:
        # Section 5.1: version 2, no padding, extension or sources; PT 0 is
        # PCMU (RFC 3551 section 6), an octet a sample.
        assert packet[0] == 0x80
        assert packet[1] & 0x7F == 0
        assert struct.unpack_from(">HII", packet, 2) == (
            sequence,
            (timestamp + samples) % (1 << 32),
            source,
        )
        sequence = (sequence + 1) % (1 << 16)
        samples += len(packet) - 12
    assert samples == 8000
    # Section 6.4.1: a sender's report, of the same source.
    assert reports
    assert reports[0][1] == 200
    assert struct.unpack_from(">I", reports[0], 4) == (source,)


# PySocks.


@pytest.mark.parametrize("login", [False, True], ids=["open", "login"])
@pytest.mark.parametrize(
    ("asked", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        pytest.param("::1", "::1", marks=needsSix),
    ],
)
def test_pySocks(gateway: Gateway, asked: str, host: str, login: bool) -> None:
    """
    Datagrams of every size, there and back, with the true source; from one
    association to two servers.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        servers = []
        for _ in range(2):
            made = socket.socket(family, socket.SOCK_DGRAM)
            servers.append(stack.enter_context(closing(made)))
            made.bind((host, 0))
            made.settimeout(PATIENCE)
        client = stack.enter_context(
            socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
        )
        client.settimeout(PATIENCE)
        user, password = (USER, PASSWORD) if login else (None, None)
        port = gateway.login if login else gateway.open
        client.set_proxy(
            socks.SOCKS5, "127.0.0.1", port, username=user, password=password
        )
        ports = [server.getsockname()[1] for server in servers]
        for size in (0, 1, 1400, 60_000):
            for server, port in zip(servers, ports, strict=True):
                client.sendto(PAYLOAD[:size], (asked, port))
                came, peer = server.recvfrom(1 << 16)
                assert came == PAYLOAD[:size]
                server.sendto(PAYLOAD[1 : size + 1], peer)
                answer, source = client.recvfrom(1 << 16)
                assert answer == PAYLOAD[1 : size + 1]
                assert source == (host, port)
    for port in ports:
        assert gateway.flow(port)["user"] == (USER if login else "anonymous")
        end = gateway.exchanged(port, host)
        assert (end["sent_datagrams"], end["received_datagrams"]) == (4, 4)
        assert end["sent"] == end["received"] == 61_401


def test_pySocksWrongLogin(gateway: Gateway) -> None:
    """With a wrong password there is no association."""
    with socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.set_proxy(
            socks.SOCKS5, "127.0.0.1", gateway.login, username=USER, password="wrong"
        )
        before = len(gateway.running.journal("decision"))
        with pytest.raises(socks.SOCKS5AuthError):
            client.sendto(b"never", ("127.0.0.1", 9))
    assert len(gateway.running.journal("decision")) == before
