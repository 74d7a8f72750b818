"""
Multicast groups through the gateway, with the kernel's own memberships: what
L{tests.interop.grouped} tells.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.manual import chapters
from tests.interop.grouped import GATEWAY, GROUP, LISTEN, PORT, RULES
from tests.live.groups import ALL, INSIDE, MU, MULTICAST, RECEIVE, SEND, SOURCES
from tests.live.netns import alone
from tests.live.running import socksgw
from tests.live.servers import program


@pytest.fixture(scope="module")
def found() -> Any:
    """Return what has come of everything."""
    return json.loads(alone("tests.interop.grouped"))


@pytest.mark.parametrize("version", [4, 6])
def test_besideTheConnection(found: Any, version: int) -> None:
    """A client receives, sends with its TTL, changes that, and leaves."""
    told = found[f"udp {version}"]
    # Section 4.1.1.2: the version of the extension.
    assert told["entered"] == "01000001000000000000"
    # MM-mode was asked for, and MU-mode is what there is.
    flags = RECEIVE | MULTICAST | MU
    assert told["joined"] == [0, flags, 7, [GROUP[version], PORT]]
    assert told["relay"] == ("127.0.0.1" if version == 4 else "::1")
    assert told["member"]
    assert told["came"]
    assert told["both"] == [0, SEND | MULTICAST | MU, True]
    assert told["scoped"] == [0, True]
    # What was sent before there was a way to send was not sent.
    assert told["heard"] == ["up", GATEWAY[version], 3]
    assert told["heard further"] == ["further", GATEWAY[version], 5]
    assert told["too far"] == [0x15, 0x15]
    assert told["next"] == "next"
    assert told["released"] == [0, RECEIVE]
    assert told["still"] == "still"
    assert (told["over"], told["unknown"]) == (0, 0x10)


@pytest.mark.parametrize("version", [4, 6])
def test_insideTheConnection(found: Any, version: int) -> None:
    """The same in one TCP connection, up to the longest datagram, and the shortest."""
    told = found[f"inside {version}"]
    flags = RECEIVE | SEND | INSIDE | MULTICAST | MU
    assert told["joined"] == [0, flags, ["0.0.0.0", 0]]
    assert told["came"]
    assert told["heard"] == ["up", GATEWAY[version], 2]
    assert told["lengths"] == [65507, 0]


@pytest.mark.parametrize("version", [4, 6])
def test_oneSender(found: Any, version: int) -> None:
    """The kernel has the filter, and the other sender's datagram does not come."""
    told = found[f"chosen {version}"]
    assert told["joined"] == [0, RECEIVE | SOURCES | MULTICAST | MU]
    source = {4: "10.9.2.2", 6: "fd00:9::2"}[version]
    assert told["filter"] == [[GROUP[version], source]]
    assert told["anybody"] == ["other", "good"]
    assert told["came"] == ["good", True]


@pytest.mark.parametrize("version", [4, 6])
def test_sendersOfARule(found: Any, version: int) -> None:
    """A rule keeps others away from a client that wants everybody's."""
    assert found[f"sources {version}"] == {"came": "good", "silent": True}


@pytest.mark.parametrize("version", [4, 6])
def test_otherInterfaces(found: Any, version: int) -> None:
    """What is sent to the group in another network does not come."""
    told = found[f"elsewhere {version}"]
    assert told == {"program": "foreign", "came": ["good", True]}


def test_betweenClients(found: Any) -> None:
    """Section 5.1: other clients hear what one sends, and so does the network."""
    told = found["between"]
    assert (told["one"], told["two"]) == ("from two", "from one")
    assert told["far"] == ["from one", "from two"]
    assert told["silent"]


