"""
A journal as a busy gateway writes it, of any size, for tests that read journals.

C{python -m tests.tools.traffic DIRECTORY OCTETS} writes one.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from socksgw.audit import chain

__all__ = ["BEGAN", "bodies", "kept"]

#: When the first line is written.
BEGAN: Final = datetime(2026, 11, 1, tzinfo=UTC)
_ROTATE: Final = 64_000_000
_USERS: Final = [f"user{i:03d}" for i in range(400)]
_HOSTS: Final = [f"host{i}.corp.example" for i in range(5_000)]
_POLICY: Final = "0123456789ab"
#: Of clients in TLS.
_TLS: Final = {
    "tls_version": "TLSv1.3", "tls_group": "X25519", "fingerprint": "5a" * 32,
    "serial": "0A1B",
}  # fmt: skip
_RULES: Final = ("web", "engineers", "databases", "everything-else")


def _text(**fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":"))[1:-1]


def bodies(seed: int, seconds: float) -> Iterator[tuple[datetime, str]]:
    """
    Yield the bodies of lines without an end, each with its time.

    @param seconds: from one line to the next.
    """
    dice = random.Random(seed)
    now = BEGAN
    session = 0
    open_: list[tuple[int, str, int]] = []
    yield now, _text(event="start", gateway="edge", pid=411)
    while True:
        now += timedelta(seconds=seconds)
        what = dice.random()
        # The few who are busy, and the many who are not.
        user = _USERS[int(len(_USERS) * dice.random() ** 3)]
        host = _HOSTS[int(len(_HOSTS) * dice.random() ** 3)]
        address = f"198.51.{session % 256}.{dice.randrange(1, 255)}"
        who = {
            "listener": "lan" if what < 0.5 else "tls",
            "client": f"10.1.{len(user) + session % 40}.7:{1024 + session % 60000}",
            "protocol": "socks5",
        }
        if what < 0.46 or not open_:
            session += 1
            open_.append((session, address, 443))
            yield now, _text(
                event="decision", session=session, **who, user=user, method="userpass",
                command="connect", asked=host, name=host, port=443, verdict="allow",
                rule=dice.choice(_RULES[:3]), why="", policy=_POLICY, addresses=[address],
                groups=["staff", "engineers"],
                **(_TLS if session % 4 == 0 else {}),
            )  # fmt: skip
        elif what < 0.50:
            session += 1
            yield now, _text(
                event="decision", session=session, **who, user=user, method="userpass",
                command="connect", asked="10.9.8.7", name=None, port=22, verdict="deny",
                rule=_RULES[3], why="a rule denies it", addresses=[],
                struck=[["10.9.8.7", 'a rule: "everything-else"']], reply=2,
                reason="policy",
            )  # fmt: skip
        elif what < 0.51:
            session += 1
            yield now, _text(
                event="login-failed", session=session, **who, method="userpass",
                claimed=user, reason="wrong-credentials", why="user or password is wrong",
            )  # fmt: skip
        elif what < 0.515:
            session += 1
            yield now, _text(
                event="refused", session=session, **who, reason="no-acceptable-method",
                why="none of the methods is offered", wanted=["userpass"], offered=[0],
                reply=255,
            )  # fmt: skip
        elif what < 0.516:
            yield now, _text(
                event="denials", source="10.1.9.7", user=user, rule=_RULES[3], count=40,
                reasons={"policy": 40}, first="a.example:22", last="b.example:22",
            )  # fmt: skip
        else:
            # Most sessions are short.
            at = max(0, len(open_) - 1 - int(dice.expovariate(0.01)))
            ended, address, _ = open_.pop(at)
            yield now, _text(
                event="end", session=ended, address=address,
                bound=f"203.0.113.1:{1024 + ended % 60000}",
                sent=int(dice.paretovariate(0.9) * 400),
                received=int(dice.paretovariate(0.8) * 4000),
                seconds=round(dice.expovariate(0.2), 3), reason="closed", reply=0,
            )  # fmt: skip


def kept(
    directory: Path,
    octets: int,
    seconds: float = 0.5,
    rotate: int = _ROTATE,
    seed: int = 14,
) -> int:
    """
    Write a journal of at least so many octets.

    @param seconds: from one line to the next.
    @param rotate: octets of one file.
    @return: the number of the last line.
    """
    directory.mkdir(parents=True, exist_ok=True)
    head, number, written = chain.FIRST, 0, 0
    source = bodies(seed, seconds)
    while written < octets:
        size = 0
        with (directory / chain.nameOf(number + 1)).open("wb") as out:
            while size < rotate and written + size < octets:
                now, body = next(source)
                number += 1
                stamp = (
                    now.strftime("%Y-%m-%dT%H:%M:%S.")
                    + f"{now.microsecond // 1000:03d}Z"
                )
                line, head = chain.chained(
                    f'"v":1,"n":{number},"time":"{stamp}",{body}', head
                )
                size += out.write(line)
        written += size
    return number


if __name__ == "__main__":
    print(kept(Path(sys.argv[1]), int(sys.argv[2])))
