"""
Who asks, and whether it is a browser that a foreign page has led here.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, final

from socksgw.admin.table import Caller, Refused
from socksgw.config.schema import AdminConfig, AdminToken, Config
from socksgw.system.files import FileError
from socksgw.system.program import Program, isUnmapped
from socksgw.system.secretfile import SecretFile
from socksgw.wire.address import Address

__all__ = ["Access"]

#: Name or address, and port, of a Host field.
_HOST: Final = re.compile(
    r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?"
)
_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([!-~]{1,4096}) *")
_ROOT: Final = 0
_OWN: Final = frozenset({"read", "operate"})
#: What Sec-Fetch-Site says of requests that no other site has brought about.
_SAME: Final = frozenset({"same-origin", "none"})


@final
class Access:
    """
    Tells callers by the tokens of a configuration, and by the user of a Unix socket.
    """

    def __init__(self, config: Config) -> None:
        admin = config.admin or AdminConfig()
        self._tokens: list[tuple[AdminToken, SecretFile]] = []
        for token in admin.token:
            self._tokens.append((token, SecretFile(config.directory / token.file)))
        self._hosts = frozenset({"localhost", *(each.lower() for each in admin.hosts)})
        self._public = frozenset(admin.public)

    def isPublic(self, word: str) -> bool:
        """Return whether everybody may ask for what has this word (C{public})."""
        return word in self._public

    # Browsers.

    def host(self, values: Iterable[str], needed: bool) -> str:
        """
        Return the name or address, with its port, by which the client asks.

        A page whose name its owner leads to this machine (DNS rebinding) has browsers
        ask by that name.

        @param values: of the fields Host.
        @param needed: whether there must be one: browsers always send it.
        @raise Refused: it is none by which anybody asks.
        """
        found = list(values)
        if not found and not needed:
            return ""
        match = _HOST.fullmatch(found[0]) if len(found) == 1 else None
        if match is None:
            raise Refused(400, "the Host field names no host")
        name = match[1].lower()
        if name not in self._hosts and not _isAddress(name):
            raise Refused(
                421, f"nobody asks by the name {name}: [admin] hosts has those that do"
            )
        return found[0].lower()

    def isForeign(
        self, origin: str | None, site: str | None, host: str, secure: bool
    ) -> bool:
        """
        Return whether a page of another site has brought a request about.

        @param origin: the field Origin; L{None} without it.
        @param site: the field Sec-Fetch-Site, likewise.
        @param host: as L{host} returns it.
        @param secure: whether the client came by TLS.
        """
        if origin is not None:
            own = f"{'https' if secure else 'http'}://{host}"
            if not host or origin.lower() != own:
                return True
        return site is not None and site.lower() not in _SAME

    # Callers.

    def caller(self, authorization: str | None, program: Program | None) -> Caller:
        """
        Return who asks.

        @param authorization: the field of that name; L{None} without it.
        @param program: at the other end of a Unix socket; else L{None}.
        @return: somebody without a name, and without roles, for who has not said.
        @raise Refused: there is no such token.
        """
        if authorization is not None:
            return self._bearer(authorization)
        if program is not None and not isUnmapped(program.uid):
            name = f"uid:{program.uid}"
            own = program.uid in (_ROOT, os.geteuid())
            return Caller(name, _OWN if own else frozenset())
        return Caller()

    def _bearer(self, authorization: str) -> Caller:
        match = _BEARER.fullmatch(authorization)
        given = sha256(match[1].encode() if match is not None else b"").digest()
        found: AdminToken | None = None
        for token, file in self._tokens:
            try:
                secret = file.read()
            except FileError:
                # It has been logged; what it held may have been revoked.
                continue
            # Each is compared as a whole: time tells nothing of one.
            if hmac.compare_digest(sha256(secret).digest(), given):
                found = token
        if match is None or found is None:
            raise Refused(
                401,
                "there is no such token",
                fields={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        return Caller(f"token:{found.name}", frozenset(found.roles))


def _isAddress(name: str) -> bool:
    """Return whether a name is an address, which no page can have led elsewhere."""
    try:
        Address.parse(name.strip("[]"))
    except ValueError:
        return False
    return True