def test_refusals(found: Any) -> None:
    """Each has its number (section 4.2), with what would be possible."""
    told = {name: each for name, each in found["refusals"].items() if name != "joined"}
    assert told == {
        "no rule": [0x11, 0, 7],
        "no rule, both": [0x11, 0, 7],
        "no rule to send": [0x12, 0, 7],
        "only hear": [0x12, RECEIVE, 7],
        "TTL": [0x15, RECEIVE, 7],
        "no group": [0x14, 0, 7],
        "no interface": [0x03, 0, 7],
        "port 0": [0x14, 0, 7],
        "local group": [0x11, 0, 7],
        "local group of IPv6": [0x11, 0, 7],
        "sender": [0x11, 0, 7],
        "unicast": [0x07, 0, 7],
        "neither": [0x13, 0, 7],
        "both ways": [0x13, 0, 7],
        "number": [0x10, 0, 7],
        "command": [0x07, 0, 0xBEEF],
        "scope": [0x10, 0, 7],
        "scope of a hearer": [0x13, 0, 7],
        "other group": [0x10, 0, 7],
    }
    assert found["refusals"]["joined"] == ["239.2.0.1"]


def test_limits(found: Any) -> None:
    """Groups of a connection and of a rule, and octets of a group."""
    told = found["limited"]
    assert told["connection"] == [0] * 6 + [2]
    assert told["rule"] == [0, 0, 2, 2, 2, 0]
    assert told["another"] == 0
    # Not once for each time that it was asked.
    assert told["refused"] == ["6 groups of one connection", '2 groups (rule "slow")']
    # Of 40 datagrams of 1000 octets at 2000 octets per second.
    assert told["rate"] == [40, True]


def test_resetByTheClient(found: Any) -> None:
    """It leaves, whatever the end of its connection."""
    assert found["ended"]["reasons"] == ["client-lost"]


def test_brokenMessages(found: Any) -> None:
    """Each octet of a request changed: others are served as before."""
    assert found["broken"] == {"many": True, "tried": True, "well": "well"}


def test_whatIsShown(found: Any) -> None:
    """Sessions with their octets, and metrics."""
    assert found["observed"] == {"session": ["multicast", 5], "metrics": True}


def test_reload(found: Any) -> None:
    """A group that is forbidden is left; the rest stays until nothing is served."""
    told = found["reloaded"]
    assert (told["kept"], told["again"], told["ended"]) == (True, 0x11, True)
    (first, second) = told["why"]
    assert first[:2] == [f"{GROUP[4]}:{PORT}", "revoked"]
    assert '"both" is there no longer' in first[2]
    assert second == [
        f"239.2.0.1:{PORT}",
        "revoked",
        "it is joined at another interface now",
    ]


def test_restart(found: Any) -> None:
    """The process before serves its members, and the other one new ones."""
    told = found["restarted"]
    assert told == {"others": True, "old": "both", "new": "both", "member": True}


def test_stop(found: Any) -> None:
    """The gateway ends: no group is left joined."""
    assert found["stopped"]["ends"]
    assert len(found["stopped"]["line"]) == 1


def test_workers(found: Any) -> None:
    """Each joins for its own clients, and they count together."""
    told = found["crowd"]
    assert told["came"] == ["all"] * 6
    assert told["refused"] == 2
    assert told["workers"] == 2


def test_journal(found: Any) -> None:
    """A line before a group is joined, and one when it is left."""
    flows, ends = found["flows"], found["flow ends"]
    assert {each["command"] for each in flows} == {"multicast"}
    first = flows[0]
    wanted = {
        "asked": GROUP[4],
        "port": PORT,
        "verdict": "allow",
        "rule": "both",
        "direction": "receive",
        "interface": "mc0",
        "addresses": [GROUP[4]],
    }
    assert wanted.items() <= first.items()
    assert "ttl" not in first
    assert flows[1]["direction"] == "both"
    assert flows[1]["ttl"] == 3
    (changed, left) = ends[:2]
    assert (changed["reason"], left["reason"]) == ("changed", "released")
    # "hello" came before, and "next" afterwards.
    assert (changed["received"], left["received"]) == (5, 4)
    assert (left["sent"], left["sent_datagrams"]) == (len("upfurtherstill"), 3)
    allowed = [each for each in flows if each["verdict"] == "allow"]
    assert len(allowed) == len(ends)
    whys = {each["asked"]: each["why"] for each in flows if each["verdict"] == "deny"}
    assert whys["10.9.2.2"] == "10.9.2.2 is not a multicast group"
    assert whys["224.0.0.251"].endswith("is a group of the local network (special)")
    assert any(each.get("senders") == ["10.9.2.2"] for each in flows)


