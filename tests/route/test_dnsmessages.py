"""
What is an answer to a question, and what is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from socksgw.route import dnsmessages
from socksgw.wire.address import Address
from tests.route.servers import (
    Script,
    Worlds,
    mute,
    reason,
    records,
)


def test_aNameHasItsAddresses(worlds: Worlds) -> None:
    """Each once, and of the wanted version alone."""
    world = worlds(
        records("192.0.2.2", "192.0.2.1", "192.0.2.2", "2001:db8::1"), edns=True
    )
    assert [sorted(found) for found in world.ask()[0]] == [["192.0.2.1", "192.0.2.2"]]
    assert world.ask(version=6)[0] == [["2001:db8::1"]]
    (server,) = world.servers
    other = "A" if world.pairs else "AAAA"
    assert server.names == ["www.example A", f"www.example {other}"]
    for query in server.asked:
        assert query.flags & dns.flags.RD
        assert (query.edns, query.payload) == (0, 1232)


def test_aliasesAreFollowed(worlds: Worlds) -> None:
    """Within the answer (RFC 1034 section 3.6.2)."""
    world = worlds(records("www.example. CNAME a.example.", "a.example. A 192.0.2.1"))
    assert world.ask()[0] == [["192.0.2.1"]]


def test_aRecordOfAnotherNameIsNoAnswer(worlds: Worlds) -> None:
    """Whatever a server adds."""
    world = worlds(records("other.example. A 192.0.2.66"))
    assert world.ask()[0] == [[]]


def test_aliasesInACircleAreNoAnswer(worlds: Worlds) -> None:
    """They end."""
    world = worlds(records("www.example. CNAME www.example."))
    assert reason(world.ask()[0]) == "lookup-failed"


def test_noSuchName(worlds: Worlds) -> None:
    """Final: no other server is asked."""
    world = worlds(records(code=3), mute)
    assert reason(world.ask()[0]) == "no-such-host"
    assert world.servers[1].asked == []


def test_theNameOfAnAddress(worlds: Worlds) -> None:
    """A PTR record (RFC 1035 section 3.3.12)."""
    world = worlds(records("1.2.0.192.in-addr.arpa. PTR www.example."))
    asked = world.names.pointer(Address.parse("192.0.2.1"))
    assert world.collect(asked)[0] == ["www.example."]
    asked = world.names.pointer(Address.parse("2001:db8::1"))
    assert reason(world.collect(asked)[0]) == "no-such-host"
    assert world.servers[0].names[1].endswith("8.b.d.0.1.0.0.2.ip6.arpa PTR")


def test_whatStandsBehindAnAnswerIsNotParsed(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns a name decides how much that is."""
    parsed: list[dns.message.Message] = []
    real = dns.message.from_wire

    def parse(octets: bytes, **options: Any) -> dns.message.Message:
        message = real(octets, **options)
        if message.flags & dns.flags.QR:
            parsed.append(message)
        return message

    def stuffed(query: dns.message.Message) -> bytes:
        asked = query.question[0].name.to_text()
        named = {
            "www.example.": "192.0.2.1",
            "1.2.0.192.in-addr.arpa.": "1.2.0.192.in-addr.arpa. PTR www.example.",
        }
        answer = records(*([named[asked]] if asked in named else []))(query)
        assert isinstance(answer, dns.message.Message)
        for section in (answer.authority, answer.additional):
            for number in range(60):
                owner = f"n{number}.example."
                section.append(dns.rrset.from_text(owner, 60, "IN", "NS", owner))
        return answer.to_wire(max_size=65535)

    world = worlds(stuffed)
    monkeypatch.setattr(dns.message, "from_wire", parse)
    assert world.ask("www.example")[0] == [["192.0.2.1"]]
    assert world.ask("none.example")[0] == [[]]
    assert parsed == []
    pointer = world.names.pointer
    found, _ = world.collect(pointer(Address.parse("192.0.2.1")))
    assert found == ["www.example."]
    found, _ = world.collect(pointer(Address.parse("192.0.2.2")))
    assert reason(found) == "no-such-host"
    sizes = [len(each.authority) + len(each.additional) for each in parsed]
    assert sizes == [0, dnsmessages._OTHERS]


def forged(change: Callable[[dns.message.Message], object]) -> Script:
    def script(query: dns.message.Message) -> dns.message.Message:
        answer = records("192.0.2.66")(query)
        assert isinstance(answer, dns.message.Message)
        change(answer)
        return answer

    return script


def rename(answer: dns.message.Message) -> None:
    answer.question = [dns.rrset.from_text("other.example.", 0, "IN", "A")]


def retype(answer: dns.message.Message) -> None:
    answer.question = [dns.rrset.from_text("www.example.", 0, "IN", "AAAA")]


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: setattr(answer, "id", answer.id ^ 1),
        lambda answer: setattr(answer, "flags", answer.flags & ~dns.flags.QR),
        lambda answer: answer.set_opcode(dns.opcode.NOTIFY),
        rename,
        retype,
    ],
    ids=["id", "query", "opcode", "name", "type"],
)
def test_anAnswerToAnotherQuestionIsNone(
    worlds: Worlds, change: Callable[[dns.message.Message], object]
) -> None:
    """It is waited on; the right one counts when it comes."""
    world = worlds(forged(change))
    found, _ = world.ask()
    assert found == []
    (server,) = world.servers
    good = records("192.0.2.1")(server.asked[0])
    assert isinstance(good, dns.message.Message)
    server.socket.sendto(good.to_wire(), server.peers[0])
    world.pump()
    assert found == [["192.0.2.1"]]
