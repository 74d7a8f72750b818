"""
C{socksgw run}: real programs that know no proxy, and reach nothing but the gateway.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.live.netns import alone
from tests.live.running import ROOT
from tests.live.servers import program

PROGRAMS = ROOT / "tests" / "interop" / "programs"
NEEDED = {
    "node": "nodejs",
    "java": "openjdk-17-jre-headless",
    "busybox": "busybox-static",
    "curl": "curl",
    "git": "git",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "nft": "nftables",
    "unshare": "util-linux",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs that have to be built."""
    for name, package in NEEDED.items():
        program(name, package)
    folder = tmp_path_factory.mktemp("built")
    go = [program("go", "golang-go"), "build", "-o", str(folder / "reach")]
    offline = {"CGO_ENABLED": "0", "GO111MODULE": "off", "GOPROXY": "off"}
    subprocess.run(
        [*go, str(PROGRAMS / "reach.go")],
        env={**os.environ, **offline, "GOFLAGS": ""},
        check=True,
        timeout=300,
    )
    musl = [program("musl-gcc", "musl-tools"), "-Wall", "-o", str(folder / "musl")]
    subprocess.run([*musl, str(PROGRAMS / "reach.c")], check=True, timeout=60)
    javac = [program("javac", "openjdk-17-jdk-headless"), "-d", str(folder)]
    subprocess.run([*javac, str(PROGRAMS / "Reach.java")], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def found(built: Path) -> Any:
    """What L{tests.interop.supervised} tells."""
    return json.loads(alone("tests.interop.supervised", str(built), seconds=500))


def ended(told: Any) -> list[str]:
    """What a program has printed that ended in order."""
    assert told["status"] == 0, told
    lines: list[str] = told["out"]
    return lines


def test_python(found: Any) -> None:
    """
    Event loops, look-ups, every call of sockets; what does not go through a gateway
    fails with its number, and so does each way past it.
    """
    assert ended(found["python"]) == [
        "page ('the far page', 8080)",
        "slow ('the far page', 8080)",
        "failed 10.5.5.1 ECONNREFUSED",
        "failed slow-closed-python.example ECONNREFUSED",
        "failed denied.example EACCES",
        "failed unknown.example EHOSTUNREACH",
        "free ('HELLO', '10.5.5.1', 7007)",
        "connected ('HELLO', 'fd00:5::1', 7007)",
        "greeting 220 hello 2525",
        "sendmsg 5 b'HELLO' ('10.5.5.1', 7007)",
        "recvfrom b'HELLO' ('10.5.5.1', 7007)",
        "segments EIO",
        "nothing came",
        "by loopback False",
        "signalled 220 hello",
        "again EISCONN",
        "again ECONNREFUSED",
        "again 220 hello",
        "no socket 2 3 1 EPERM",
        "no socket 2 2 1 EPERM",
        "no socket 10 5 132 EPERM",
        "no socket 17 3 3 EAFNOSUPPORT",
        "no socket 40 1 0 EAFNOSUPPORT",
        *("fast open ENOTSUP",) * 2,
        "io_uring -1 ENOSYS",
        *("resolver ENOENT",) * 3,
        "stub ECONNREFUSED",
        "reverse page.example",
        "32 bits ENOSYS",
        "the far page",
    ]


def test_reasons(found: Any) -> None:
    """With -v each failure is told in a line, and nothing else is."""
    said = found["python"]["errors"]
    assert all(each.startswith("socksgw run: ") for each in said)
    refused = "the destination refuses the connection (reply 05) (Connection refused)"
    assert f"socksgw run: connect to 10.5.5.1 port 81: {refused}" in said
    slow = f"connect to slow-closed-python.example port 81: {refused}"
    assert f"socksgw run: {slow}" in said
    assert any(
        "denied.example port 8080: the proxy's rules do not allow it" in each
        for each in said
    )
    assert any("family 2, type 3, protocol 1 does not go through" in e for e in said)
    for each in ("node", "java", "go"):
        assert found[each]["errors"] == []


def test_node(found: Any) -> None:
    """Node's fetch, sockets, c-ares and datagrams; its loop is not held."""
    assert ended(found["node"]) == [
        "page the far page",
        "http 200",
        "greeting 220 hello 198.18.0.1",
        "refused ECONNREFUSED",
        "denied EACCES",
        "unknown EHOSTUNREACH",
        "resolved 198.18.0.1",
        "free HELLO 198.18.0.1 7007",
        "connected HELLO fd00:5::1 7007",
        "slow the far page",
        "slow refused ECONNREFUSED",
    ]


def test_java(found: Any) -> None:
    """Java's clients, a selector that knows the socket before it is connected."""
    assert ended(found["java"]) == [
        "page the far page",
        "slow the far page",
        "greeting 220 hello page.example/198.18.0.1:2525",
        "refused Connection refused",
        "selected 220 hello",
        "free HELLO 7007",
        "connected HELLO 7007",
    ]


def test_go(found: Any) -> None:
    """A static binary of Go, which interrupts itself all the time."""
    assert ended(found["go"]) == [
        "page the far page",
        "slow the far page",
        "refused true",
        "denied true",
        "unknown true",
        "greeting 220 hello [fd00:5::1]:2525",
        "connected HELLO",
        "free HELLO 10.5.5.1:7007",
    ]


def test_others(found: Any) -> None:
    """A static busybox, git with its helpers, and curl by other kinds of proxies."""
    for each in ("busybox", "http", "six", "socks4a"):
        assert ended(found[each]) == ["the far page"]
    assert ended(found["git"]) == []
    assert found["cloned"] == "committed"
    assert found["protocols"] == ["http", "socks4a", "socks5", "socks6"]


def test_musl(found: Any) -> None:
    """Another C library: it drops answers that come from elsewhere."""
    # Two have their datagrams inside the connection: by TLS, and by SOCKS 6.
    ways = found["musl"], found["inside"], found["socks6"]
    for each in (*ways, found["isolated"]["musl"]):
        assert ended(each) == [
            "page the far page",
            "denied.example: Permission denied",
            "connected HELLO",
            "free HELLO 10.5.5.1 7007",
        ]


def test_tls(found: Any) -> None:
    """
    By TLS and a password the supervisor relays; datagrams do not go in the clear,
    where the gateway takes none inside the connection.

    Python calls the number of EOPNOTSUPP so, which is the same.
    """
    assert ended(found["tls"]) == [
        "page the far page 8080",
        "slow the far page 8080",
        "refused ECONNREFUSED",
        "greeting 220 hello 2525",
        "denied EACCES",
        "datagram ENOTSUP",
    ]
    assert any(
        "beside TLS they would go in clear" in each for each in found["tls"]["errors"]
    )


def test_nothingElse(found: Any) -> None:
    """
    Without the command nothing is reached; with it, the gateway alone is: no packet
    went anywhere else, and names went to nobody but the gateway.
    """
    assert found["bare"] != 0
    places = {each.rsplit(" ", 1)[0] for each in found["seen"] if each[:3] in "tcpudp"}
    assert places == {"tcp 10.9.9.1", "tcp fd00:9::1", "udp 10.9.9.1"}
    # 1443 and 1444 are the gateway's, too; port 9 is where the test says that a gateway is, and there is none.
    assert {each for each in found["seen"] if each.startswith("tcp")} == {
        *("tcp 10.9.9.1 1080", "tcp 10.9.9.1 1443", "tcp fd00:9::1 1080"),
        *("tcp 10.9.9.1 1444", "tcp 10.9.9.1 9"),
    }
    assert "udp 10.9.9.1 53" not in found["seen"]
    # Neither did who looks names up for programs of this host.
    assert found["heard"] == []
    # ARP, and what finds neighbours of IPv6.
    assert {each for each in found["seen"] if each[:3] not in "tcpudp"} <= {
        each
        for each in found["seen"]
        if each == "0806" or each.startswith(("58 ", "0 "))
    }
    assert set(found["asked"]) >= {"page.example", "denied.example", "unknown.example"}


def test_status(found: Any) -> None:
    """The program's exit status is the command's, and so is the signal that ended it."""
    assert found["status"]["status"] == 7
    assert found["signal"]["status"] == 128 + 9
    assert found["missing"]["status"] == 127
    assert found["missing"]["errors"] == [
        "socksgw run: no-such-program: no such program"
    ]
    assert found["forwarded"] == ["begun", "ended", 9]
    # Of a connect that was not decided when the program ended nothing is said.
    assert found["undecided"] == [128 + 15, "", ""]


def test_notRun(found: Any) -> None:
    """Where the gateway is not there, or another supervisor is, nothing is run."""
    assert found["unreachable"]["status"] == 3
    [line] = found["unreachable"]["errors"]
    assert "is the gateway there" in line
    assert found["nested"]["status"] == 1
    [line] = found["nested"]["errors"]
    assert "Device or resource busy" in line


def test_records(found: Any) -> None:
    """
    The gateway has no record of clients that only look whether it is there.

    A login is tried beforehand, and is on record.
    """
    lost = [each for reason, each in found["refused"] if reason == "client-lost"]
    assert [each for each in lost if each != "main"] == ["tls", "inside", "inside"]
    # One program ends while the name that it connects to is looked up.
    assert lost.count("main") <= 1


@pytest.mark.parametrize("name", ["python", "node", "java", "go", "busybox", "git"])
def test_isolated(found: Any, name: str) -> None:
    """In a network of its own a program sees and says the same as without."""
    inside = found["isolated"][name]
    assert ended(inside) == ended(found[name])


def test_isolatedOthers(found: Any) -> None:
    """IPv6, TLS to the gateway, git's files, the status, signals, the user."""
    inside = found["isolated"]
    assert ended(inside["curl"]) == ["the far page"]
    assert ended(inside["tls"])[:-1] == ended(found["tls"])[:-1]
    assert ended(inside["tls"])[-1] == "datagram HELLO"
    assert inside["cloned"] == "committed"
    said = set(inside["said"])
    assert set(found["python"]["errors"]) <= said
    for each in ("signal", "missing", "forwarded"):
        assert inside[each] == found[each]
    assert ended(inside["identity"]) == ["65534", f"CapEff:\t{0:016}"]


def test_past(found: Any) -> None:
    """A hostile program in a network of its own is refused each way past the gateway."""
    assert ended(found["isolated"]["past python"]) == [
        "direct EACCES",
        "direct6 EACCES",
        "mapped EACCES",
        "dns by udp 198.18.0.1",
        "dns by tcp EACCES",
        "datagram timed out",
        "nscd False",
        "bus False",
        "abstract ECONNREFUSED",
        "loopback ECONNREFUSED",
        "raw EPERM",
        "packet EAFNOSUPPORT",
        "vsock EAFNOSUPPORT",
        "transparent EPERM",
        "netlink EPERM",
        "namespace EACCES",
        "memory EACCES",
        "memory EACCES",
        "descriptors EPERM",
        "descriptors EPERM",
        "mounts EPERM",
        "raced 0",
        "devices lo",
        "unshared 0",
        "direct EACCES",
    ]


#: What each prints, and its status, where it reaches nothing past the gateway.
PAST: dict[str, tuple[int, list[str]]] = {
    "curl": (7, []),
    "git": (128, []),
    "busybox": (1, []),
    "node": (0, ["direct EACCES", "dns 198.18.0.1", "datagram nothing"]),
    "java": (0, ["direct Permission denied", "datagram nothing"]),
    "go": (0, ["direct true", "dns [198.18.0.1] <nil>", "datagram true"]),
}


@pytest.mark.parametrize("way", ["beside", "isolated"])
@pytest.mark.parametrize("name", PAST)
def test_nothingPast(found: Any, name: str, way: str) -> None:
    """
    A program that names what is one hop away, by TCP or UDP, or a name server of its
    own, is told that it may not, or gets the gateway's answer.
    """
    told = found[way][f"past {name}"]
    assert (told["status"], told["out"]) == PAST[name], told
    if name == "busybox":
        assert told["errors"][-1].endswith(": Permission denied")


@pytest.mark.parametrize("way", ["beside", "isolated"])
def test_pastNobody(found: Any, way: str) -> None:
    """
    Who is one hop away hears of no program, whatever it did, and each packet is the
    gateway's; without the command they are reached. With -v the reason is told.
    """
    bare = found["beside"]["bare"]
    assert bare["heard"] == ["direct"]
    assert "tcp 10.9.9.1 8081" in bare["seen"]
    told = found[way]
    assert told["heard"] == []
    # 1444 is the gateway's, too.
    more = ["tcp 10.9.9.1 1444"] if way == "isolated" else []
    connected = [each for each in told["seen"] if each.startswith("tcp")]
    assert connected == ["tcp 10.9.9.1 1080", *more]
    datagrams = {each for each in told["seen"] if each.startswith("udp")}
    assert {each.rsplit(" ", 1)[0] for each in datagrams} == {"udp 10.9.9.1"}
    assert not datagrams & {"udp 10.9.9.1 53", "udp 10.9.9.1 5353"}
    refused = "connect to 10.9.9.1 port 8081: the proxy's rules do not allow it"
    assert any(refused in each for each in told["said"])
    assert "Address: 198.18.0.1" in ended(told["look-up"])


def test_supervisorGone(found: Any) -> None:
    """
    Nothing stands in the path of a connection: octets pass while the supervisor is
    stopped. What it may not look into, and what outlives it, reaches nothing.
    """
    outlived = ["outlived ENOSYS"] * 2
    status, stopped, hidden, undecided, *rest = found["outlived"]
    assert (status, stopped) == (4, "stopped the far page")
    assert (hidden, undecided) == ("hidden EPERM", "undecided ENOTCONN")
    assert rest[:2] == outlived
    assert any("lets nobody look into it (PR_SET_DUMPABLE)" in each for each in rest)
    assert found["isolated"]["outlived"] == [4, *outlived]


def test_signalled(found: Any) -> None:
    """
    A connect is made once, although signals come all the time while it waits, as Go's
    runtime sends them to itself (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV).
    """
    ways = found["python"], found["isolated"]["python"]
    assert [each["out"].count("signalled 220 hello") for each in ways] == [1, 1]
    assert found["signalled"] == 2


def test_noNamespaces(found: Any) -> None:
    """Where there can be no network of its own, the program is not run."""
    status, [line] = found["isolated"]["forbidden"]
    assert status == 1
    assert "sysctl -w user.max_user_namespaces=" in line
    assert found["isolated"]["no nft"]["status"] == 1
    [line] = found["isolated"]["no nft"]["errors"]
    assert line.endswith("--isolate needs nft, which is not here (Debian: nftables)")
