"""
Clients that know no proxy: the kernel diverts them, by rules that C{socksgw
client-config nftables} prints.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from socksgw.console.manual import chapters
from tests.interop.diverting import BIG, FAR
from tests.live.running import environment
from tests.live.servers import missing, program

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
#: What curl says of a reset: it could not connect, or the connection broke, by how
#: soon it looks.
RESET = (7, 56)


def inNamespace() -> list[str]:
    """Return what runs a command in a network namespace; skip where nothing does."""
    for name, package in {
        "ip": "iproute2",
        "nft": "nftables",
        "nsenter": "util-linux",
        "setpriv": "util-linux",
        "curl": "curl",
        "snmpget": "snmp",
        "snmpd": "snmpd",
    }.items():
        program(name, package)
    unshare = [program("unshare", "util-linux")]
    unshare.append("-n" if os.geteuid() == 0 else "-rn")
    if subprocess.run([*unshare, "true"], check=False).returncode:
        missing("leave to make a network namespace")
    return unshare


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What L{tests.interop.diverting} tells, in network namespaces of its own."""
    unshare = inNamespace()
    directory = tmp_path_factory.mktemp("transparent")
    module = [sys.executable, "-m", "tests.interop.diverting"]
    done = subprocess.run(
        [*unshare, *module, str(directory)],
        env=environment(PATH=PATH),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("family", FAR)
@pytest.mark.parametrize("way", ["redirected", "diverted"])
def test_connections(found: Any, way: str, family: str) -> None:
    """
    curl without a proxy gets what is there, also on the listener's own port, and so
    do clients that wait for their destination to speak.
    """
    case = f"{way} {family}"
    assert found[case] == found[f"{case} same port"] == [0, "the far page"]
    assert found[f"{case} big"] == [0, str(BIG)]
    assert found[f"{case} greeting"] == [0, "first"]


@pytest.mark.parametrize("family", FAR)
@pytest.mark.parametrize("way", ["redirected", "diverted"])
def test_refusals(found: Any, way: str, family: str) -> None:
    """What is denied, and what cannot be reached, is reset."""
    for what in ("denied", "closed"):
        code, out = found[f"{way} {family} {what}"]
        assert (code in RESET, out) == (True, "")


def test_records(found: Any) -> None:
    """Each connection is judged by the address that it was going to."""
    assert found["decisions"] == [
        [way, "transparent", host, port, verdict, rule]
        for way in ("redirected", "diverted")
        for host in FAR.values()
        for port, verdict, rule in (
            (8080, "allow", "far"),
            (8080, "allow", "far"),
            (1088, "allow", "far"),
            (2525, "allow", "far"),
            (8081, "deny", "not-8081"),
            (9, "allow", "far"),
        )
    ]
    # No reply, whatever the reason: the client would take it for its destination's.
    assert found["lost"] == [["refused", 0]] * 4


def test_looks(found: Any) -> None:
    """
    Since a rule asks what they carry, each connection is looked at; the page, whose
    octets are many, came nevertheless.
    """
    http = ["http", "allow", "far"]
    # Whose destination speaks first, and who then says nothing, is none of those.
    silent = ["other", "allow", "far"]
    assert found["looks"] == [http, http, http, silent] * 4


def test_direct(found: Any) -> None:
    """
    Who connects to the listener itself is refused, with and without conntrack; a
    listener on loopback cannot even be reached.
    """
    assert found["without rules"][0] in RESET
    assert found["redirected direct"][0] in RESET
    assert found["diverted direct"][0] == 7
    assert found["redirected itself"] in RESET
    assert {tuple(each[:3]) for each in found["refused"]} == {
        ("redirected", "10.9.1.2", "not-diverted")
    }
    known = "going to the gateway's own"
    unknown = "the kernel does not know"
    whys = [why for *_, why in found["refused"]]
    assert [known in why for why in whys] == [False, True, True, False]
    assert [unknown in why for why in whys] == [True, False, False, True]


def test_nothingIsForwarded(found: Any) -> None:
    """Without rules there is no way past the gateway, and unloading leaves nothing."""
    assert found["past"] in (7, 28)
    assert found["left"] == ["", "", ""]


def test_brokenRules(found: Any) -> None:
    """A rule that sets a conntrack zone: the refusal names that cause."""
    assert found["zone"][0] in RESET
    assert "conntrack zone" in found["zone why"]


def test_gatewayDown(found: Any) -> None:
    """The rules for tproxy hold everybody back while nothing listens there."""
    assert found["down"] == [28, 28]


def test_snmp(found: Any) -> None:
    """snmpget without a proxy, over tproxy; what is denied gets no answer."""
    assert found["snmp 4"] == found["snmp 6"] == [0, '"the far agent"']
    assert found["snmp denied"] == 1


def test_flows(found: Any) -> None:
    """
    Datagrams of one port are one client: its destinations see one port of ours, each
    is a flow of its own, and answers come from where the client sent to.
    """
    port = found["echo"][0].split()[3]
    assert found["echo"] == [
        f"{n} from 93.184.216.1 {port} by 93.184.216.34 7777" for n in range(3)
    ]
    assert found["flows"] == [
        ["93.184.216.34", 161, "allow", "far", "transparent"],
        ["2606:2800:220:1::34", 161, "allow", "far", "transparent"],
        ["93.184.216.35", 161, "deny", "default", "transparent"],
        ["93.184.216.35", 7777, "deny", "default", "transparent"],
        ["93.184.216.34", 7777, "allow", "far", "transparent"],
    ]
    assert found["sockets"] == ["93.184.216.34:7777"]


def test_idleFlows(found: Any) -> None:
    """After udp_idle flows and their sockets are gone; the figures are recorded."""
    assert found["flow-end"] == [
        ["93.184.216.34:161", 1, 1, "idle"],
        ["93.184.216.34:7777", 3, 3, "idle"],
        ["[2606:2800:220:1::34]:161", 1, 1, "idle"],
    ]
    assert found["idle"] == 4
    assert found["sockets left"] == ""


def test_reload(found: Any) -> None:
    """
    What is allowed no longer ends: the connection, the flow and its association. The
    client's next datagram is denied.
    """
    assert found["revoked"] == [["revoked"], ["revoked", "revoked"]]
    assert found["denied"] == [["policy", "default"]]


def test_directDatagrams(found: Any) -> None:
    """Those to the listener itself: refused once, though five came."""
    ((listener, why),) = found["udp direct"]
    assert listener == "diverted"
    assert "going to the gateway's own" in why


def test_withoutTheCapability(found: Any) -> None:
    """The gateway says what it lacks, and where to give it; redirect needs none."""
    assert "IP_TRANSPARENT" in found["unable"]
    assert "AmbientCapabilities=" in found["unable"]
    assert "Traceback" not in found["unable"]
    assert found["local"][0] == 0


def test_programsOfThisHost(found: Any) -> None:
    """In the output hook: others are diverted, the gateway's own connections not."""
    assert found["local"] == [0, "the far page"]
    assert found["local decisions"] == [["local", "93.184.216.34", 8080]]


def test_loop(found: Any) -> None:
    """Rules that exempt the wrong user: told at the first connection that came back."""
    assert found["loop"][0] in (*RESET, 52)
    assert found["loop decisions"] == 2
    (why,) = found["loop refused"]
    assert "the gateway's own user" in why


def test_theManual(tmp_path: Path) -> None:
    """The manual's walk-through, block by block as it stands there."""
    unshare = inNamespace()
    text = chapters()["transparent"]
    indented = r"((?:    .*\n|\n)+)"
    (configuration,) = re.findall(rf"code-block:: toml\n\n{indented}", text)
    (tmp_path / "gw.toml").write_text(dedent(configuration))
    walk = text.partition("Try it\n------")[2].partition("\nUnload the rules")[0]
    unloading = text.partition("Unload the rules::\n")[2].partition("\nWith ")[0]
    blocks = [dedent(block) for block in re.findall(rf"::\n\n{indented}", f"{walk}\n")]
    assert len(blocks) == 5
    script = "\n".join(
        [
            "set -e",
            # Names of namespaces are files in /run.
            "mount -t tmpfs none /run",
            "trap 'kill -KILL $(jobs -p)' EXIT",
            *blocks,
            dedent(unloading),
            "ip netns exec gw nft list ruleset > left",
            "ip -n gw route show table 1080 >> left",
            "ip -n gw -6 route show table 1080 >> left",
        ]
    )
    tools = Path(sys.executable).parent
    with (tmp_path / "errors").open("wb") as errors:
        done = subprocess.run(
            [*unshare, "-m", "bash", "-c", script],
            cwd=tmp_path,
            env=environment(PATH=f"{tools}:{PATH}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # The servers have it, too, which may end later.
            stderr=errors,
            text=True,
            check=False,
            timeout=120,
        )
    said = (tmp_path / "errors").read_text()
    assert done.returncode == 0, said
    answers = [x for x in done.stdout.splitlines() if x in ("the far page", '"far"')]
    assert answers == ["the far page"] * 2 + ['"far"'] * 2, done.stdout + said
    journal = "".join(
        file.read_text() for file in (tmp_path / "var" / "audit").glob("*.jsonl")
    )
    decisions = [json.loads(line) for line in journal.splitlines()]
    decided = [
        (x["command"], x["asked"], x["port"], x["rule"])
        for x in decisions
        if x["event"] == "flow" or x.get("command") == "connect"
    ]
    assert decided == [
        ("connect", FAR["4"], 80, "web"),
        ("connect", FAR["6"], 80, "web"),
        ("udp", FAR["4"], 161, "snmp"),
        ("udp", FAR["6"], 161, "snmp"),
        ("connect", FAR["4"], 81, "default"),
    ]
    assert (tmp_path / "left").read_text() == ""
