"""
Login by what another gateway has signed: when the method applies, and when it does not.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.accept.asserted import AssertedIdentity
from socksgw.accept.identity import CertificateIdentity
from socksgw.errors import AuthenticationFailed
from socksgw.login.identities import VerifiedIdentities
from socksgw.plugins import auth_certificate, auth_gateway
from socksgw.wire.assertion import Assertion
from tests.fakes.client import result

SAID = Assertion("Alice", "chap", frozenset({"ops"}), "", "clear", 9.0, ("edge/1",))
ASSERTED = AssertedIdentity(SAID, "edge:")
LEAF: Any = None
CERTIFICATE = CertificateIdentity(b"alice", 9.0, LEAF, ())


def test_applies() -> None:
    """Each of the two methods takes its own kind of identity, and not the other's."""
    gateway = auth_gateway.method.build({}, None)
    certificate = auth_certificate.method.build({}, None)
    for identity, methods in (
        (ASSERTED, (True, False)),
        (CERTIFICATE, (False, True)),
        (None, (False, False)),
    ):
        exchange = SimpleNamespace(identity=identity)
        assert (gateway.applies(exchange), certificate.applies(exchange)) == methods


def test_read() -> None:
    """The user has the name and the groups that the other gateway says."""
    gateway = auth_gateway.method.build({}, None)

    def read(identity: object) -> Any:
        exchange = SimpleNamespace(identity=identity)
        return result(Deferred.fromCoroutine(gateway.readCredentials(exchange)))

    assert read(ASSERTED) is ASSERTED
    for other in (None, CERTIFICATE):
        error = read(other)
        assert isinstance(error, AuthenticationFailed)
        assert (error.reason, error.counts) == ("no-identity", False)
    proved = VerifiedIdentities(["CORP"]).requestAvatarId(ASSERTED)
    # No directory is asked, and no case is changed.
    assert (proved.name, proved.groups, proved.expires) == ("edge:Alice", {"ops"}, 9.0)


def test_settings() -> None:
    """They belong to the listener."""
    with pytest.raises(ValueError, match=r"listen\.identity_keys"):
        auth_gateway.method.build({"keys": "x"}, None)
