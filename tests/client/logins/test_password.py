"""
User and password.
"""

from __future__ import annotations

import pytest

from socksgw.client.errors import LoginRefused
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.socks import Socks5Proxy
from tests.fakes.links import MemoryLink, begun, failed, result


@pytest.mark.parametrize(
    ("user", "password"), [("", "x"), ("x", ""), ("x" * 256, "x"), ("x", "ß" * 128)]
)
def test_tooLongForSocks(user: str, password: str) -> None:
    """RFC 1929 has 1 to 255 octets: others are not sent, in part or at all."""
    link = MemoryLink()
    running = begun(
        Socks5Proxy(PasswordLogin(user, password)).connect(link, "example.com", 1)
    )
    link.came(b"\x05\x02")
    assert isinstance(failed(running), LoginRefused)
    assert link.taken() == b"\x05\x01\x02"


def test_utf8() -> None:
    """Text is UTF-8; octets are sent as they are."""
    link = MemoryLink()
    begun(Socks5Proxy(PasswordLogin("ü", b"\xff")).connect(link, "example.com", 1))
    link.came(b"\x05\x02")
    assert link.taken() == b"\x05\x01\x02" + bytes.fromhex("01 02 c3bc 01 ff")


def test_basic() -> None:
    """The example of RFC 7617 section 2; a second answer there is not."""
    attempt = PasswordLogin("Aladdin", "open sesame").http()
    answer = result(begun(attempt.answer('realm="WallyWorld"')))
    assert answer == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert isinstance(failed(begun(attempt.answer(""))), LoginRefused)


def test_colon() -> None:
    """A user's name with a colon would be another's (RFC 7617 section 2)."""
    with pytest.raises(LoginRefused, match="colon"):
        PasswordLogin("a:b", "c").http()


def test_notShown() -> None:
    """Nothing shows the password."""
    login = PasswordLogin("alice", "canary-4711")
    assert "canary" not in repr(login) + str(login)
