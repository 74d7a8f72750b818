"""
Proofs of files say what reading them line by line says, in one process and in several.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import asdict

from socksgw.audit import chain
from socksgw.audit import proofs as module
from socksgw.audit.proofs import prove
from socksgw.audit.verify import verify

#: Bodies of all kinds: usual ones, and JSON that is seldom in a journal.
BODIES = [
    '"event":"end","session":1,"address":null,"seconds":0.250,"alpn":["h2","x"]',
    '"event":"end","why":"a \\"quote\\" and \\u00e9","told":{"a":{"b":[]}},"ok":true',
    '"event":"decision","struck":[["192.0.2.1","never"]],"x":-1.5e3,"y":[1,2]',
    '"event":"decision","addresses":[],"rule":"r","n_2":0,"why":""',
    '"event":"missing","from":3,"to":4',
    '"event":"decision","session":7,"listener":"lan","client":"192.0.2.7:1",'
    '"protocol":"socks5","user":"a","method":"none","command":"connect","asked":"x",'
    '"name":null,"port":22,"verdict":"deny","rule":null,"why":"","addresses":[],'
    '"struck":[["192.0.2.1","a rule: \\"x\\" \\u00e9"]],"offered":[0,2]',
    '"event":"end","session":7,"address":null,"bound":null,"sent":0,"received":0,'
    '"seconds":1.5,"reason":"closed","reply":0,"reasons":{"policy":40,"tls":1}',
    '"event":"note","text":"\\"event\\":\\"missing\\""',
]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of five files."""
    head, number = chain.FIRST, 0
    for _ in range(5):
        lines = []
        first = number + 1
        for body in BODIES:
            number += 1
            octets, head = chain.chained(
                f'"v":1,"n":{number},"time":"2026-11-28T07:00:00.000Z",{body}', head
            )
            lines.append(octets)
        (tmp_path / chain.nameOf(first)).write_bytes(b"".join(lines))
    (tmp_path / "head").write_text(f"{number:020d}:{head}\n")
    return tmp_path


def rehashed(octets: bytes, old: bytes, new: bytes, previous: str) -> bytes:
    """Lines that are changed where C{old} is, and have fitting hashes from there on."""
    lines = []
    for line in octets.replace(old, new, 1).splitlines():
        octets, previous = chain.chained(line[1:-75].decode(), previous)
        lines.append(octets)
    return b"".join(lines)


def end(file: Path) -> str:
    return chain.hashIn(file.read_bytes().splitlines()[-1])


Damage = Callable[[list[Path]], object]


def rewrite(old: bytes, new: bytes) -> Damage:
    """Change something in the third file, and hash its lines anew."""
    return lambda x: x[2].write_bytes(rehashed(x[2].read_bytes(), old, new, end(x[1])))


def write(at: int, change: Callable[[bytes], bytes]) -> Damage:
    """Change the octets of a file."""
    return lambda x: x[at].write_bytes(change(x[at].read_bytes()))


DAMAGES: dict[str, Damage] = {
    "none": lambda x: None,
    "a value": write(2, lambda o: o.replace(b'"session":1', b'"session":2')),
    "a line less": write(2, lambda o: o.partition(b"\n")[2]),
    "the last line less": write(4, lambda o: o[: o[:-1].rfind(b"\n") + 1]),
    "a file less": lambda x: x[2].unlink(),
    "the first file less": lambda x: x[0].unlink(),
    "an empty file": write(2, lambda o: b""),
    "the last file empty": write(4, lambda o: b""),
    "torn within": write(2, lambda o: o[:-1]),
    "torn at the end": write(4, lambda o: o[:-30]),
    "a file twice": lambda x: x[3].write_bytes(x[2].read_bytes()),
    "rehashed": rewrite(b'"session":1', b'"session":2'),
    "no JSON": rewrite(b'"session":1', b'"session":'),
    "another number": rewrite(b'"n":17', b'"n":99'),
    "two numbers": rewrite(b'"session":1', b'"n":99'),
    "a leading zero": rewrite(b'"session":1', b'"session":01'),
    "a space": rewrite(b'"session":1', b'"session": 1'),
    "no list": rewrite(b'["h2","x"]', b'["h2","x"'),
    "a control": rewrite(b'"h2"', b'"h\t"'),
    "a carriage return": write(2, lambda o: o.replace(b"\n", b"\r\n", 1)),
    "a number that is none": rewrite(b'"policy":40', b'"policy":04'),
    "no object": rewrite(b'"tls":1}', b'"tls":1'),
    "no escape": rewrite(b"\\u00e9", b"\\u00g9"),
    "half an escape": rewrite(b"\\u00e9", b"\\"),
    "two numbers behind": rewrite(b'"offered":[0,2]', b'"n":99'),
    "no list of lists": rewrite(b'\\u00e9"]]', b'\\u00e9"]'),
    "lines are missing": rewrite(b'"from":3,"to":4', b'"from":90,"to":91'),
    "they are, and a file is": lambda x: (
        rewrite(b'"from":3,"to":4', b'"from":25,"to":32')(x),
        x[3].unlink(),
    ),
}


class Seen:
    """A witness that notes what it is shown."""

    def __init__(self) -> None:
        self.lines: list[object] = []

    def line(self, *line: object) -> None:
        self.lines.append(line)

    def end(self, result: object) -> None:
        self.lines.append("end")


@pytest.mark.parametrize("how", DAMAGES)
def test_theSameFindings(
    journal: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether files are proven here, in other processes, or are read line by line."""
    DAMAGES[how](chain.files(journal))
    found = []
    for way in ("here", "processes", "lines"):
        seen = Seen()
        with monkeypatch.context() as patched:
            if way == "processes":
                patched.setattr(module, "_MUCH", 0)
                patched.setattr("os.sched_getaffinity", lambda _: {0, 1})
            elif way == "lines":
                patched.setattr(module, "prove", lambda *_: None)
            heads = (
                [(len(BODIES), end(journal / chain.nameOf(1)))] if how == "none" else []
            )
            result = asdict(verify(journal, heads, 0, [seen]))
        found.append((result, seen.lines))
    assert found[0] == found[2]
    assert found[1] == found[2]
    assert bool(found[0][0]["problems"]) == (how != "none")


def test_unusualLinesAreProven(journal: Path) -> None:
    """A file with JSON of any layout is proven: it takes longer, and that is all."""
    files = chain.files(journal)
    proof = prove(files[1], end(files[0]), {10})
    assert proof is not None
    assert (proof.lines, proof.head) == (len(BODIES), end(files[1]))
    assert proof.missed == [(3, 4)]
    assert proof.hashes == {10: chain.hashIn(files[1].read_bytes().splitlines()[1])}
    assert prove(files[1], end(files[1]), set()) is None


def test_aKilledProcess(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files whose proof is lost with its process are read line by line."""
    monkeypatch.setattr(module, "_MUCH", 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(module, "prove", _killed)
    with module.proofs(chain.files(journal), ()) as proven:
        assert list(proven) == [None] * 5
    assert verify(journal).lines == 5 * len(BODIES)


def _killed(*_: object) -> None:
    os._exit(9)
