"""
Hashes of other programs in a password file, and files of several kinds.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id as Kdf
from hypothesis import given
from hypothesis import strategies as st

from socksgw.login import hashes, passwords
from socksgw.login.hashes import Argon2id, Bcrypt
from socksgw.login.passwords import (
    DUMMY,
    Hashes,
    PasswordFileError,
    Scrypt,
    hashPassword,
    parseHash,
    readPasswords,
    setPassword,
    verifyPassword,
)

#: crypt_blowfish 1.3, wrapper.c: its own tests, in what htpasswd writes.
BCRYPT = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
BCRYPT_HIGH = "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e"
#: The reference implementation of Argon2, src/test.c (t=2, m=2^8, p=1).
ARGON2 = (
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ"
    "$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
)


def bcrypted(password: bytes) -> Bcrypt:
    """A hash made by the library itself."""
    return Bcrypt.parse(bcrypt.hashpw(password, bcrypt.gensalt(4)).decode())


def argon2ed(password: bytes) -> Argon2id:
    """As L{bcrypted}."""
    made = Kdf(salt=b"any salt", length=32, iterations=1, lanes=1, memory_cost=64)
    return Argon2id.parse(made.derive_phc_encoded(password))


@pytest.mark.parametrize(
    ("text", "password", "kind"),
    [
        (BCRYPT, b"U*U", Bcrypt),
        (BCRYPT.replace("2y", "2b"), b"U*U", Bcrypt),
        (BCRYPT.replace("2y", "2a"), b"U*U", Bcrypt),
        (BCRYPT_HIGH, b"\xff\xff\xa3", Bcrypt),
        (ARGON2, b"password", Argon2id),
    ],
)
def test_vectors(text: str, password: bytes, kind: type) -> None:
    """Hashes that others have published, right and wrong."""
    known = parseHash(text)
    assert type(known) is kind
    assert str(known) == text
    assert verifyPassword(password, known)
    for wrong in (b"", password + b"x", password[:-1], password.swapcase() + b"\0"):
        assert not verifyPassword(wrong, known)


@pytest.mark.parametrize("make", [bcrypted, argon2ed, hashPassword])
def test_nulls(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password with a NULL is none, whatever the hash makes of it."""
    monkeypatch.setattr(passwords, "_LN", 2)
    known = make(b"sesame")
    assert verifyPassword(b"sesame", known)
    for wrong in (b"sesame\0", b"sesame\0x", b"\0", b"\0sesame"):
        assert not verifyPassword(wrong, known)


@pytest.mark.parametrize("length", [71, 72, 73, 255])
def test_bcryptLooksAt72(length: int) -> None:
    """
    bcrypt does not see what stands behind the 72nd octet: no password may
    differ from another there only.
    """
    password = b"x" * length
    known = bcrypted(password[:72])
    assert verifyPassword(password, known) is (length <= 72)
    assert not verifyPassword(password[:72] + b"y", known)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BCRYPT.replace("$05$", "$03$"), "4 and 14"),
        (BCRYPT.replace("$05$", "$15$"), "4 and 14"),
        (BCRYPT.replace("$05$", "$31$"), "4 and 14"),
        (BCRYPT.replace("$05$", "$5$"), "not a bcrypt"),
        (BCRYPT.replace("2y", "2x"), "not a bcrypt"),
        (BCRYPT.replace("2y", "2"), "not a bcrypt"),
        (BCRYPT[:-1], "not a bcrypt"),
        (BCRYPT + "x", "not a bcrypt"),
        (BCRYPT + "\n", "not a bcrypt"),
        # A salt that no program makes, and that the library refuses.
        (BCRYPT.replace("C.E5", "CCE5"), "not a bcrypt"),
        (ARGON2.replace("m=256", "m=32769"), "32 MiB"),
        (ARGON2.replace("m=256", "m=65536"), "32 MiB"),
        (ARGON2.replace("m=256", "m=7"), "out of range"),
        (ARGON2.replace("t=2", "t=11"), "out of range"),
        (ARGON2.replace("t=2", "t=0"), r"not a \$argon2id"),
        (ARGON2.replace("m=256", "m=0256"), r"not a \$argon2id"),
        (ARGON2.replace("p=1", "p=5"), "out of range"),
        (ARGON2.replace("argon2id", "argon2i"), r"not a \$argon2id"),
        (ARGON2.replace("argon2id", "argon2d"), r"not a \$argon2id"),
        (ARGON2.replace("v=19", "v=16"), r"not a \$argon2id"),
        (ARGON2.replace("v=19$", ""), r"not a \$argon2id"),
        (ARGON2 + "=", r"not a \$argon2id"),
        (ARGON2[:-1] + "5", r"not a \$argon2id"),
        ("$apr1$xxxxxxxx$yyyyyyyyyyyyyyyyyyyyyy", "htpasswd has -B"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "htpasswd has -B"),
        ("rqXexS6ZhobKA", r"not a \$scrypt"),
    ],
)
def test_refused(text: str, why: str) -> None:
    """What is no such hash, is too weak, or costs too much to check."""
    with pytest.raises(ValueError, match=why):
        parseHash(text)


