"""
Tokens, and where they come from.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.client.errors import LoginRefused
from socksgw.client.logins.secret import secretIn
from socksgw.client.logins.token import TokenLogin
from socksgw.client.socks import Socks5Proxy
from socksgw.system.secretfile import SecretFile
from tests.fakes.links import begun, failed, result


def test_bearer() -> None:
    """RFC 6750 section 2.1; a second answer there is not."""
    attempt = TokenLogin("mF_9.B5f-4.1JqM").http()
    answer = result(begun(attempt.answer('realm="x"')))
    assert answer == "Bearer mF_9.B5f-4.1JqM"
    assert isinstance(
        failed(begun(attempt.answer('error="invalid_token"'))), LoginRefused
    )


def test_fromAFile(tmp_path: Path) -> None:
    """Each login has the token of now."""
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text("first\n")
    login = TokenLogin(secretIn(SecretFile(path)))
    assert result(begun(login.http().answer(""))) == "Bearer first"
    path.write_text("second-one\n")
    assert result(begun(login.http().answer(""))) == "Bearer second-one"
    path.chmod(0o604)
    with pytest.raises(LoginRefused, match="others can read it"):
        login.http()
    assert "second" not in repr(login)


@pytest.mark.parametrize("token", ["", "two words", "x\r\nHost: y", "ü"])
def test_whatIsNoToken(token: str) -> None:
    """It is not sent."""
    with pytest.raises(LoginRefused, match="cannot be sent"):
        TokenLogin(token).http()


def test_socks() -> None:
    """SOCKS 5 has no such method."""
    with pytest.raises(ValueError, match="no login by token"):
        Socks5Proxy(TokenLogin("x"))
