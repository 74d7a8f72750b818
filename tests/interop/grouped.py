"""
A gateway with a network of multicast groups beside it, by the kernel's own IGMP and MLD.

The gateway and its clients are in one network namespace, two senders in another, with a
cable between them. What becomes of it all is printed. Run by L{tests.live.netns.alone}.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import Any

from tests.live.admin import AdminClient
from tests.live.groups import (
    BIND,
    INSIDE,
    MM,
    MULTICAST,
    RECEIVE,
    RELEASE,
    SEND,
    SOURCES,
    TTL,
    UNICAST,
    Member,
    asked,
    filters,
    heard,
    member,
    memberships,
    speaker,
)
from tests.live.netns import cable, ip, within
from tests.live.restarts import Restarted
from tests.live.running import Running
from tests.tools.waiting import until

#: The senders, by the version of IP: one that rules and clients like, and another.
GOOD = {4: "10.9.2.2", 6: "fd00:9::2"}
OTHER = {4: "10.9.2.3", 6: "fd00:9::3"}
#: A sender of another network, which the gateway has an interface of.
THIRD = {4: "10.8.2.2", 6: "fd00:8::2"}
GATEWAY = {4: "10.9.2.1", 6: "fd00:9::1"}
GROUP = {4: "239.1.2.3", 6: "ff15::1:2:3"}
PORT = 5004

LISTEN = """
[[listen]]
name = "main"
address = ["127.0.0.1:0", "[::1]:0"]
[listen.multicast]
interface = "mc0"
groups = 6
[[auth.choose]]
from = ["127.0.0.0/8", "::1"]
methods = ["none"]
"""
RULES = """
[[rule]]
id = "both"
allow = ["multicast"]
to = ["239.1.0.0/16", "ff15::/64"]
multicast = { send = true, ttl = 8 }
[[rule]]
id = "hear"
allow = ["multicast"]
to = ["239.2.0.0/16", "ff15:2::/64"]
multicast = { sources = ["10.9.2.2", "fd00:9::2"] }
[[rule]]
id = "slow"
allow = ["multicast"]
to = ["239.3.0.0/16"]
multicast = { send = true }
limits = { per = "rule", rate = "2KB/s", groups = 2 }
[[rule]]
id = "lost"
allow = ["multicast"]
to = ["239.4.0.0/16"]
multicast = { interface = "no0" }
"""
#: The same without the first rule.
FEWER = RULES[RULES.index("[[rule]]", 10) :]

found: dict[str, Any] = {}


class Far:
    """The senders and the members of the other side."""

    def __init__(self) -> None:
        with within("far"):
            self.good = {v: speaker(GOOD[v], "mc1") for v in (4, 6)}
            self.other = {v: speaker(OTHER[v], "mc1") for v in (4, 6)}
            self.members = {v: member(GROUP[v], PORT, "mc1") for v in (4, 6)}
            self.third = {v: speaker(THIRD[v], "mc3") for v in (4, 6)}

    def say(self, text: bytes, version: int = 4, group: str = "") -> None:
        """Send to a group, as the one that is liked."""
        self.good[version].sendto(text, (group or GROUP[version], PORT))

    def hears(self, version: int) -> tuple[str, str, int]:
        """Return the next datagram that the gateway has sent to the group, as L{heard}."""
        while True:
            octets, sender, ttl = heard(self.members[version])
            # What the other side says itself, it hears, too.
            if sender == GATEWAY[version]:
                return octets.decode(), sender, ttl

    def disturb(self, text: bytes, version: int = 4, group: str = "") -> None:
        """Send to it as the other."""
        self.other[version].sendto(text, (group or GROUP[version], PORT))


def gone(group: str) -> None:
    """Wait until the gateway's host is in a group no longer."""
    until(lambda: group not in memberships("mc0"))


def over(client: Member) -> bool:
    """Return whether the next that comes of the connection is its end."""
    try:
        return client.control.recv(1) == b""
    except ConnectionResetError:
        return True


def drained(group: str) -> None:
    """Wait until no socket of this host has datagrams for a group that are not read."""
    local = f"{socket.inet_aton(group)[::-1].hex().upper()}:{PORT:04X}"

    def empty() -> bool:
        lines = Path("/proc/thread-self/net/udp").read_text().splitlines()[1:]
        queues = [w[4] for w in map(str.split, lines) if w[1] == local]
        return all(each.endswith(":00000000") for each in queues)

    until(empty)


