"""
A configuration that changes under load: whoever is still allowed notices
nothing, whoever is not is cut within a second, and a mistake changes nothing.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.hostile.reloading import changed, ends, lives
from tests.live.clients import (
    GREETING,
    Server,
    connected,
    exactly,
    four,
    named,
    opened,
    replied5,
    request5,
    tunnel,
    verdict5,
)
from tests.live.datagrams import Association, Association6, Echo, associate, replied
from tests.live.names import A, NameServer, a, answer
from tests.live.running import ALL, HEAD, Running
from tests.live.servers import freePort
from tests.tools.waiting import until


def test_rulesChange(gateway: Callable[..., Running]) -> None:
    """
    New rules count for the next request; a session that they allow goes on,
    one that they do not ends with its reason in the record.
    """
    head = HEAD.replace('"main"\n', '"main"\nprotocols = ["socks5", "socks6"]\n', 1)
    running = gateway(head + ALL)
    with Server() as kept, Server() as cut, ExitStack() as stack:
        stay, go = (
            [
                stack.enter_context(closing(tunnel(running.port, place, version=n)))
                for n in (5, 6)
            ]
            for place in (kept.place, cut.place)
        )
        rule = f'[[rule]]\nid = "some"\nallow = ["connect"]\nports = [{kept.port}]\n'
        line = changed(running, head + rule)
        assert (line["event"], line["ended"]) == ("reloaded", 2)
        for stays, goes in zip(stay, go, strict=True):
            assert ends(goes)
            assert lives(stays)
        for version in (5, 6):
            for server, reply in ((cut, 2), (kept, 0)):
                target = four("127.0.0.1")
                client, told = connected(
                    running.port, target, server.port, version=version
                )
                client.close()
                assert told == reply
    revoked = [x for x in running.journal("end") if x["reason"] == "revoked"]
    assert len(revoked) == 2
    assert {line["why"] for line in revoked} == {
        'rule "default": no rule allows it; "all" is there no longer'
    }


def test_newOnly(gateway: Callable[..., Running]) -> None:
    """With enforce = "new-only" live sessions go on."""
    head = '[gateway]\nenforce = "new-only"\n' + HEAD
    running = gateway(head + ALL)
    with Server() as server, closing(tunnel(running.port, server.place)) as client:
        line = changed(running, head + '[[rule]]\nid = "no"\ndeny = "any"\n')
        assert (line["event"], line["ended"]) == ("reloaded", 0)
        assert lives(client)
        assert verdict5(running.port, four("127.0.0.1"), server.port) == 2


def test_flows(gateway: Callable[..., Running]) -> None:
    """A flow that is allowed no longer ends; the association's others go on."""
    head = HEAD.replace('"main"\n', '"main"\nprotocols = ["socks5", "socks6"]\n', 1)
    running = gateway(head + ALL)
    with (
        Echo() as kept,
        Echo() as cut,
        Association(running.port) as five,
        Association6(running.port) as six,
    ):
        for association in (five, six):
            for echo in (kept, cut):
                association.echo(echo, b"one")
        rule = f'[[rule]]\nid = "some"\nallow = ["udp"]\nports = [{kept.place[1]}]\n'
        assert changed(running, head + rule)["event"] == "reloaded"
        for association in (five, six):
            association.echo(kept, b"two")
        until(lambda: len(running.journal("flow-end")) == 2)
        for line in running.journal("flow-end"):
            assert line["address"].endswith(f":{cut.place[1]}")
            assert line["reason"] == "revoked"


def test_listenersChange(gateway: Callable[..., Running]) -> None:
    """A listener comes, another goes; what stays is not touched."""
    port = freePort(kind=socket.SOCK_STREAM)
    running = gateway(HEAD + ALL)
    second = f'[[listen]]\nname = "second"\naddress = ["127.0.0.1:{port}"]\n'
    with Server() as server, closing(tunnel(running.port, server.place)) as first:
        assert changed(running, second + HEAD + ALL)["event"] == "reloaded"
        with closing(tunnel(port, server.place)) as other:
            assert changed(running, HEAD + ALL)["event"] == "reloaded"
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 5)
            assert lives(other)
        assert lives(first)
        assert verdict5(running.port, four("127.0.0.1"), server.port) == 0


