"""
Television through a gateway: ffmpeg sends, the program of the manual receives for
another ffmpeg; and what C{socksgw.client} does in groups.

Run by L{tests.live.netns.alone}, as L{tests.interop.grouped}. What becomes of it is
printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from socksgw.client import Login, groups
from socksgw.client.errors import ProxyError
from socksgw.client.logins.gssapi import GssapiLogin
from socksgw.console.manual import chapters
from tests.fakes.gssapi import StubTickets
from tests.interop.grouped import GOOD, GROUP, LISTEN, OTHER, PORT, RULES
from tests.live.groups import heard, member, memberships, speaker
from tests.live.netns import cable, ip, within
from tests.live.running import Running, environment
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.waiting import until

#: A test picture and a tone, longer than anybody watches.
PICTURE = [
    *("-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=20"),
    *("-f", "lavfi", "-i", "sine=duration=20"),
]
#: Listeners whose clients come by TLS, or protect what they send themselves.
SECURED = LISTEN.replace(
    "[[auth.choose]]",
    """
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
[listen.multicast]
interface = "mc0"
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[[listen]]
name = "gssapi"
address = ["127.0.0.1:0"]
[listen.multicast]
interface = "mc0"
[auth]
strip_realms = ["CORP.EXAMPLE"]
gssapi = { mechanism = "stub" }
[[auth.choose]]
listener = ["gssapi"]
methods = ["gssapi"]
[[auth.choose]]
""",
)
#: A group for those alone whose datagrams nobody else can read.
GUARDED = "239.5.0.1"
GUARD = f"""
[[rule]]
id = "guarded"
allow = ["multicast"]
to = ["{GUARDED}"]
secured = "confidentiality"
"""
#: How many packets are received, at least, before it is content.
ENOUGH = 8


def bound(port: int) -> bool:
    """Whether some program of this host receives on a UDP port."""
    found = ""
    for name in ("udp", "udp6"):
        found += Path(f"/proc/thread-self/net/{name}").read_text()
    return f":{port:04X} " in found


def television(gateway: Running, directory: Path, version: int) -> dict[str, Any]:
    """Have ffmpeg play what another one sends to a group."""
    text = chapters()["multicast"].partition(".. code-block:: python\n")[2]
    block = text.partition("\n\n``python")[0]
    program = directory / "television.py"
    program.write_text("\n".join(x.removeprefix("    ") for x in block.splitlines()))
    group, near = {4: "239.1.5.5", 6: "ff15::5:5"}[version], 6000 + 10 * version
    written = directory / f"{version}.ts"
    quiet = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y"]
    player = subprocess.Popen(
        [
            *quiet,
            "-i",
            f"rtp://127.0.0.1:{near}",
            "-t",
            "2",
            "-c",
            "copy",
            str(written),
        ],
        stderr=subprocess.PIPE,
    )
    command = [sys.executable, str(program), "127.0.0.1", str(gateway.ports[0])]
    arguments = [group, str(PORT), str(near)]
    watching = subprocess.Popen([*command, *arguments], env=environment())
    sending = None
    try:
        until(lambda: bound(near) and group in memberships("mc0"))
        host = f"[{group}]" if version == 6 else group
        sending = subprocess.Popen(
            [
                *("ip", "netns", "exec", "far", *quiet, "-re"),
                *PICTURE,
                *("-c:v", "mpeg2video", "-c:a", "mp2", "-f", "rtp_mpegts"),
                f"rtp://{host}:{PORT}?ttl=4",
            ]
        )
        player.wait(60)
    finally:
        for each in (player, watching, sending):
            if each is not None:
                each.kill()
                each.wait(10)
    shown = subprocess.run(
        [
            *("ffprobe", "-v", "error", "-count_packets", "-of", "json"),
            *("-show_entries", "stream=codec_name,nb_read_packets", str(written)),
        ],
        capture_output=True,
        check=True,
    )
    until(lambda: group not in memberships("mc0"))
    return {
        each["codec_name"]: int(each.get("nb_read_packets", 0)) >= ENOUGH
        for each in json.loads(shown.stdout)["streams"]
    }


class Listener(DatagramProtocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.came: Deferred[tuple[bytes, tuple[str, int]]] = Deferred()
        self.stopped = False

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Take the first one."""
        if not self.came.called:
            self.came.callback((datagram, addr))

    def stopProtocol(self) -> None:
        """Take note of the end."""
        self.stopped = True


