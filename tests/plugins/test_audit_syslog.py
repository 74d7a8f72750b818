"""
The sink to syslog.
"""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from socksgw.audit.sinks.entries import Line
from socksgw.interfaces import SinkFailed
from socksgw.plugins import audit_syslog
from socksgw.testing import AuditSinkContract, entriesOf, sinkSettings
from tests.live.clients import descriptorsFor
from tests.live.syslogs import Receiver
from tests.tools.certificates import SERVER, Authority, dns, pemOf
from tests.tools.sockets import beyondSelect
from tests.tools.waiting import until

(SYSLOG,) = audit_syslog.sinks
#: What the receivers of these tests get, one for each directory.
_receivers: dict[Path, Receiver] = {}


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Whatever listens ends with its test."""
    yield
    for each in _receivers.values():
        each.close()
    _receivers.clear()


def _settled(receiver: Receiver) -> list[int]:
    """Return the numbers when nothing more has come for a moment."""
    before = -1
    while before != len(receiver.messages):
        before = len(receiver.messages)
        time.sleep(0.1)
    return receiver.numbers()


class TestTCP(AuditSinkContract):
    """Over TCP, with octet counting."""

    plugin = SYSLOG

    def target(self, directory: Path) -> str:
        receiver = _receivers[directory] = Receiver()
        return f"tcp://127.0.0.1:{receiver.port}"

    def received(self, directory: Path) -> Sequence[int]:
        found = _settled(_receivers[directory])
        # What may not have been read comes again after a break.
        return list(dict.fromkeys(found))

    def broken(self, directory: Path) -> AbstractContextManager[None]:
        return _receivers[directory].gone()


class TestUDP(AuditSinkContract):
    """Over UDP, where nobody can say what is lost."""

    plugin = SYSLOG

    def target(self, directory: Path) -> str:
        receiver = _receivers[directory] = Receiver(udp=True)
        return f"udp://127.0.0.1:{receiver.port}"

    def received(self, directory: Path) -> Sequence[int]:
        return _settled(_receivers[directory])


class TestTLS(AuditSinkContract):
    """Over TLS, with the other side's name verified."""

    plugin = SYSLOG

    @pytest.fixture(autouse=True)
    def certified(self, tmp_path: Path) -> None:
        """The receiver has a certificate of an authority that is trusted."""
        tls(tmp_path)

    @property
    def options(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"ca": "ca.pem", "server_name": "logs.example"}

    def target(self, directory: Path) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.both.pem")
        receiver = _receivers[directory] = Receiver(context=context)
        return f"tls://127.0.0.1:{receiver.port}"

    def received(self, directory: Path) -> Sequence[int]:
        return list(dict.fromkeys(_settled(_receivers[directory])))

    def broken(self, directory: Path) -> AbstractContextManager[None]:
        return _receivers[directory].gone()

    def test_anotherName(self, tmp_path: Path) -> None:
        """A certificate of another name is refused, and nothing is sent."""
        target = self.target(tmp_path)
        sink = SYSLOG.build(sinkSettings(SYSLOG, tmp_path, target, {"ca": "ca.pem"}))
        with pytest.raises(SinkFailed, match="certificate is not accepted"):
            sink.open()
        sink.close()

    def test_anotherAuthority(self, tmp_path: Path) -> None:
        """Without ``ca`` the system's authorities are trusted, and no other."""
        target = self.target(tmp_path)
        options = {"server_name": "logs.example"}
        sink = SYSLOG.build(sinkSettings(SYSLOG, tmp_path, target, options))
        with pytest.raises(SinkFailed, match="certificate is not accepted"):
            sink.open()
        sink.close()


def tls(directory: Path) -> None:
    """Write an authority's certificate, and one of a server with its key."""
    authority = Authority()
    (directory / "ca.pem").write_bytes(pemOf(authority.certificate))
    issued = authority.issue(dns("logs.example"), usage=(SERVER,))
    issued.writeTogether(directory, "server")


def test_message(tmp_path: Path) -> None:
    """A message has facility, severity, gateway, event, number and the line."""
    options = {"facility": "authpriv", "element": "socksgw@32473"}
    receiver = _receivers[tmp_path] = Receiver()
    target = f"tcp://127.0.0.1:{receiver.port}"
    sink = SYSLOG.build(sinkSettings(SYSLOG, tmp_path, target, options))
    sink.open()
    (entry,) = entriesOf(1)
    sink.deliver([entry])
    sink.close()
    receiver.numbers(1)
    head, _, line = receiver.messages[0].partition(b"{")
    assert b"{" + line == entry.octets
    # Facility 10, severity 6.
    assert head.decode() == (
        f"<86>1 {entry.fields['time']} edge socksgw {os.getpid()} decision "
        '[meta sequenceId="1"][socksgw@32473 event="decision" n="1" session="1" '
        'user="alice" client="192.0.2.7:40000" verdict="allow" rule="web"] '
    )


