"""
What becomes of a request that a proxy does not grant.
"""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectError

from socksgw.client import errors
from socksgw.client.errors import ProxyClosed, ProxyError, ProxyRefused, refusal
from socksgw.errors import SocksError
from socksgw.wire.codes import Reply

CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ProxyError)
]


@pytest.mark.parametrize("code", range(1, 9))
def test_toldTruthfully(code: int) -> None:
    """A reply of a proxy is the reply that a client of the gateway gets."""
    assert refusal(5, code).reply == Reply(code)


def test_oneClassForEachCode() -> None:
    """No two replies with a meaning have one class."""
    found = {type(refusal(5, code)) for code in range(1, 9)}
    found.update(type(refusal(4, code)) for code in (91, 92, 93))
    assert len(found) == 11


@pytest.mark.parametrize("kind", CLASSES)
def test_words(kind: type[ProxyError]) -> None:
    """Each says what happened, has a word for the record, and is Twisted's, too."""
    failure = kind(5) if issubclass(kind, ProxyRefused) else kind("it said no")
    assert isinstance(failure, ConnectError)
    assert isinstance(failure, SocksError)
    assert str(failure)
    assert failure.reason == failure.reason.lower()
    assert "\n" not in str(failure)


def test_text() -> None:
    """The text is ours alone: not that of ConnectError."""
    assert str(ProxyClosed("the proxy closed")) == "the proxy closed"
    assert str(refusal(5, 5)) == ("the destination refuses the connection (reply 05)")
    assert str(errors.NotAllowed(403, "403 Forbidden")) == (
        "the proxy's rules do not allow it (403 Forbidden)"
    )