def test_aListenerOfAnotherName(gateway: Callable[..., Running]) -> None:
    """
    An address that another listener gets stays open, and what the listener
    may do counts for the next client.
    """
    port = freePort(kind=socket.SOCK_STREAM)
    second = f'[[listen]]\nname = "%s"\naddress = ["127.0.0.1:{port}"]\n'
    rule = '[[rule]]\nid = "all"\nallow = ["connect"]\nlistener = ["one"]\n'
    other = '[[listen]]\nname = "other"\naddress = ["127.0.0.1:0"]\n'
    running = gateway(HEAD + second % "one" + other + rule)
    with Server() as server, closing(tunnel(port, server.place)) as client:
        # Whoever has connected, and said nothing, is served.
        waiting = opened(port)
        line = changed(
            running, HEAD + second % "two" + other + rule.replace("one", "two")
        )
        assert line["event"] == "reloaded", line
        with closing(waiting):
            assert verdict5(port, four("127.0.0.1"), server.port) == 0
            waiting.sendall(GREETING + request5(four("127.0.0.1"), server.port))
            assert exactly(waiting, 2) == b"\x05\x00"
        # It came in by a listener that no rule names any more.
        assert ends(client)


def test_anAddressInTheWayOfAnother(gateway: Callable[..., Running]) -> None:
    """
    A port that moves from one address to all is closed and opened again; where
    that fails, what was open is open.
    """
    port = freePort(kind=socket.SOCK_STREAM)
    second = f'[[listen]]\nname = "second"\naddress = ["%s:{port}"]\n'
    running = gateway(HEAD + second % "127.0.0.1" + ALL)
    with Server() as server, closing(tunnel(port, server.place)) as client:
        elsewhere = socket.create_server(("127.0.0.9", port))
        wide = second % "0.0.0.0"
        with elsewhere:
            line = changed(running, HEAD + wide + ALL)
            assert line["event"] == "reload-failed"
            assert f"0.0.0.0:{port}: the port is taken" in str(line["problems"])
            assert verdict5(port, four("127.0.0.1"), server.port) == 0
        assert changed(running, HEAD + wide + ALL)["event"] == "reloaded"
        assert verdict5(port, four("127.0.0.1"), server.port) == 0
        assert lives(client)


def test_reloadOnChange(gateway: Callable[..., Running]) -> None:
    """Where it is asked for, a changed file is taken up by itself."""
    head = "[gateway]\nreload_on_change = true\n" + HEAD
    running = gateway(head + ALL)
    until(lambda: running.journal("start"))
    time.sleep(1.5)
    (running.directory / "gw.toml").write_text(
        head + '[[rule]]\nid = "n"\ndeny = "any"'
    )
    until(lambda: running.journal("reloaded"))


def test_aListThatChanges(gateway: Callable[..., Running], tmp_path: Path) -> None:
    """
    It is taken up by itself, and ends the sessions that it forbids; with a wrong line
    the one before goes on.
    """
    file = tmp_path / "blocked.txt"
    file.write_text("=nobody.example\n")
    lists = f'[networks]\nblocked = {{ file = "{file}" }}\n'
    deny = '[[rule]]\nid = "no"\ndeny = "any"\nto = ["blocked"]\n'
    running = gateway(HEAD + lists + deny + ALL)
    with Echo() as echo, Association(running.port) as association:
        association.echo(echo, b"allowed")
        file.write_text(f"{echo.place[0]}\n")
        until(lambda: running.journal("reloaded"))
        association.send(*echo.place, b"denied by now")
        assert association.silent()
        file.write_text("http://\n")
        until(lambda: running.journal("reload-failed"))
        association.send(*echo.place, b"denied still")
        assert association.silent()
    assert len(running.journal("reloaded")) == 1


def test_newFlowsByTheNewRules(gateway: Callable[..., Running]) -> None:
    """
    An association that lives on asks the new rules about what it has not
    asked for before, both ways round.
    """
    with Echo() as first, Echo() as second, Echo() as third:
        some = '[[rule]]\nid = "some"\nallow = ["udp"]\nports = [{}]\n'
        running = gateway(HEAD + some.format(f"{first.place[1]}, {second.place[1]}"))
        with Association(running.port) as association:
            association.echo(first, b"one")
            association.send(*third.place, b"denied")
            assert association.silent()
            ports = f"{first.place[1]}, {third.place[1]}"
            assert changed(running, HEAD + some.format(ports))["event"] == "reloaded"
            association.echo(first, b"still")
            association.send(*second.place, b"denied by now")
            assert association.silent()
            association.echo(third, b"allowed by now")
    flows = [(x["port"], x["verdict"]) for x in running.journal("flow")]
    assert flows == [
        (first.place[1], "allow"),
        (third.place[1], "deny"),
        (second.place[1], "deny"),
        (third.place[1], "allow"),
    ]