def udp(gateway: Running, far: Far, version: int) -> dict[str, Any]:
    """A client that receives, then sends, and leaves, with its datagrams beside."""
    told: dict[str, Any] = {}
    host, port = (
        ("127.0.0.1", gateway.ports[0]) if version == 4 else ("::1", gateway.ports[1])
    )
    group = GROUP[version]
    with Member(port, host) as client:
        told["entered"] = client.entered.hex()
        joined = client.bind(group, PORT, RECEIVE | MM)
        told["joined"] = joined.reply, joined.flags, joined.tid, joined.remote
        told["relay"] = joined.local[0]
        told["member"] = group in memberships("mc0")
        far.say(b"hello", version)
        told["came"] = client.receive() == (joined.aid, b"hello")
        # Nothing may be sent yet.
        client.send(joined.aid, b"unheard")
        both = client.bind(group, PORT, SEND, aid=joined.aid, ttl=3)
        told["both"] = both.reply, both.flags, both.aid == joined.aid
        client.send(joined.aid, b"up")
        told["heard"] = far.hears(version)
        scoped = client.ask(TTL, 0, ttl=5, aid=joined.aid)
        told["scoped"] = scoped.reply, scoped.aid == joined.aid
        client.send(joined.aid, b"further")
        told["heard further"] = far.hears(version)
        told["too far"] = [
            client.ask(TTL, 0, ttl=9, aid=joined.aid).reply,
            client.ask(TTL, 0, ttl=0, aid=joined.aid).reply,
        ]
        # It is no member of what it sends itself; what comes next is another's.
        far.say(b"next", version)
        told["next"] = client.receive()[1].decode()
        released = client.ask(RELEASE, RECEIVE, aid=joined.aid)
        told["released"] = released.reply, released.flags
        gone(group)
        client.send(joined.aid, b"still")
        told["still"] = far.hears(version)[0]
        told["over"] = client.ask(RELEASE, RECEIVE | SEND, aid=joined.aid).reply
        told["unknown"] = client.ask(RELEASE, RECEIVE, aid=joined.aid).reply
    return told


def inside(gateway: Running, far: Far, version: int) -> dict[str, Any]:
    """Everything inside the connection."""
    group = GROUP[version]
    told: dict[str, Any] = {}
    with Member(gateway.ports[0]) as client:
        joined = client.bind(group, PORT, RECEIVE | SEND | INSIDE, ttl=2)
        told["joined"] = joined.reply, joined.flags, joined.local
        far.say(b"hello", version)
        told["came"] = client.carry() == (joined.aid, b"hello")
        client.send(joined.aid, b"up", inside=True)
        told["heard"] = far.hears(version)
        # The whole of a datagram that is as long as one may be.
        client.send(joined.aid, b"x" * 65507, inside=True)
        client.send(joined.aid, b"", inside=True)
        lengths = [len(far.hears(version)[0]) for _ in range(2)]
        told["lengths"] = lengths
    gone(group)
    return told


def chosen(gateway: Running, far: Far, version: int) -> dict[str, Any]:
    """Only one sender is wanted: the kernel keeps the other away."""
    group = GROUP[version]
    told: dict[str, Any] = {}
    with Member(gateway.ports[0]) as client, Member(gateway.ports[0]) as anybody:
        joined = client.bind(group, PORT, RECEIVE | SOURCES, sources=(GOOD[version],))
        told["joined"] = joined.reply, joined.flags
        told["filter"] = sorted(filters("mc0"))
        anybody.bind(group, PORT)
        far.disturb(b"other", version)
        far.say(b"good", version)
        # The other's datagram was there: a client without a choice has both.
        told["anybody"] = [anybody.receive()[1].decode() for _ in range(2)]
        told["came"] = client.receive()[1].decode(), client.silent()
    gone(group)
    return told


def elsewhere(gateway: Running, far: Far, version: int) -> dict[str, Any]:
    """A program of the gateway's host has joined the group in another network."""
    group = GROUP[version]
    told: dict[str, Any] = {}
    with Member(gateway.ports[0]) as client, member(group, PORT + 1, "mc2") as program:
        client.bind(group, PORT)
        for port in (PORT, PORT + 1):
            far.third[version].sendto(b"foreign", (group, port))
        # The one before has come in, too.
        told["program"] = heard(program)[0].decode()
        far.say(b"good", version)
        told["came"] = client.receive()[1].decode(), client.silent()
    gone(group)
    return told