@given(
    st.text(max_size=80)
    | st.from_regex(
        r"\$2[aby]\$0[4-6]\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", fullmatch=True
    )
    | st.from_regex(
        r"\$argon2id\$v=19\$m=\d{1,3},t=[123],p=[12]\$[A-Za-z0-9+/]{11,24}\$[A-Za-z0-9+/]{22,44}",
        fullmatch=True,
    )
)
def test_whatIsTakenCanBeChecked(text: str) -> None:
    """
    Whatever stands in a file: it is refused when it is read, or no password
    makes the check fail in another way than by saying no.
    """
    try:
        known = parseHash(text)
    except ValueError:
        return
    assert verifyPassword(b"x\0y", known) is False
    assert verifyPassword(b"x" * 255, known) is False
    assert text not in repr(known)


def _withoutArgon2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cryptography answer as it does on an OpenSSL that has no Argon2."""

    def unsupported(**_: Any) -> None:
        raise UnsupportedAlgorithm("not in this OpenSSL")

    monkeypatch.setattr(hashes, "Kdf", unsupported)


@pytest.mark.parametrize(
    ("without", "text", "remedy"),
    [
        (lambda m: m.setitem(sys.modules, "bcrypt", None), BCRYPT, "socksgw[bcrypt]"),
        (_withoutArgon2, ARGON2, "OpenSSL 3.2 or newer"),
    ],
    ids=["bcrypt", "argon2"],
)
def test_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without: Callable[[pytest.MonkeyPatch], None],
    text: str,
    remedy: str,
) -> None:
    """
    Without its package, or its algorithm, a line with such a hash is an error
    with its remedy; a file without such a line does not need it.
    """
    monkeypatch.setattr(passwords, "_LN", 2)
    without(monkeypatch)
    path = tmp_path / "users"
    setPassword(path, "alice", b"sesame")
    assert readPasswords(path)
    with path.open("a") as opened:
        opened.write(f"bob:{text}\n")
    with pytest.raises(PasswordFileError, match="line 2") as raised:
        readPasswords(path)
    assert remedy in str(raised.value)
    assert text not in str(raised.value)


# Files of several kinds.


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Lines of C{htpasswd} and our own in one file; setting a password makes the
    line ours and leaves the others be.
    """
    monkeypatch.setattr(passwords, "_LN", 2)
    path = tmp_path / "users"
    path.touch(0o600)
    path.write_text(f"# of the web server\nbob:{BCRYPT}\ncarol:{ARGON2}\n")
    setPassword(path, "alice", b"sesame")
    known = readPasswords(path)
    assert [type(each) for each in known.values()] == [Bcrypt, Argon2id, Scrypt]
    assert verifyPassword(b"U*U", known[b"bob"])
    setPassword(path, "bob", b"U*U")
    known = readPasswords(path)
    assert [type(each) for each in known.values()] == [Scrypt, Argon2id, Scrypt]
    assert verifyPassword(b"U*U", known[b"bob"])


def many(**counts: int) -> Hashes:
    """So many users of each kind."""
    kinds = {"bcrypt": BCRYPT, "argon": ARGON2, "scrypt": str(DUMMY)}
    texts = [text for kind, text in kinds.items() for _ in range(counts.get(kind, 0))]
    return Hashes({b"user%d" % n: parseHash(text) for n, text in enumerate(texts)})


def test_insteadOfOneKind() -> None:
    """Where all cost the same, so does whoever is not there."""
    assert many().instead(b"nobody") == DUMMY
    for kind in ("bcrypt", "argon", "scrypt"):
        known = many(**{kind: 3})
        assert known.instead(b"nobody").cost == known[b"user0"].cost


def test_insteadOfSeveralKinds() -> None:
    """
    Names that are not there are dealt the costs in the proportions of those
    that are: who is slow is no likelier a user than who is not. Each name
    keeps its cost, in another process as well.
    """
    known = many(bcrypt=700, argon=100, scrypt=200)
    names = [b"nobody%d" % number for number in range(10_000)]
    dealt = Counter(known.instead(name).cost[0] for name in names)
    assert dealt["bcrypt"] == pytest.approx(7000, abs=250)
    assert dealt["argon2id"] == pytest.approx(1000, abs=250)
    assert dealt["scrypt"] == pytest.approx(2000, abs=250)
    again = many(bcrypt=700, argon=100, scrypt=200)
    assert all(known.instead(name) == again.instead(name) for name in names)
    # One user more changes next to nobody's.
    more = many(bcrypt=700, argon=100, scrypt=201)
    changed = sum(known.instead(n).cost != more.instead(n).cost for n in names)
    assert changed < 100
    # Nor can anybody compute it without the file.
    other = dict(known)
    other[b"user0"] = bcrypted(b"x")
    different = Hashes(other)
    changed = sum(
        known.instead(n).cost[0] != different.instead(n).cost[0] for n in names
    )
    assert changed > 2000
