"""
The keys of checkers, as the manual has them, and as they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from socksgw.interfaces import Settings
from socksgw.login.stores.http import httpChecker
from socksgw.login.stores.jwt import jwtChecker
from socksgw.login.stores.keys import HTTP, JWT, LDAP, PAM
from socksgw.login.stores.ldap import ldapChecker
from socksgw.login.stores.pam import pamChecker
from tests.tools.keys import declared


@pytest.mark.parametrize(
    ("keys", "make", "table"),
    [
        (
            LDAP,
            ldapChecker,
            {
                "url": ["ldap://127.0.0.1"],
                "base": "dc=example",
                "bind_dn": "cn=a",
                "bind_password_file": "secret",
            },
        ),
        (
            HTTP,
            httpChecker,
            {
                "url": "http://127.0.0.1/",
                "groups_url": "http://127.0.0.1/groups",
                "token_file": "secret",
            },
        ),
        (PAM, pamChecker, {}),
        (
            JWT,
            jwtChecker,
            {
                "issuer": "https://issuer.example",
                "audience": "socksgw",
                "keys_url": "https://issuer.example/keys",
                "token_file": "secret",
            },
        ),
    ],
)
def test_keys(
    keys: Mapping[str, str],
    make: Callable[[Settings, Any], object],
    table: dict[str, Any],
    tmp_path: Path,
) -> None:
    """Type and default are what the checker takes; each key has a meaning."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("secret")
    settings = Settings(table, tmp_path, name="c")
    declared(
        keys, lambda read: make(read, MemoryReactorClock()), settings, "user_name",
        "group_base", "group_filter",
    )  # fmt: skip
