"""
A flood of strangers' logins, and those who are in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.cred.credentials import UsernamePassword
from twisted.internet.testing import MemoryReactorClock

from socksgw.interfaces import Settings
from socksgw.login.refusal import Refused


def http(reactor: Any) -> Any:
    """Asks a service that never answers."""
    url = "http://127.0.0.1:9/login"
    table = {"url": url, "groups_url": url}
    module = pytest.importorskip("socksgw.login.stores.http")
    return module.httpChecker(Settings(table, name="service"), reactor)


def ldap(reactor: Any) -> Any:
    """Asks a directory that never answers."""
    table = {"url": ["ldap://127.0.0.1:9"], "base": "dc=example"}
    module = pytest.importorskip("socksgw.login.stores.ldap")
    return module.ldapChecker(Settings(table, name="ad"), reactor)


@pytest.mark.parametrize("make", [http, ldap])
def test_groupsHaveTheirOwnTurns(
    make: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    However many logins wait, somebody's groups are asked for: else strangers
    could have the sessions of others end.
    """
    remote = pytest.importorskip("socksgw.login.stores.remote")
    monkeypatch.setattr(remote, "_MOST", 256)
    reactor: Any = MemoryReactorClock()
    checker = make(reactor)
    failures: list[Any] = []
    waiting = []
    for number in range(300):
        login = checker.requestAvatarId(UsernamePassword(b"%d" % number, b"x"))
        waiting.append(login.addErrback(failures.append))
    assert len(failures) == 300 - 256
    assert failures[0].check(Refused)
    assert failures[0].value.reason == "busy"
    results: list[Any] = []
    before = len(reactor.tcpClients)
    asking = checker.groupsOf("alice").addBoth(results.append)
    assert not results
    assert len(reactor.tcpClients) == before + 1
    asking.cancel()
    for login in waiting:
        login.cancel()
