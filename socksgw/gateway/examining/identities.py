"""
C{identity_keys} of listeners, and C{identity_key} of upstreams: who is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from socksgw.config.schema import Config
from socksgw.config.upstreamurl import parseUpstreamURL
from socksgw.gateway.examining.problems import Problems
from socksgw.system.assertionkeys import SigningKey, VerifyingKeys
from socksgw.system.files import FileError

__all__ = ["Identities", "examineIdentities"]

_METHOD: Final = "gateway"


@frozen
class Identities:
    """
    The keys of one configuration.

    @ivar believed: those of the gateways that a listener believes, by its name.
    @ivar own: those by which this gateway signs for an upstream, by its name.
    """

    believed: Mapping[str, VerifyingKeys]
    own: Mapping[str, SigningKey]


def examineIdentities(config: Config, problems: Problems) -> Identities:
    """
    Return the keys that can be used.
    """
    return Identities(_believed(config, problems), _own(config, problems))


def _own(config: Config, problems: Problems) -> Mapping[str, SigningKey]:
    found: dict[str, SigningKey] = {}
    for i, table in enumerate(config.upstream):
        if not table.identity_key:
            continue
        path = f"upstream[{i}].identity_key"
        try:
            tls = parseUpstreamURL(table.url).tls
        except ValueError:
            # That is reported of the URL.
            continue
        if not tls:
            problems.wrong(
                path,
                "needs TLS to the upstream (socks5+tls://, https://): what is signed is "
                "bound to one connection of TLS",
            )
            continue
        try:
            file = config.directory / table.identity_key
            found[table.name] = SigningKey(file, config.gateway.name)
        except FileError as e:
            problems.wrong(path, str(e))
    return found


def _believed(config: Config, problems: Problems) -> Mapping[str, VerifyingKeys]:
    found: dict[str, VerifyingKeys] = {}
    for i, listen in enumerate(config.listen):
        prefix, where = listen.identity_prefix, f"listen[{i}].identity_prefix"
        if not prefix.isprintable() or "\\" in prefix:
            problems.wrong(where, "must be printable, and without a backslash")
        if not listen.identity_keys:
            if prefix:
                problems.wrong(where, "is of no use without identity_keys")
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