def between(gateway: Running, far: Far) -> dict[str, Any]:
    """Two clients of one group hear each other, and not themselves."""
    with Member(gateway.ports[0]) as one, Member(gateway.ports[0]) as two:
        first = one.bind(GROUP[4], PORT, RECEIVE | SEND, ttl=1)
        second = two.bind(GROUP[4], PORT, RECEIVE | SEND | INSIDE, ttl=1)
        one.send(first.aid, b"from one")
        two.send(second.aid, b"from two", inside=True)
        told = {
            "one": one.receive()[1].decode(),
            "two": two.carry()[1].decode(),
            "far": sorted(far.hears(4)[0] for _ in range(2)),
            "silent": one.silent() and not two.carried,
        }
    gone(GROUP[4])
    return told


def refusals(gateway: Running, far: Far) -> dict[str, Any]:
    """What is denied, and what is wrong."""
    with Member(gateway.ports[0]) as client:

        def told(*arguments: Any, **more: Any) -> list[int]:
            answer = client.ask(*arguments, **more)
            return [answer.reply, answer.flags, answer.tid]

        def bind(group: str, flags: int, port: int = PORT, **more: Any) -> list[int]:
            return told(BIND, flags, (group, port), client.near, **more)

        group = RECEIVE | MULTICAST
        result: dict[str, Any] = {
            "no rule": bind("239.9.9.9", group),
            "no rule, both": bind("239.9.9.9", group | SEND, ttl=1),
            "no rule to send": bind("239.9.9.9", SEND | MULTICAST, ttl=1),
            "only hear": bind("239.2.0.1", group | SEND, ttl=1),
            "TTL": bind("239.1.0.1", group | SEND, ttl=9),
            "no group": bind("10.9.2.2", group),
            "no interface": bind("239.4.0.1", group),
            "port 0": bind("239.1.0.1", group, 0),
            "local group": bind("224.0.0.251", group),
            "local group of IPv6": bind("ff02::fb", group),
            "sender": bind("239.2.0.1", group | SOURCES, sources=(GOOD[4], OTHER[4])),
            "unicast": bind("239.1.0.1", RECEIVE | UNICAST),
            "neither": bind("239.1.0.1", MULTICAST),
            "both ways": bind("239.1.0.1", group | INSIDE | UNICAST),
            "number": bind("239.1.0.1", group, aid=77),
            "command": told(9, 0, tid=0xBEEF),
            "scope": told(TTL, 0, ttl=1, aid=77),
        }
        heard_ = client.bind("239.2.0.1", PORT)
        result["scope of a hearer"] = told(TTL, 0, ttl=1, aid=heard_.aid)
        result["other group"] = bind("239.2.0.2", group, aid=heard_.aid)
        result["joined"] = sorted(
            each for each in memberships("mc0") if each.startswith("239.")
        )
    gone("239.2.0.1")
    return result


def limited(gateway: Running, far: Far) -> dict[str, Any]:
    """Groups of a connection, groups of a rule, and a rate."""
    told: dict[str, Any] = {}
    with Member(gateway.ports[0]) as client:
        told["connection"] = [
            client.bind(f"239.1.0.{n}", PORT).reply for n in range(1, 8)
        ]
    gone("239.1.0.1")
    with Member(gateway.ports[0]) as client, Member(gateway.ports[0]) as other:
        joined = client.bind("239.3.0.1", PORT)
        told["rule"] = [
            joined.reply,
            other.bind("239.3.0.1", PORT).reply,
            *(other.bind("239.3.0.2", PORT).reply for _ in range(3)),
            # It asks for more of what it has.
            client.bind("239.3.0.1", PORT, SEND, aid=joined.aid, ttl=1).reply,
        ]
        other.ask(RELEASE, RECEIVE, aid=1)
        told["another"] = other.bind("239.3.0.2", PORT).reply
        for _ in range(40):
            far.say(b"x" * 1000, group="239.3.0.1")
        # As much as fits, and what does not is dropped.
        client.receive()
        drained("239.3.0.1")
        client.ask(RELEASE, RECEIVE | SEND, aid=joined.aid)
    gone("239.3.0.1")

    def ends() -> list[dict[str, Any]]:
        lines = gateway.journal("flow-end")
        return [each for each in lines if "limited" in each]

    until(ends)
    (end,) = ends()
    told["rate"] = end["limited"] + end["received_datagrams"], end["limited"] > 20
    told["refused"] = [each["why"] for each in gateway.journal("flows-refused")]
    return told