def test_whoseAnswersComeBack(gateway: Callable[..., Running]) -> None:
    """A flow that lives on gets no more answers than the new rules let in."""
    rule = '[[rule]]\nid = "all"\nallow = ["udp"]\nudp = {{ replies = "{}" }}\n'
    running = gateway(HEAD + rule.format("any"))
    with Echo() as echo, Association(running.port) as association:
        association.echo(echo, b"one")
        outer = echo.came[0][1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.sendto(b"hello", outer)
            assert association.receive().endswith(b"hello")
            assert changed(running, HEAD + rule.format("exact"))["ended"] == 0
            stranger.sendto(b"hello", outer)
            assert association.silent()
        association.echo(echo, b"two")


def test_aClientOfAListenerThatIsGone(gateway: Callable[..., Running]) -> None:
    """Whoever connected while it was there is still served."""
    port = freePort(kind=socket.SOCK_STREAM)
    second = f'[[listen]]\nname = "second"\naddress = ["127.0.0.1:{port}"]\n'
    running = gateway(HEAD + second + ALL)
    with Server() as server, closing(opened(port)) as client:
        assert changed(running, HEAD + ALL)["event"] == "reloaded"
        client.sendall(GREETING + request5(four("127.0.0.1"), server.port))
        assert exactly(client, 2) == b"\x05\x00"
        assert replied5(client) == 0
        assert lives(client)


BINDS = '[[rule]]\nid = "b"\nallow = ["bind"]\nto = ["127.0.0.1", "0.0.0.0"]\n'


@pytest.mark.parametrize("peer", ["127.0.0.1", "0.0.0.0"])
def test_aBindThatWaits(gateway: Callable[..., Running], peer: str) -> None:
    """
    A BIND that is still allowed goes on waiting, also one for anybody; who
    comes is judged by the rules of that moment.
    """
    running = gateway(HEAD + BINDS)
    # For anybody it listens where the world comes in.
    home = ("127.0.0.1", 0)
    control, (code, host, port) = associate(running.port, four(peer), 0, 2)
    with closing(control):
        assert code == 0
        later = BINDS.replace('id = "b"', 'id = "b"\nports = [1]')
        assert changed(running, HEAD + later)["event"] == "reloaded"
        with socket.create_connection((host, port), 5, home) as stranger:
            assert ends(stranger)
        assert changed(running, HEAD + BINDS)["event"] == "reloaded"
        with socket.create_connection((host, port), 5, home) as right:
            assert replied(control)[0] == 0
            right.sendall(b"hello")
            assert exactly(control, 5) == b"hello"


def test_rulesThatChangeDuringALookUp(gateway: Callable[..., Running]) -> None:
    """What was decided by the old rules is not dialled by the new ones."""
    answering = threading.Event()

    def script(_: str, kind: int, __: int, query: bytes) -> bytes:
        answering.wait(4)
        return answer(query, *([a("127.0.0.1")] if kind == A else []))

    with NameServer(script) as names, Server() as server:
        head = f'[resolver]\nservers = ["{names.place}"]\n' + HEAD
        running = gateway(head + ALL)
        with closing(opened(running.port)) as client:
            client.sendall(GREETING + request5(named(b"slow.example"), server.port))
            assert exactly(client, 2) == b"\x05\x00"
            time.sleep(0.3)
            assert (
                changed(running, head + '[[rule]]\nid = "no"\ndeny = "any"\n')["event"]
                == "reloaded"
            )
            answering.set()
            assert replied5(client) == 2
        assert server.peers == []


def _isShut(port: int) -> bool:
    """Return whether nobody can connect to a port."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_noReloadWhileStopping(gateway: Callable[..., Running]) -> None:
    """A gateway that drains opens no door again."""
    running = gateway(HEAD + ALL)
    port = freePort(kind=socket.SOCK_STREAM)
    with Server() as server, closing(tunnel(running.port, server.place)) as client:
        running.process.send_signal(signal.SIGTERM)
        until(lambda: _isShut(running.port))
        second = f'[[listen]]\nname = "second"\naddress = ["127.0.0.1:{port}"]\n'
        (running.directory / "gw.toml").write_text(HEAD + second + ALL)
        running.process.send_signal(signal.SIGHUP)
        assert lives(client)
        assert running.journal("reloaded") == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
