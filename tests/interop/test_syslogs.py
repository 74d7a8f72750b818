"""
The sink to syslog, with rsyslog and syslog-ng as they are packaged.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from socksgw.interfaces import SinkFailed
from socksgw.plugins import audit_syslog
from socksgw.testing import entriesOf, sinkSettings
from tests.live.raw import dial, through
from tests.live.running import OPEN, ROOT, running, socksgw
from tests.live.servers import freePort, missing, program
from tests.tools.certificates import SERVER, Authority, dns, pemOf
from tests.tools.waiting import until

(SYSLOG,) = audit_syslog.sinks

RSYSLOG = """
global(workDirectory="{directory}")
module(load="imudp")
module(load="imtcp")
template(name="each" type="string" string="%pri% %hostname% %msgid% %structured-data% %msg%\\n")
input(type="imudp" address="127.0.0.1" port="{port}")
input(type="imtcp" address="127.0.0.1" port="{port}")
action(type="omfile" file="{directory}/out" template="each")
"""

SYSLOG_NG = """
@version: 3.35
options {{ keep-hostname(yes); log-msg-size(65536); }};
source s {{
  syslog(ip(127.0.0.1) port({port}) transport("udp"));
  syslog(ip(127.0.0.1) port({port}) transport("tcp"));
  syslog(ip(127.0.0.1) port({secure}) transport("tls")
    tls(key-file("{directory}/server.key") cert-file("{directory}/server.pem")
        peer-verify(optional-untrusted)));
}};
destination d {{ file("{directory}/out"
  template("$PRI $HOST $MSGID ${{SDATA}} $MSG\\n") flush-lines(1)); }};
log {{ source(s); destination(d); }};
"""


@contextmanager
def _running(
    directory: Path, command: Sequence[str], environment: dict[str, str] | None = None
) -> Iterator[None]:
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            yield
        except BaseException as e:
            said = (directory / "log").read_text(errors="replace")
            e.add_note(f"{command[0]} (status {process.poll()}) said:\n{said}")
            raise
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def rsyslog(directory: Path) -> Iterator[dict[str, str]]:
    """Run rsyslog; yield where it listens, by transport."""
    port = freePort()
    file = directory / "rsyslog.conf"
    file.write_text(RSYSLOG.format(directory=directory, port=port))
    command = [program("rsyslogd", "rsyslog"), "-n", "-f", str(file)]
    with _running(directory, [*command, "-i", str(directory / "pid")]):
        yield {each: f"{each}://127.0.0.1:{port}" for each in ("udp", "tcp")}


@contextmanager
def syslogNG(directory: Path) -> Iterator[dict[str, str]]:
    """Run syslog-ng, as C{.ci/syslog-ng} has unpacked it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(cache) / "socksgw-tests" / "syslog-ng"
    if not (root / "usr/sbin/syslog-ng").exists():
        missing("syslog-ng (.ci/syslog-ng unpacks it)")
    port, secure = freePort(), freePort()
    file = directory / "syslog-ng.conf"
    file.write_text(SYSLOG_NG.format(directory=directory, port=port, secure=secure))
    libraries = [str(each.parent) for each in root.glob("**/lib*.so*")]
    modules = next(root.glob("usr/lib/syslog-ng/3.*"))
    command = [
        str(root / "usr/sbin/syslog-ng"), "-F", "-f", str(file), "--no-caps",
        "--module-path", str(modules), "-R", str(directory / "persist"),
        "-p", str(directory / "pid"), "-c", str(directory / "ctl"),
    ]  # fmt: skip
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(dict.fromkeys(libraries))}
    with _running(directory, command, environment):
        yield {
            "udp": f"udp://127.0.0.1:{port}",
            "tcp": f"tcp://127.0.0.1:{port}",
            "tls": f"tls://127.0.0.1:{secure}",
        }


