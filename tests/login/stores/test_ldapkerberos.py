"""
The gateway's own login to a directory by Kerberos, where it is refused.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from socksgw.login.refusal import Refused
from socksgw.login.stores.ldaplinks import NotServed, ResultError


class Context:
    """As of gssapi: what the directory offers, and what is chosen."""

    def __init__(self, offer: bytes) -> None:
        self._offer = offer

    def unwrap(self, said: bytes) -> Any:
        return SimpleNamespace(message=self._offer)

    def wrap(self, choice: bytes, secret: bool) -> Any:
        return SimpleNamespace(message=choice)


class Link:
    """Answers a choice."""

    def __init__(self, code: int) -> None:
        self._code = code
        self.said: list[bytes] = []

    async def sasl(self, mechanism: str, token: bytes, last: bool = False) -> bytes:
        self.said.append(token)
        if self._code:
            raise ResultError(self._code)
        return b""


@pytest.mark.parametrize(
    ("offer", "code", "error"),
    [
        # RFC 4752 section 3.1: none, integrity, confidentiality are 1, 2, 4.
        (7, 0, None),
        # Samba's default, also inside TLS.
        (7, 8, NotServed),
        (6, 0, NotServed),
        (7, 49, ResultError),
    ],
)
def test_layer(offer: int, code: int, error: type[Exception] | None) -> None:
    """A directory that wants signing is named, with what to do."""
    module: Any = pytest.importorskip("socksgw.login.stores.ldapkerberos")
    base: Any = module.KeytabAccount

    class Account(base):  # type: ignore[misc]  # the module may not be there
        _protection = ""

        def __init__(self) -> None:
            """Without threads."""

        async def _do(self, work: Any) -> Any:
            return await succeed(work())

    link, results = Link(code), list[Any]()
    choosing = Account()._choose(link, Context(bytes((offer, 0, 0, 0))), b"")
    Deferred.fromCoroutine(choosing).addBoth(results.append)
    if error is None:
        assert (results, link.said) == ([None], [b"\x01\0\0\0"])
    else:
        assert results[0].type is error
        if error is NotServed:
            text = results[0].getErrorMessage()
            assert 'say bind_protection = "confidentiality"' in text


def test_aKeytabThatOthersCanRead(tmp_path: Path) -> None:
    """It is not used from then on, which is no fault of the directory's."""
    module = pytest.importorskip("socksgw.login.stores.ldapkerberos")
    keytab = tmp_path / "keytab"
    keytab.touch(0o600)
    account = module.KeytabAccount(Clock(), keytab, "")
    keytab.chmod(0o644)
    results: list[Any] = []
    Deferred.fromCoroutine(account.bind(Link(0))).addErrback(results.append)
    assert results[0].type is Refused
    assert results[0].value.reason == "store-unreadable"
    assert results[0].value.why.endswith(f"chmod o-rwx {keytab}")
