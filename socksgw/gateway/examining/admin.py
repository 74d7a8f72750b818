"""
C{[admin]}: where the admin interface is served, and who may ask it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from socksgw.accept.endpoints import isSecured
from socksgw.accept.unixport import permissionsOf
from socksgw.config.adminendpoint import AdminEndpoint, parseAdminEndpoint
from socksgw.config.listening import isRoutable
from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems
from socksgw.system.files import FileError
from socksgw.system.secretfile import SecretFile

__all__ = ["examineAdmin", "toldAdmin"]

#: Octets of the shortest token: what a person thinks up can be guessed.
_SHORTEST: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def toldAdmin(config: Config) -> Iterator[str]:
    """Yield a line for each place of the admin interface: who may ask there."""
    admin = config.admin
    if admin is None:
        return
    tokens = ", ".join(
        f"{each.name} ({'operate' if 'operate' in each.roles else 'read'})"
        for each in admin.token
    )
    public = f"; without a token: {', '.join(admin.public)}" if admin.public else ""
    for text in admin.endpoint:
        who = [f"tokens {tokens}"] if tokens else []
        if text.startswith("unix:"):
            who.insert(0, "root and the gateway's user")
        yield f"{text}: {', '.join(who)}{public}"


def examineAdmin(config: Config, problems: Problems) -> None:
    """Examine the places, the permissions and the tokens."""
    admin = config.admin
    if admin is None:
        return
    if not admin.endpoint:
        problems.wrong("admin.endpoint", "name where it is served, or leave it out")
    taken = {text: listen.name for listen in config.listen for text in listen.places}
    open_ = False
    for i, text in enumerate(admin.endpoint):
        path = f"admin.endpoint[{i}]" if i or admin.endpoint[1:] else "admin.endpoint"
        try:
            place = parseAdminEndpoint(text)
        except ValueError as e:
            problems.wrong(path, f'"{text}": {e}')
            continue
        open_ = open_ or not place.path
        if why := _exposed(place):
            problems.wrong(path, f'"{text}": {why}')
        own = text.removeprefix("tcp:")
        if own in taken and not own.endswith(":0"):
            problems.wrong(path, f'the listener "{taken[own]}" has {own}')
        if text in admin.endpoint[:i]:
            problems.wrong(path, f'"{text}" stands there twice')
    for key, mode, owner in (("mode", admin.mode, ""), ("owner", "", admin.owner)):
        try:
            permissionsOf(mode, owner)
        except ValueError as e:
            problems.wrong(f"admin.{key}", str(e))
    for i, host in enumerate(admin.hosts):
        if not _HOST.fullmatch(host):
            problems.wrong(f"admin.hosts[{i}]", f'"{host}" is no name of a host')
    _tokens(config, problems)
    if open_ and not admin.token:
        problems.odd(
            "admin.token",
            "there is none: nobody may do anything at a port but what is public",
        )


def _exposed(place: AdminEndpoint) -> str:
    """Return why a place may not be used; empty if it may."""
    if place.path:
        return ""
    if place.address is not None:
        if place.address.isLoopback:
            return ""
    elif isSecured(place.endpoint) or not isRoutable(place.endpoint):
        return ""
    return (
        "other hosts reach it, and whoever is on the way reads the tokens; use "
        '"tcp:127.0.0.1:1081", a Unix socket, or an endpoint with TLS, such as '
        '"ssl:1081:privateKey=gw.key:certKey=gw.pem"'
    )


def _tokens(config: Config, problems: Problems) -> None:
    assert config.admin is not None
    names: set[str] = set()
    secrets: dict[bytes, str] = {}
    for i, token in enumerate(config.admin.token):
        path = f"admin.token[{i}]"
        if not _NAME.fullmatch(token.name):
            problems.wrong(
                f"{path}.name", "must be a name of letters, digits and any of _.@-"
            )
        elif token.name in names:
            problems.wrong(f"{path}.name", f'"{token.name}" is another one\'s, too')
        names.add(token.name)
        if not token.roles:
            problems.wrong(f"{path}.roles", 'name "read" or "operate"')
        try:
            secret = SecretFile(config.directory / token.file).read()
        except FileError as e:
            problems.wrong(f"{path}.file", str(e))
            continue
        if len(secret) < _SHORTEST:
            problems.wrong(
                f"{path}.file",
                f"the token has fewer than {_SHORTEST} octets; make one: openssl rand "
                "-hex 32",
            )
        elif (
            not secret.isascii() or not secret.decode().isprintable() or b" " in secret
        ):
            problems.wrong(
                f"{path}.file",
                "the token has characters that no HTTP field may have; make one: "
                "openssl rand -hex 32",
            )
        elif secret in secrets:
            problems.wrong(
                f"{path}.file", f'the token of "{secrets[secret]}" is the same'
            )
        secrets[secret] = token.name