@pytest.mark.parametrize("form", ["native", "cef", "ocsf"])
@pytest.mark.parametrize(
    ("receiver", "transport"),
    [
        (rsyslog, "udp"),
        (rsyslog, "tcp"),
        (syslogNG, "udp"),
        (syslogNG, "tcp"),
        (syslogNG, "tls"),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_records(
    tmp_path: Path,
    receiver: Callable[[Path], AbstractContextManager[dict[str, str]]],
    transport: str,
    form: str,
) -> None:
    """Each record arrives whole and once, long and odd ones too."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(pemOf(authority.certificate))
    authority.issue(dns("logs.example"), usage=(SERVER,)).write(tmp_path, "server")
    options = {"element": "socksgw@32473"}
    if transport == "tls":
        options |= {"ca": "ca.pem", "server_name": "logs.example"}
    entries = [e for e in entriesOf(40, form=form) if e.formatted is not None]
    out = tmp_path / "out"

    def came() -> int:
        return out.read_bytes().count(b"\n") if out.exists() else 0

    with receiver(tmp_path) as places:
        settings = sinkSettings(SYSLOG, tmp_path, places[transport], options, form)
        sink = SYSLOG.build(settings)
        _ready(tmp_path, places)
        sink.open()
        sink.deliver(entries)
        until(lambda: came() >= len(entries), seen=lambda: f"({came()} have come)")
        sink.close()
    lines = out.read_text().splitlines()
    assert len(lines) == len(entries)
    for line, entry in zip(lines, entries, strict=True):
        _, host, event, data = line.split(" ", 3)
        assert (host, event) == ("edge", entry.fields["event"])
        assert f'sequenceId="{entry.number}"' in data
        if form == "cef":
            assert "CEF:0|socksgw|" in data
            assert f" externalId={entry.number} " in data
        else:
            document = json.loads(data[data.index("{") :])
            assert entry.number == (
                document["n"] if form == "native" else document["metadata"]["sequence"]
            )
            if len(entry.formatted or b"") < 1500:
                assert document == json.loads(entry.formatted or b"")


def _ready(directory: Path, places: dict[str, str]) -> None:
    """Wait until a receiver listens."""
    sink = SYSLOG.build(sinkSettings(SYSLOG, directory, places["tcp"]))

    def listens() -> bool:
        try:
            sink.open()
        except SinkFailed:
            return False
        sink.close()
        return True

    until(listens)


def test_gateway(tmp_path: Path) -> None:
    """What a client does is in rsyslog's file, as the gateway's own journal has it."""
    (tmp_path / "out").touch()
    with rsyslog(tmp_path) as places:
        _ready(tmp_path, places)
        sinks = f'[audit]\nsinks = ["syslog:{places["tcp"]}"]\n'
        with (
            contextmanager(running)(tmp_path, OPEN + sinks) as gateway,
            socket.create_server(("127.0.0.1", 0)) as listening,
        ):
            port = listening.getsockname()[1]
            with dial(gateway.port) as client:
                through(client, "127.0.0.1", port)
                listening.accept()[0].close()
            until(lambda: gateway.journal("end"))
            until(lambda: '"event":"end"' in (tmp_path / "out").read_text())
        found = (tmp_path / "out").read_text()
    (journal,) = (tmp_path / "var" / "audit").glob("*.jsonl")
    lines = journal.read_text().splitlines()[:3]
    events = [json.loads(each)["event"] for each in lines]
    assert events == ["start", "decision", "end"]
    # As text: a number has several spellings.
    for each in lines:
        assert each in found


def test_chapter(tmp_path: Path) -> None:
    """The configurations of the chapter can be used as they are."""
    (tmp_path / "logs-ca.pem").write_bytes(pemOf(Authority().certificate))
    (tmp_path / "vector.token").touch(0o600)
    (tmp_path / "vector.token").write_text("token")
    text = (ROOT / "socksgw/manual/collectors.rst").read_text()
    blocks = re.findall(r"code-block:: toml\n\n((?:    .*\n|\n)+)", text)
    assert len(blocks) == 3
    sinks = "".join(dedent(each) for each in blocks)
    (tmp_path / "gw.toml").write_text(OPEN + sinks)
    done = socksgw("check", str(tmp_path / "gw.toml"))
    assert done.returncode == 0, done.stderr