async def client(
    reactor: Any, proxy: Any, inside: bool, version: int, login: Login | None = None
) -> dict[str, Any]:
    """What a program does."""
    with within("far"):
        hearer = member(GROUP[version], PORT, "mc1")
        good, other = speaker(GOOD[version], "mc1"), speaker(OTHER[version], "mc1")
    told: dict[str, Any] = {}
    channel = await groups(reactor, proxy, inside=inside, login=login)
    listener = Listener()
    sources = (GOOD[version],)
    group = await channel.join(listener, GROUP[version], PORT, ttl=2, sources=sources)
    other.sendto(b"other", (GROUP[version], PORT))
    good.sendto(b"good", (GROUP[version], PORT))
    datagram, place = await listener.came
    told["came"] = datagram.decode(), place
    # Those of the other side hear each other, too.
    told["others"] = [heard(hearer)[0].decode() for _ in range(2)]
    await group.setTTL(3)
    group.write(b"up")
    # Meanwhile the reactor writes.
    told["heard"] = (await deferToThread(heard, hearer))[0].decode()
    for name, doing in (
        ("ttl", lambda: group.setTTL(200)),
        ("denied", lambda: channel.join(Listener(), "239.9.9.9", PORT)),
    ):
        try:
            await doing()
        except ProxyError as e:
            told[name] = str(e)
    try:
        await channel.join(Listener(), GUARDED, PORT)
        told["guarded"] = "joined"
    except ProxyError as e:
        told["guarded"] = str(e)
    await group.stopListening()
    told["left"] = GROUP[version] not in memberships("mc0"), listener.stopped
    last = Listener()
    await channel.join(last, GROUP[version], PORT)
    await channel.close()
    told["stopped"] = last.stopped
    until(lambda: GROUP[version] not in memberships("mc0"))
    return told


def main() -> None:
    """Have it all happen."""
    ip("netns add far")
    ends = [("10.9.2.1/24", "10.9.2.2/24"), ("fd00:9::1/64", "fd00:9::2/64")]
    cable(("", "mc0"), ("far", "mc1"), *ends)
    ip(
        "addr add 10.9.2.3/24 dev mc1",
        "addr add fd00:9::3/64 dev mc1 nodad",
        netns="far",
    )
    ip("link set lo up", "route add 224.0.0.0/4 dev mc1", netns="far")
    directory = Path(tempfile.mkdtemp())
    authority = Authority()
    server(authority).write(directory, "gw")
    gateway = Running(directory, SECURED + RULES + GUARD)
    found: dict[str, Any] = {}

    async def program(reactor: Any) -> None:
        plain, clear, protected = (
            TCP4ClientEndpoint(reactor, "127.0.0.1", gateway.ports[n])
            for n in (0, 2, 3)
        )
        pem = Certificate.loadPEM(pemOf(authority.certificate))
        trusted = trustRootFromCertificates([pem])
        tls = wrapClientTLS(optionsForClientTLS("localhost", trusted), clear)
        login = GssapiLogin(StubTickets("alice@CORP.EXAMPLE"), "rcmd@localhost")
        for inside in (False, True):
            for version in (4, 6):
                told = await client(reactor, plain, inside, version)
                found[f"client {version} {inside}"] = told
            found[f"tls {inside}"] = await client(reactor, tls, inside, 4)
            told = await client(reactor, protected, inside, 4, login)
            found[f"gssapi {inside}"] = told

    try:
        gateway.ready()
        for version in (4, 6):
            found[f"television {version}"] = television(gateway, directory, version)
        with suppress(SystemExit):
            react(lambda reactor: Deferred.fromCoroutine(program(reactor)))
        gateway.healthy()
    finally:
        gateway.kill()
    found["flows"] = [
        [each["listener"], each.get("secured"), each["user"], each["verdict"]]
        for each in gateway.journal("flow")
        if each["listener"] != "main" and each["asked"] == GUARDED
    ]
    # What has failed is missing there.
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