def sources(gateway: Running, far: Far, version: int) -> dict[str, Any]:
    """A rule lets one sender's datagrams through."""
    group = {4: "239.2.0.1", 6: "ff15:2::1"}[version]
    with Member(gateway.ports[0]) as client:
        client.bind(group, PORT)
        far.disturb(b"other", version, group)
        far.say(b"good", version, group)
        told = {"came": client.receive()[1].decode(), "silent": client.silent()}
    gone(group)
    return told


def ended(gateway: Running, far: Far) -> dict[str, Any]:
    """The client is reset."""
    client = Member(gateway.ports[0])
    client.bind(GROUP[4], PORT)
    client.bind(GROUP[6], PORT)
    client.control.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    client.control.close()
    gone(GROUP[4])
    gone(GROUP[6])
    client.socket.close()
    reset = [
        each["reason"]
        for each in gateway.journal("flow-end")
        if each["reason"] not in ("closed", "released", "changed", "network-lost")
    ]
    return {"reasons": sorted(set(reset))}


def broken(gateway: Running, far: Far) -> dict[str, Any]:
    """Octets that are no message end the connection, and nothing else."""
    told: dict[str, Any] = {}
    whole = asked(BIND, RECEIVE | MULTICAST | INSIDE, (GROUP[4], PORT))
    number = 0
    for at in range(len(whole)):
        for octet in (0, 0x7F, 0xFF):
            client = Member(gateway.ports[0])
            client.control.sendall(whole[:at] + bytes([octet]) + whole[at + 1 :])
            with suppress(OSError):
                # It may be over already.
                client.control.shutdown(socket.SHUT_WR)
            # An answer, or none; then the end.
            with client.control, suppress(ConnectionResetError):
                while client.control.recv(1 << 16):
                    pass
            client.socket.close()
            number += 1
    with Member(gateway.ports[0]) as client:
        # Many more requests than wait: all are answered to one who reads.
        many = 5000
        asking = Thread(
            target=client.control.sendall, args=(asked(RELEASE, RECEIVE, aid=5) * many,)
        )
        asking.start()
        answers = [client.message() for _ in range(many)]
        asking.join()
        told["many"] = {each.reply for each in answers if each} == {0x10}
    with Member(gateway.ports[0]) as client:
        client.bind(GROUP[4], PORT)
        for head in (
            b"",
            b"\0",
            bytes(7),
            b"\0\1" + bytes(5) + b"\1x",
            bytes(7) + b"\x09x",
        ):
            client.socket.sendto(head, client.place)
        far.say(b"well")
        told["well"] = client.receive()[1].decode()
    gone(GROUP[4])
    told["tried"] = number > 70
    return told


def observed(gateway: Restarted, far: Far) -> dict[str, Any]:
    """What the sessions and the metrics show."""
    with Member(gateway.ports[0]) as client:
        client.bind(GROUP[4], PORT)
        far.say(b"hello")
        client.receive()
        (shown,) = json.loads(gateway.command("sessions", "--json").stdout)["sessions"]
        metrics = AdminClient(gateway.admin).ask("/metrics").octets.decode()
    gone(GROUP[4])
    return {
        "session": [shown["command"], shown["received"]],
        "metrics": 'command="multicast"' in metrics,
    }


def reloaded(gateway: Restarted, far: Far) -> dict[str, Any]:
    """Rules that allow one of two groups no longer; then none at all."""
    path = gateway.directory / "gw.toml"
    text = path.read_text()
    with Member(gateway.ports[0]) as client:
        kept = client.bind("239.2.0.1", PORT)
        client.bind(GROUP[4], PORT)
        path.write_text(text.replace(RULES, FEWER))
        assert gateway.command("reload").returncode == 0
        gone(GROUP[4])
        far.say(b"gone")
        far.say(b"kept", group="239.2.0.1")
        told: dict[str, Any] = {
            "kept": client.receive() == (kept.aid, b"kept"),
            "again": client.bind(GROUP[4], PORT).reply,
        }
        path.write_text(text.replace('interface = "mc0"', ""))
        assert gateway.command("reload").returncode == 0
        told["ended"] = over(client)
        gone("239.2.0.1")
    path.write_text(text)
    assert gateway.command("reload").returncode == 0
    told["why"] = [
        [each["address"], each["reason"], each["why"]]
        for each in gateway.journal("flow-end")
        if each["reason"] == "revoked"
    ]
    return told


