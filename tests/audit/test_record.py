"""
The lines of a session: JSON in ASCII whatever anybody sends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.audit import chain, process
from socksgw.audit.catalogue import CATALOGUE, COMMON, EVENTS
from socksgw.audit.checkpoints import checkpointLine
from socksgw.audit.record import SessionRecord
from socksgw.audit.secured import tlsMembers
from socksgw.errors import LookupFailed, NotAllowed, SocksError
from socksgw.interfaces import Finding
from socksgw.system.program import Program
from socksgw.system.tlssession import TLSSession
from socksgw.wire.address import Address
from tests.tools.catalogue import catalogued

#: Of every line about a client.
CLIENT = ("session", "listener", "client", "protocol")
V4, V6 = Address.parse("192.0.2.7"), Address.parse("2001:db8::7")


@dataclass
class Said:
    """What the policy said."""

    allowed: bool = True
    rule: str = "web"
    why: str = ""
    addresses: tuple[Address, ...] = (V4, V6)
    struck: tuple[tuple[Address, str], ...] = ()
    error: SocksError | None = None
    ticket: str = ""
    reports: tuple[str, ...] = ()
    hint: str = ""
    decider: str = ""
    said: str = ""
    pending: bool = False
    #: Of the first address and of the second.
    rules: tuple[str, str] = ("web", "web")

    @property
    def verdicts(self) -> dict[Address, Said]:
        return {V4: Said(rule=self.rules[0]), V6: Said(rule=self.rules[1])}


@dataclass(frozen=True)
class Method:
    """A method, of which the record tells the name."""

    name: str


def line(body: str) -> dict[str, Any]:
    """A body, as the line that the journal makes of it."""
    octets, _ = chain.chained(
        f'"v":1,"n":1,"time":"2026-11-28T07:00:00.000Z",{body}', chain.FIRST
    )
    assert octets.endswith(b"\n")
    inside = octets[:-1]
    assert all(0x20 <= octet < 0x7F for octet in inside)
    pairs: list[list[tuple[str, Any]]] = []

    def once(found: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs.append(found)
        return dict(found)

    found: dict[str, Any] = json.loads(inside, object_pairs_hook=once)
    for each in pairs:
        assert len({key for key, _ in each}) == len(each), "a member twice"
    assert found["event"] in EVENTS
    chain.read(inside, chain.FIRST)
    return found


def recorded() -> SessionRecord:
    record = SessionRecord(7, "lan", V4, 40000, 100.0)
    record.protocol = "socks5"
    record.user, record.method = "alice", "userpass"
    record.command, record.asked, record.name = (
        "connect",
        b"WWW.example.",
        "www.example",
    )
    record.port = 443
    return record


def test_theDecisionLineOfAGrant() -> None:
    """What was asked, who asked, what was decided, what may be dialled."""
    record = recorded()
    record.decided(Said(struck=((Address.parse("10.0.0.1"), 'no: "x"'),)))
    found = line(record.decisionLine())
    assert {k: v for k, v in found.items() if k not in ("v", "n", "time", "hash")} == {
        "event": "decision",
        "session": 7,
        "listener": "lan",
        "client": "192.0.2.7:40000",
        "protocol": "socks5",
        "user": "alice",
        "method": "userpass",
        "command": "connect",
        "asked": "WWW.example.",
        "name": "www.example",
        "port": 443,
        "verdict": "allow",
        "rule": "web",
        "why": "",
        "addresses": ["192.0.2.7", "2001:db8::7"],
        "struck": [["10.0.0.1", 'no: "x"']],
    }


def test_theDecisionLineOfARefusal() -> None:
    """The reply and the reason are in it; no rule is null."""
    record = recorded()
    record.decided(Said(False, "inside", "a rule denies it", (), (), NotAllowed()))
    found = line(record.decisionLine())
    assert (found["verdict"], found["rule"]) == ("deny", "inside")
    assert (found["reply"], found["reason"]) == (2, "policy")
    assert found["addresses"] == []
    record.decided(Said(False, "", "no such host", (), (), LookupFailed("x")))
    found = line(record.decisionLine())
    assert (found["rule"], found["reply"], found["reason"]) == (None, 4, "no-such-host")


def test_theRuleOfTheAddressThatIsUsed() -> None:
    """
    The decision tells which rule allows which address, where they differ; the
    end, which of them the session lived by.
    """
    record = recorded()
    record.decided(Said(ticket="T-1"))
    assert "rules" not in line(record.decisionLine())
    record.decided(Said(ticket="T-1", rules=("web", "six")))
    found = line(record.decisionLine())
    assert (found["rule"], found["rules"]) == ("web", ["web", "six"])
    record.livesBy("web", "T-1")
    assert "rule" not in line(record.endLine(101.0))
    record.livesBy("six", "")
    record.dialled, record.bound = V6, (V6, 1)
    for found in (line(record.endLine(101.0)), line(record.peerLine(21))):
        assert found["rule"] == "six"
        assert "ticket" not in found


def test_aLiteralHasNoName() -> None:
    """C{name} is the normal form of a name, or null."""
    record = recorded()
    record.name = None
    record.decided(Said())
    assert line(record.decisionLine())["name"] is None


def test_aLimitIsADenial() -> None:
    """Reply 01 (RFC 1928 section 6: general failure)."""
    record = recorded()
    record.decided(Said())
    record.limited("5 sessions in all", 1, "limit")
    found = line(record.decisionLine())
    assert (found["verdict"], found["rule"], found["reply"]) == ("deny", "limit", 1)
    assert found["why"] == "5 sessions in all"


def test_theEndLine() -> None:
    """Address, bound address, octets each way, duration and reason."""
    record = recorded()
    record.dialled, record.bound = V6, (V6, 50000)
    record.sent, record.received, record.reason = 11, 22, "closed"
    found = line(record.endLine(101.5))
    assert found["session"] == 7
    assert (found["address"], found["bound"]) == ("2001:db8::7", "[2001:db8::7]:50000")
    assert (found["sent"], found["received"]) == (11, 22)
    assert (found["seconds"], found["reason"]) == (1.5, "closed")


def test_theEndLineOfWhatWasNeverConnected() -> None:
    """Nothing dialled, nothing bound."""
    found = line(recorded().endLine(100.0))
    assert (found["address"], found["bound"]) == (None, None)


def test_theOtherLines() -> None:
    """Refusals before the policy, failed logins, start and stop."""
    record = recorded()
    record.offered, record.wanted = b"\x00\x02\xff", [Method("gssapi")]
    found = line(record.refusedLine("why not"))
    assert (found["offered"], found["wanted"]) == ([0, 2, 255], ["gssapi"])
    record.claimed = b"bob"
    assert "claimed" not in line(record.refusedLine("why not"))
    user, record.user = record.user, ""
    assert line(record.refusedLine("why not"))["claimed"] == "bob"
    record.user = user
    found = line(record.loginFailedLine("why not"))
    assert (found["claimed"], found["method"]) == ("bob", "userpass")
    assert found["why"] == "why not"
    assert "user" not in found
    assert line(process.startLine('edge "1"\n'))["gateway"] == 'edge "1"\n'
    assert line(process.stopLine("edge"))["event"] == "stop"


OCTETS = st.binary(max_size=40) | st.sampled_from(
    [b'"', b"\\", b'","verdict":"allow', b"\x1b[31m", b"\n", b"\0", bytes(range(256))]
)
TEXTS = st.text(max_size=20) | st.sampled_from(
    ['"', "\\", '","x":"', "\x1b[2J", "\n", "\0", "\x7f", "\u2028", "\ud800", "é"]
)


@settings(deadline=None, max_examples=300)
@given(OCTETS, OCTETS, OCTETS, TEXTS, TEXTS, TEXTS, st.booleans())
def test_nothingThatAnybodySendsForgesALine(
    asked: bytes,
    userId: bytes,
    claimed: bytes,
    user: str,
    why: str,
    listener: str,
    allowed: bool,
) -> None:
    """
    Every line is one JSON object in printable ASCII, with the fields that it
    should have and no others, whatever octets names and users are of.
    """
    record = SessionRecord(1, listener, V6, 1, 0.0)
    record.protocol = record.command = "socks4"
    record.asked, record.userId, record.claimed = asked, userId, claimed
    record.user, record.method, record.reason = user, user, "failed"
    record.wanted, record.offered = [Method(user)], asked
    plain = SessionRecord(1, "a", V6, 1, 0.0)
    plain.protocol = plain.command = "socks4"
    plain.asked, plain.userId = b"a", userId and b"a"
    plain.claimed = claimed and b"a"
    plain.user, plain.method, plain.reason = user and "a", "a", "failed"
    plain.wanted, plain.offered = [Method("a")], b"a"
    for each, text in ((record, why), (plain, "a")):
        struck = ((V4, text),)
        each.decided(Said(allowed, text or "r", text, (V4,), struck, None))
    lines = [
        (record.decisionLine(), plain.decisionLine()),
        (record.refusedLine(why), plain.refusedLine("a")),
        (record.loginFailedLine(why), plain.loginFailedLine("a")),
        (process.startLine(user), process.startLine("a")),
    ]
    for hostile, ordinary in lines:
        found = line(hostile)
        assert list(found) == list(line(ordinary))
    decision = line(record.decisionLine())
    assert decision["verdict"] == ("allow" if allowed else "deny")
    assert decision["user"] == user
    assert decision["asked"].isprintable()


def everyLine() -> list[str]:
    """Each line that the recorders can write, with everything that it can hold."""
    record = recorded()
    record.within("netns:blue")
    said = Said(
        struck=((V4, "x"),),
        ticket="T-1",
        reports=("r: deny",),
        hint="h",
        rule="grant:6",
        rules=("web", "six"),
        decider="opa",
        said="s",
        pending=True,
    )
    record.groups, record.secured, record.userId = ("staff",), "integrity", b"fred"
    record.runBy(Program(1000, pid=4711))
    record.tag = "job"
    record.claimed, record.offered, record.wanted = b"al", b"\0", [Method("none")]
    record.proxied = ',"sender":"s","sender_to":"t","told":{}'
    record.tls = tlsMembers(TLSSession("TLSv1.3", "X25519", "ab" * 32, "0A"))
    record.policy = "0123456789ab"
    record.decided(said)
    record.via, record.judged = "a, b", "name"
    record.went("a, b", TLSSession("TLSv1.2", ""))
    group = record.ofFlow(b"x", V4, 53)
    group.ofGroup("both", "eth1", 8, [V4])
    lines = [record.decisionLine(), group.decisionLine("flow")]
    record.dialled, record.bound, record.strangers = V4, (V4, 1), 3
    record.livesBy("grant:5", "T-2")
    record.ending = "revoked"
    record.carries(
        Finding("tls", "a.example", outer=True, alpn=("h2",), method="GET", detail="d"),
        mismatch=True,
        reports=["other: deny"],
    )
    lines.append(record.inspectedLine(True, "grant:4", "", "T-3", ("opa", "s")))
    lines += [record.endLine(101.0), record.peerLine(21), record.refusedLine("w")]
    lines += [record.loginFailedLine("w"), record.flowsRefusedLine("w")]
    lines.append(
        record.flowEndLine(
            V4, 53, (1, 1), (2, 2), 0.5, "quota", 3, "why", "T-1", "a", "grant:6"
        )
    )
    record.decided(Said(False, "no", "w", (), (), NotAllowed()))
    lines.append(record.decisionLine())
    record.user = ""
    lines.append(record.refusedLine("w"))
    return [
        *lines,
        process.startLine("g"),
        process.startLine("g", "ab" * 32),
        process.handoverLine("g", 1, 2, "ab" * 32),
        process.stopLine("g"),
        process.reloadedLine(1, 2, "ab" * 32),
        process.reloadFailedLine(["p"]),
        process.adminLine("uid:0", "kill", "user=alice", "2 sessions ended"),
        process.tlsReadLine("lan", ["key"]),
        process.tlsFailedLine("lan", ["p"]),
        process.storesLine(["p"]),
        process.groupsFailedLine("c", "u", "r"),
        process.networkLine("netns:blue", "lost", "w"),
        process.leavingLine("192.0.2.7", "lost"),
        process.workerLine("died", 7, "w", 2),
        checkpointLine("edge", f"17:{'0' * 64}", "k", "s"),
        process.sinkLine("s", "file", "failing", 17, 4, "w", 3, 2),
        process.grantLine(7, "approved", "uid:0", "T-1", "a", 1.0, "w"),
        process.upstreamLine(
            "edge", "netns:blue", "ejected", "w", 1, 2, {"upstream-login": 3}
        ),
    ]


def test_everyFieldIsInTheCatalogue() -> None:
    """
    And each of the catalogue can be written; what the journal says of itself is
    looked at where it is.
    """
    found: dict[str, set[str]] = {}
    for body in everyLine():
        made = line(body)
        catalogued(made)
        found.setdefault(made["event"], set()).update(made)
    found["flow"] |= found["decision"]
    own = {"denials", "missing", "recovered", "refusals", "resumed"}
    assert set(found) == EVENTS - own
    for event, fields in found.items():
        assert fields - set(COMMON) == set(CATALOGUE[event]), event


def test_whatStrangersSendIsCut() -> None:
    """A refusal is a short line, whatever was claimed or offered."""
    made = recorded()
    made.claimed = made.userId = made.asked = b"\\" * 255
    made.offered = bytes(range(255))
    made.command = "connect"
    failed, refused = made.loginFailedLine("w"), made.refusedLine("w")
    assert len(failed) < 1000
    assert len(refused) < 1600
    assert "(255 octets)" in failed
    # A decision says all of it.
    assert made.decisionLine().count("x5c") == 2 * 255