@pytest.fixture(scope="module")
def ported() -> Any:
    """Return what has come of L{tests.interop.groupports}."""
    return json.loads(alone("tests.interop.groupports"))


def test_namedPort(ported: Any) -> None:
    """A client of another address is sent to where it says."""
    assert ported["named"] == "at once"


@pytest.mark.parametrize("near", ["192.0.2.7", ALL, "127.0.0.1"])
def test_portOfTheClient(ported: Any, near: str) -> None:
    """
    Its first datagram tells it: behind an address translation, and on the gateway's
    own host.
    """
    assert ported[f"arming {near}"] == {"reply": 0, "came": "now"}


def test_circle(ported: Any) -> None:
    """What came of the group is not sent there again."""
    assert ported["circle"] == {"replies": [0, 0], "came": "spark", "heard": "after"}


@pytest.fixture(scope="module")
def watched() -> Any:
    """Return what programs and players have got."""
    program("ffmpeg", "ffmpeg")
    return json.loads(alone("tests.interop.televised"))


@pytest.mark.parametrize("version", [4, 6])
def test_television(watched: Any, version: int) -> None:
    """A picture and its sound, by RTP, with the program of the manual."""
    assert watched[f"television {version}"] == {"mpeg2video": True, "mp2": True}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("client", "version"),
    [("client 4", 4), ("client 6", 6), ("tls", 4), ("gssapi", 4)],
)
def test_programs(watched: Any, client: str, version: int, inside: bool) -> None:
    """
    C{socksgw.client.groups}: what comes, what goes, and what is refused; also by TLS,
    and where GSSAPI protects what goes in the connection and beside it.
    """
    told = watched[f"{client} {inside}"]
    assert told["came"] == ["good", [GROUP[version], PORT]]
    assert told["others"] == ["other", "good"]
    assert told["heard"] == "up"
    denied = "the proxy's rules do not allow it"
    assert told["ttl"] == f"{denied} (so high a TTL)"
    assert told["denied"] == f"{denied} (to receive from the group)"
    guarded = client == "gssapi" or (client == "tls" and inside)
    refused = f"{denied} (to receive from the group)"
    assert told["guarded"] == ("joined" if guarded else refused)
    assert told["left"] == [True, True]
    assert told["stopped"]


def test_secured(watched: Any) -> None:
    """Each group's line tells how its datagrams go: TLS protects those inside it."""
    assert watched["flows"] == [
        ["tls", None, "anonymous", "deny"],
        ["gssapi", "confidentiality", "alice", "allow"],
        ["tls", "confidentiality", "anonymous", "allow"],
        ["gssapi", "confidentiality", "alice", "allow"],
    ]


def test_asking(tmp_path: Path) -> None:
    """C{explain} and C{[[expect]]} know the command."""
    expect = (
        '[[expect]]\ncommand = "multicast"\nto = "239.2.0.1:5004"\n'
        'verdict = "allow"\nrule = "hear"\n'
    )
    text = LISTEN.replace("127.0.0.1:0", "127.0.0.1:1080").replace('"[::1]:0"', "")
    (tmp_path / "gw.toml").write_text(text + RULES + expect)
    checked = socksgw("check", str(tmp_path / "gw.toml"))
    assert checked.returncode == 0, checked.stdout
    assert 'no "mc0" on this machine now' in checked.stdout
    for group, status in (("239.2.0.1:5004", 0), ("239.9.0.1:5004", 1)):
        asked = ("explain", "--config", str(tmp_path / "gw.toml"), "multicast", group)
        done = socksgw(*asked)
        assert done.returncode == status, done.stdout + done.stderr


def test_theChapter(tmp_path: Path) -> None:
    """Its configuration is good, where it says which interface there is."""
    text = chapters()["multicast"].partition(".. code-block:: toml\n")[2]
    block = text.partition("\nWithout ")[0]
    lines = [line.removeprefix("    ") for line in block.splitlines()]
    shown = "\n".join(lines).replace("10.0.0.2:1080", "127.0.0.1:1080")
    (tmp_path / "gw.toml").write_text(shown.replace('"eth1"', '"lo"'))
    checked = socksgw("check", "--strict", str(tmp_path / "gw.toml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