def restarted(gateway: Restarted, far: Far) -> dict[str, Any]:
    """Another process takes over: the one before serves the members it has."""
    before = gateway.pid
    with Member(gateway.ports[0]) as old:
        old.bind(GROUP[4], PORT)
        after = gateway.restart()
        with Member(gateway.ports[0]) as new:
            new.bind(GROUP[4], PORT)
            far.say(b"both")
            told = {
                "others": before != after,
                "old": old.receive()[1].decode(),
                "new": new.receive()[1].decode(),
            }
        told["member"] = GROUP[4] in memberships("mc0")
    gateway.over(before)
    gone(GROUP[4])
    return told


def stopped(gateway: Running, far: Far) -> dict[str, Any]:
    """The gateway is stopped while a client is in a group."""
    client = Member(gateway.ports[0])
    client.bind(GROUP[4], PORT)
    gateway.process.send_signal(signal.SIGTERM)
    ends = over(client)
    gone(GROUP[4])
    client.control.close()
    client.socket.close()
    gateway.process.wait(30)
    lines = [each["reason"] for each in gateway.journal("flow-end")]
    return {"ends": ends, "line": lines[-1:]}


def crowd(gateway: Running, far: Far) -> dict[str, Any]:
    """Clients of two workers in one group: each hears, and the limit is one."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Member(gateway.ports[0])) for _ in range(8)]
        replies = [each.bind("239.1.7.7", PORT).reply for each in clients]
        far.say(b"all", group="239.1.7.7")
        members = [c for c, r in zip(clients, replies, strict=True) if not r]
        came = [each.receive()[1].decode() for each in members]
        gateway.process.poll()
    gone("239.1.7.7")
    workers = {each.get("worker") for each in gateway.journal("flow")}
    return {
        "came": sorted(came),
        "refused": replies.count(2),
        "workers": len(workers),
    }


def cabled() -> None:
    """Make the networks."""
    ip("netns add far")
    ends = [("10.9.2.1/24", "10.9.2.2/24"), ("fd00:9::1/64", "fd00:9::2/64")]
    cable(("", "mc0"), ("far", "mc1"), *ends)
    ends = [("10.8.2.1/24", "10.8.2.2/24"), ("fd00:8::1/64", "fd00:8::2/64")]
    cable(("", "mc2"), ("far", "mc3"), *ends)
    ip(
        "addr add 10.9.2.3/24 dev mc1",
        "addr add fd00:9::3/64 dev mc1 nodad",
        netns="far",
    )


def doing(name: str, do: Callable[..., Any], *arguments: Any) -> None:
    """Do one thing, and keep what it tells."""
    found[name] = do(*arguments)


def main() -> None:
    """Have it all happen."""
    cabled()
    # So that a client which does not read is soon noticed.
    for name in ("rmem", "wmem"):
        Path(f"/proc/sys/net/ipv4/tcp_{name}").write_text("4096 65536 131072")
    far, directory = Far(), Path(tempfile.mkdtemp())
    gateway = Restarted(directory / "one", LISTEN + RULES)
    try:
        gateway.ready()
        for version in (4, 6):
            doing(f"udp {version}", udp, gateway, far, version)
            doing(f"inside {version}", inside, gateway, far, version)
            doing(f"chosen {version}", chosen, gateway, far, version)
            doing(f"sources {version}", sources, gateway, far, version)
            doing(f"elsewhere {version}", elsewhere, gateway, far, version)
        for name, do in (
            ("between", between), ("refusals", refusals), ("limited", limited),
            ("ended", ended), ("broken", broken),
            ("observed", observed), ("reloaded", reloaded), ("restarted", restarted),
        ):  # fmt: skip
            doing(name, do, gateway, far)
        found["flows"] = gateway.journal("flow")
        found["flow ends"] = gateway.journal("flow-end")
        gateway.healthy()
    finally:
        gateway.kill()
    for name, do, text in (
        ("stopped", stopped, '[timeouts]\ndrain = "1s"\n' + LISTEN + RULES),
        (
            "crowd",
            crowd,
            "[gateway]\nworkers = 2\n"
            + LISTEN
            + RULES
            + '[[limit]]\nper = "all"\ngroups = 6\n',
        ),
    ):
        (directory / name).mkdir()
        other = Running(directory / name, text)
        try:
            doing(name, do, other.ready(), far)
            other.healthy()
        finally:
            other.kill()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    os.umask(0o077)
    main()
