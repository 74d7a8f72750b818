"""
C{identity_keys} of listeners, and C{identity_key} of upstreams: who is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems
from socksgw.system.assertionkeys import VerifyingKeys
from socksgw.system.files import FileError

__all__ = ["examineIdentities"]

_METHOD: Final = "gateway"


def examineIdentities(
    config: Config, problems: Problems
) -> Mapping[str, VerifyingKeys]:
    """
    Return the keys of the gateways that each listener believes, by its name.
    """
    found: dict[str, VerifyingKeys] = {}
    for i, listen in enumerate(config.listen):
        if not listen.identity_keys:
            continue
        path = f"listen[{i}].identity_keys"
        if listen.tls is None:
            problems.wrong(
                path,
                "needs [listen.tls]: what a gateway signs is bound to one connection "
                "of TLS",
            )
            continue
        files = [config.directory / each for each in listen.identity_keys]
        try:
            found[listen.name] = VerifyingKeys(files)
        except FileError as e:
            problems.wrong(path, str(e))
    _examineMethod(config, problems)
    return found


def _examineMethod(config: Config, problems: Problems) -> None:
    """Examine where the method is offered."""
    believing = {each.name for each in config.listen if each.identity_keys}
    every = {each.name for each in config.listen}
    for i, choose in enumerate(config.auth.choose):
        if _METHOD not in choose.methods:
            continue
        names = every if choose.listener is None else set(choose.listener) & every
        if names and not names & believing:
            problems.wrong(
                f"auth.choose[{i}].methods",
                f'"{_METHOD}" can never apply: no listener of it has identity_keys',
            )