@pytest.mark.parametrize("form", ["native", "cef", "ecs", "ocsf"])
def test_bounded(tmp_path: Path, form: str) -> None:
    """No message is longer than configured, and JSON stays JSON."""
    receiver = _receivers[tmp_path] = Receiver()
    target = f"tcp://127.0.0.1:{receiver.port}"
    settings = sinkSettings(SYSLOG, tmp_path, target, {"max_octets": 900}, form)
    sink = SYSLOG.build(settings)
    sink.open()
    entries = [e for e in entriesOf(10, form=form) if e.formatted is not None]
    sink.deliver(entries)
    sink.close()
    assert _settledCount(receiver, len(entries)) == len(entries)
    for each in receiver.messages:
        assert len(each) <= 900
        if form != "cef":
            json.loads(each[each.index(b"{") :])


def _settledCount(receiver: Receiver, least: int) -> int:
    for _ in range(100):
        if len(receiver.messages) >= least:
            break
        time.sleep(0.02)
    return len(receiver.messages)


@pytest.mark.parametrize(
    ("target", "options", "key"),
    [
        ("tcp://h", {"facility": "local9"}, "facility"),
        ("tcp://h", {"element": "socksgw"}, "element"),
        ("tcp://h", {"ca": "ca.pem"}, "ca"),
        ("udp://h", {"max_octets": 100}, "max_octets"),
        ("tls://h", {"certificate": "ca.pem"}, "key"),
    ],
)
def test_mistakes(
    tmp_path: Path, target: str, options: Mapping[str, Any], key: str
) -> None:
    """Each mistake is told under its key."""
    tls(tmp_path)
    wrong: list[tuple[str, str]] = []
    SYSLOG.build(sinkSettings(SYSLOG, tmp_path, target, options, wrong=wrong))
    assert [each for each, _ in wrong] == [key]


@pytest.mark.parametrize(
    "target", ["", "host:514", "http://h", "tcp://", "tcp://h:x", "tcp://h/path"]
)
def test_targets(tmp_path: Path, target: str) -> None:
    """What is no place to send to is an error."""
    with pytest.raises(ValueError, match="must be"):
        SYSLOG.build(sinkSettings(SYSLOG, tmp_path, target))


def test_severity(tmp_path: Path) -> None:
    """A sink that fails is a warning, and one that has recovered is none."""
    receiver = _receivers[tmp_path] = Receiver()
    target = f"tcp://127.0.0.1:{receiver.port}"
    sink = SYSLOG.build(sinkSettings(SYSLOG, tmp_path, target))
    sink.open()
    lines = [
        b'{"v":1,"n":%d,"time":"2026-03-02T09:00:00.000Z","event":"sink","state":"%b"}'
        % each
        for each in ((1, b"failing"), (2, b"following"))
    ]
    sink.deliver([Line(n, line) for n, line in enumerate(lines, 1)])
    sink.close()
    receiver.numbers(2)
    # Facility 16, severities 4 and 6.
    begins = [each.partition(b">")[0] for each in receiver.messages]
    assert begins == [b"<132", b"<134"]


@pytest.mark.parametrize("protected", [False, True])
def test_manyDescriptors(tmp_path: Path, protected: bool) -> None:
    """Lines go out, and an end is noticed, in a process with a thousand descriptors."""
    context: ssl.SSLContext | None = None
    options: dict[str, str] = {}
    if protected:
        tls(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.both.pem")
        options = {"ca": "ca.pem", "server_name": "logs.example"}
    receiver = _receivers[tmp_path] = Receiver(context=context)
    target = f"{'tls' if protected else 'tcp'}://127.0.0.1:{receiver.port}"
    with descriptorsFor(2048), beyondSelect():
        sink = SYSLOG.build(sinkSettings(SYSLOG, tmp_path, target, options))
        sink.open()
        sink.deliver(entriesOf(1))
        receiver.numbers(1)
        sink.idle()
        with receiver.gone(), pytest.raises(SinkFailed):
            until(sink.idle)
        sink.close()
