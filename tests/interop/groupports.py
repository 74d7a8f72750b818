"""
Where the datagrams of groups go: which ports are a client's.

Run by L{tests.live.netns.alone}, as L{tests.interop.grouped}. What becomes of it is
printed.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.interop.grouped import GROUP, LISTEN, PORT, RULES, Far, cabled, gone
from tests.live.groups import ALL, BIND, MULTICAST, RECEIVE, RELEASE, SEND, Member
from tests.live.running import Running


def named(gateway: Running, far: Far) -> str:
    """The client is no one of the gateway's address, and names its own."""
    with Member(gateway.ports[0], near="127.0.0.2") as client:
        joined = client.ask(BIND, RECEIVE | MULTICAST, (GROUP[4], PORT), client.near)
        client.place = joined.local
        far.say(b"at once")
        came = client.receive()[1].decode()
    gone(GROUP[4])
    return came


def arming(gateway: Running, far: Far, near: str) -> dict[str, Any]:
    """The client names another address, or none: its first datagram tells the port."""
    with Member(gateway.ports[0]) as client:
        joined = client.ask(BIND, RECEIVE | MULTICAST, (GROUP[4], PORT), (near, 9))
        client.place = joined.local
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(bytes(4) + struct.pack("!I", joined.aid), client.place)
        far.say(b"too early")
        client.send(joined.aid, b"")
        # When this is answered the relay has read it: datagrams come first.
        client.ask(RELEASE, RECEIVE, aid=99)
        far.say(b"now")
        told = {"reply": joined.reply, "came": client.receive()[1].decode()}
        stranger.close()
    gone(GROUP[4])
    return told


def circle(gateway: Running, far: Far) -> dict[str, Any]:
    """A client of this host names the gateway's own port, for two groups."""
    with Member(gateway.ports[0]) as client:
        joined = client.bind(GROUP[4], PORT, RECEIVE | SEND, ttl=1)
        both, place = RECEIVE | SEND | MULTICAST, (GROUP[4], PORT)
        replies = [client.ask(BIND, both, place, joined.local).reply for _ in range(2)]
        far.say(b"spark")
        came = client.receive()[1].decode()
        client.send(joined.aid, b"after")
        told = {"replies": replies, "came": came, "heard": far.hears(4)[0]}
    gone(GROUP[4])
    return told


def main() -> None:
    """Have it all happen."""
    cabled()
    far, gateway = Far(), Running(Path(tempfile.mkdtemp()), LISTEN + RULES)
    try:
        gateway.ready()
        found: dict[str, Any] = {"named": named(gateway, far)}
        for near in ("192.0.2.7", ALL, "127.0.0.1"):
            found[f"arming {near}"] = arming(gateway, far, near)
        found["circle"] = circle(gateway, far)
        gateway.healthy()
    finally:
        gateway.kill()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
