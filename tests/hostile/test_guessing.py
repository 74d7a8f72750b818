"""
Passwords that are guessed: at one name, at many, and while the victim works.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.live.clients import exactly, opened
from tests.live.raw import login, login6, request6
from tests.live.running import Running, processorTime, settled, socksgw
from tests.tools.waiting import until

USER, PASSWORD = b"alice", b"correct-horse"

#: Window and handshake are longer than checking sixty passwords takes on a busy machine.
CONFIGURATION = """
[timeouts]
handshake = "60s"
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[auth]
checkers = ["passwd:{users}"]
throttle = {{ window = "20s" }}
[[auth.choose]]
methods = ["userpass"]
"""


def _tried(
    gateway: Running, source: str, logins: Sequence[tuple[bytes, bytes]]
) -> Counter[bytes]:
    """
    What these logins hear, all sent at once, by SOCKS 5 and 6 in turn (RFC 1929
    section 2; section 9 of draft-olteanu-intarea-socks-6-11).
    """
    with ExitStack() as stack:
        clients = []
        for number, (name, password) in enumerate(logins):
            client = stack.enter_context(opened(gateway.port, source))
            if number % 2:
                option = login6(name.decode(), password.decode())
                client.sendall(request6("127.0.0.1", 9, options=option))
            else:
                client.sendall(b"\x05\x01\x02" + login(name, password))
            clients.append(client)
        heard: Counter[bytes] = Counter()
        for number, client in enumerate(clients):
            heard[_SIX[exactly(client, 12)] if number % 2 else exactly(client, 4)] += 1
        return heard


#: The method chosen, and the status.
_NO, _YES = b"\x05\x02\x01\x01", b"\x05\x02\x01\x00"
#: The same in SOCKS 6.
_SIX = {
    bytes.fromhex("06 01 0008 0004 0008 02 01 01 00"): _NO,
    bytes.fromhex("06 00 0008 0004 0008 02 01 00 00"): _YES,
}


def _reasons(gateway: Running, source: str) -> Counter[str]:
    """Why that source's logins failed; beyond a rate these are summed."""
    found = Counter(
        line["reason"]
        for line in gateway.journal("login-failed")
        if line["client"].startswith(f"{source}:")
    )
    for line in gateway.journal("refusals"):
        if line["source"] == source:
            found.update(line["reasons"])
    return found


def test_guessing(gateway: Callable[..., Running], tmp_path: Path) -> None:
    """
    Ten wrong passwords of one source at one name are all that is checked, also
    over a reload; then the right one does not help, and no hash is computed.
    Meanwhile alice logs in from elsewhere. One password tried at many names
    ends with the fiftieth. After the window all is as before.
    """
    users = tmp_path / "users"
    made = socksgw("passwd", str(users), "alice", stdin=PASSWORD.decode() + "\n")
    assert made.returncode == 0, made.stderr
    serving = settled(gateway(CONFIGURATION.format(users=users)))
    wrong = [(USER, b"guess%d" % number) for number in range(100)]

    assert _tried(serving, "127.0.0.1", wrong[:10]) == {_NO: 10}
    serving.process.send_signal(signal.SIGHUP)
    until(lambda: serving.journal("reloaded"))
    before = processorTime(serving)
    assert _tried(serving, "127.0.0.1", [*wrong[10:], (USER, PASSWORD)]) == {_NO: 91}
    # As many hashes would take two seconds at the very least.
    assert processorTime(serving) - before < 1
    assert _tried(serving, "127.0.0.2", [(USER, PASSWORD)]) == {_YES: 1}
    reasons = {"wrong-credentials": 10, "throttled": 91}
    until(lambda: _reasons(serving, "127.0.0.1") == reasons)

    names = [(b"user%d" % number, b"summer") for number in range(60)]
    assert _tried(serving, "127.0.0.3", names) == {_NO: 60}
    assert _tried(serving, "127.0.0.3", [(USER, PASSWORD)]) == {_NO: 1}
    reasons = {"wrong-credentials": 50, "throttled": 11}
    until(lambda: _reasons(serving, "127.0.0.3") == reasons)
    for source, limit in (("127.0.0.1", "per_user"), ("127.0.0.3", "per_source")):
        (told,) = [x for x in serving.log.splitlines() if f"from {source} failed" in x]
        assert f"auth.throttle.{limit}" in told

    for source in ("127.0.0.1", "127.0.0.3"):
        until(lambda s=source: _tried(serving, s, [(USER, PASSWORD)]) == {_YES: 1}, 60)
