"""
The C{jwt} checker: tokens that an issuer has signed (RFC 7519).

Kubernetes, CI systems and SPIFFE hand such tokens to programs. A token is its own
proof: no store has to know the user, and the login ends when the token does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred
from zope.interface import implementer

from socksgw.interfaces import (
    Answer,
    IBearerToken,
    IChangingStore,
    IProbed,
    IReportingStore,
    Settings,
)
from socksgw.login.identities import Proved
from socksgw.login.refusal import WRONG, Refused
from socksgw.login.stores.claims import Path, Requirement, Wanted, refuse
from socksgw.login.stores.httpservice import JSONService
from socksgw.login.stores.jwtprobe import askIssuer
from socksgw.login.stores.keys import JWT
from socksgw.login.stores.keyset import (
    ALGORITHMS,
    BadToken,
    UnknownKey,
    Verifier,
    keySetIn,
)
from socksgw.login.stores.keysource import FileKeys, KeySource, URLKeys
from socksgw.login.stores.remote import Unavailable, trustIn, urlIn
from socksgw.login.tokens import LONGEST, NAMELESS, isToken, partsOf
from socksgw.system.spiffe import isSPIFFE, wrongId
from socksgw.system.tlspeer import TLSPeer
from socksgw.system.usage import shared

__all__ = ["JWTChecker", "jwtChecker"]

#: What a server without TLS means.
_RISK: Final = (
    "would let anybody on the way say which keys are the issuer's; use https://"
)
_ALGORITHMS: Final = ("RS256", "ES256")
_DAY: Final = 86400.0
#: Seconds that clocks may differ by, at most.
_LEEWAY: Final = 300.0


@implementer(ICredentialsChecker, IChangingStore, IProbed, IReportingStore)
@final
class JWTChecker:
    """
    Let in who bears a token of one issuer.
    """

    credentialInterfaces = (IBearerToken, IUsernamePassword)

    def __init__(
        self,
        keys: KeySource,
        verifier: Verifier,
        wanted: Wanted,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        @param wall: seconds since the epoch.
        """
        self._keys = keys
        self._verifier = verifier
        self._wanted = wanted
        self._wall = wall

    # As a store.

    def stamp(self) -> object:
        """As L{IChangingStore.stamp}: logins by other keys are not remembered."""
        self._keys.look()
        return self._keys.state

    def knows(self, name: bytes) -> bool:
        """Return L{False}: tokens prove users, and nobody has a list of them."""
        return False

    def problems(self) -> list[str]:
        """As L{IReportingStore.problems}."""
        self._keys.look()
        return [self._keys.trouble] if self._keys.trouble else []

    async def probe(self) -> Sequence[Answer]:
        """As L{IProbed.probe}."""
        return await askIssuer(self._keys, self._wanted.issuer)

    # Logging in.

    def requestAvatarId(self, credentials: Any) -> Any:
        """
        @return: a C{Deferred} that fires with L{Proved}; it fails with L{Refused}.
        """
        if IBearerToken.providedBy(credentials):
            said, token = credentials.username, credentials.token
        else:
            # In SOCKS a token that is short enough travels as a password.
            said, token = credentials.username, credentials.password
        return Deferred.fromCoroutine(self._logIn(said, token))

    async def _logIn(self, said: bytes, token: bytes) -> Proved:
        try:
            header, claims = partsOf(token)
        except ValueError:
            # It may be a password, for another checker.
            why = "the credential is no token that can be read"
            if len(token) > LONGEST:
                why = f"the token is longer than {LONGEST >> 10} KiB"
            elif not isToken(token):
                why = "the credential is no token"
            raise Refused(WRONG, why) from None
        if not self._wanted.isIssued(claims):
            # Before its key is looked for, which another issuer has.
            raise Refused(WRONG, "the token is of another issuer")
        try:
            await self._verify(token, header)
        except BadToken as e:
            refuse(str(e))
        except Unavailable as e:
            e.final = True
            raise
        proved = self._wanted.judge(header, claims, self._wall())
        if said not in NAMELESS and said != proved.name.encode():
            refuse("is another user's than the user name beside it says")
        return proved

    async def _verify(self, token: bytes, header: Mapping[str, Any]) -> None:
        """
        Verify the signature of a token.

        @raise BadToken: the token is refused.
        @raise Unavailable: there are no keys.
        """
        try:
            self._verifier.verify(token, header, await self._keys.current())
        except UnknownKey:
            newer = await self._keys.newer()
            if newer is None:
                raise
            self._verifier.verify(token, header, newer)


# From the configuration.


def jwtChecker(settings: Settings, reactor: Any) -> JWTChecker:
    """Make the checker that a table asks for."""
    settings.only(*JWT)
    algorithms = _algorithmsIn(settings)
    wanted = Wanted(
        _needed(settings, "issuer"),
        frozenset(_audienceIn(settings)),
        settings.duration("leeway", 30.0, _LEEWAY, none=True),
        _pathIn(settings, "name_claim", settings.get("name_claim", "sub")),
        _pathIn(settings, "groups_claim", settings["groups_claim"])
        if "groups_claim" in settings
        else None,
        settings.word("prefix"),
        tuple(_requirementsIn(settings)),
    )
    if isSPIFFE(wanted.issuer) and wrongId(f"{wanted.issuer}/x"):
        settings.wrong(
            "issuer", "must be a trust domain, such as spiffe://corp.example"
        )
    if not wanted.prefix.isprintable() or "\\" in wanted.prefix:
        settings.wrong("prefix", "must not have control characters or backslashes")
    parse = partial(keySetIn, algorithms=algorithms)
    hold = settings.duration("hold", 3600.0, 7 * _DAY)
    if ("keys" in settings) == ("keys_url" in settings):
        settings.wrong(
            "keys", "either keys (a file) or keys_url is needed, one of both"
        )
        raise ValueError("no keys")
    keys: KeySource
    if "keys" in settings:
        for key in ("ca", "timeout", "refresh", "token_file"):
            if key in settings:
                settings.wrong(key, "is of no use without keys_url")
        path = settings.path("keys")
        if path is None:
            settings.wrong("keys", "is missing")
            raise ValueError("no keys")
        try:
            keys = FileKeys(path, parse, hold, reactor.seconds)
        except ValueError as e:
            settings.wrong("keys", str(e))
            raise
    else:
        keys = _published(settings, reactor, parse, hold, algorithms)
    return JWTChecker(keys, Verifier(algorithms), wanted)


def _published(
    settings: Settings,
    reactor: Any,
    parse: Callable[[bytes], Any],
    hold: float,
    algorithms: tuple[str, ...],
) -> URLKeys:
    peers: dict[str, TLSPeer] = {}
    url = urlIn(settings, "keys_url", _RISK, False, trustIn(settings), peers)
    timeout = settings.duration("timeout", 5.0, 60.0)
    refresh = settings.duration("refresh", 300.0, _DAY)
    token = settings.path("token_file")
    if token is not None:
        settings.secret("token_file")
    if hold < refresh:
        settings.wrong("hold", "must not be less than refresh")
    ca = settings.content("ca") if "ca" in settings else b""
    # A reload asks for nothing that is known already.
    return shared(
        ("keys", reactor, url, ca, timeout, refresh, hold, algorithms, token),
        lambda: URLKeys(
            reactor,
            JSONService(reactor, peers, 1, timeout),
            url,
            parse,
            timeout,
            refresh,
            hold,
            token,
        ),
    )


def _needed(settings: Settings, key: str) -> str:
    found = settings.word(key)
    if not found:
        settings.wrong(key, "is missing: tokens are believed of one issuer alone")
    return found


def _audienceIn(settings: Settings) -> tuple[str, ...]:
    said = settings.get("audience", ())
    found = (said,) if type(said) is str else said
    if (
        not isinstance(found, (list, tuple))
        or not found
        or not all(type(each) is str and each for each in found)
    ):
        settings.wrong(
            "audience",
            "must be a string or an array of strings: whom the tokens are for, such as "
            "the gateway's name. Without it a token for any other service would do",
        )
        return ()
    return tuple(found)


def _algorithmsIn(settings: Settings) -> tuple[str, ...]:
    found = settings.words("algorithms", _ALGORITHMS)
    for each in found:
        if each not in ALGORITHMS:
            why = f'"{each}" is none of {", ".join(ALGORITHMS)}'
            if each.lower() == "none" or each.startswith("HS"):
                why += ": whoever knows what verifies it could sign it"
            settings.wrong("algorithms", why)
    if not found:
        settings.wrong("algorithms", "is empty: no token would be good")
    # What is wrong is told; the keys are examined all the same.
    return tuple(each for each in found if each in ALGORITHMS) or _ALGORITHMS


def _pathIn(settings: Settings, key: str, said: Any) -> Path:
    path = (said,) if type(said) is str else said
    if (
        not isinstance(path, (list, tuple))
        or not 1 <= len(path) <= 8
        or not all(type(each) is str and each for each in path)
    ):
        settings.wrong(
            key,
            'must be the name of a claim, such as "sub", or an array of names that '
            'lead into it: ["kubernetes.io", "serviceaccount", "name"]',
        )
        return ("sub",)
    return tuple(path)


def _requirementsIn(settings: Settings) -> Iterator[Requirement]:
    tables = settings.get("require", ())
    if not isinstance(tables, (list, tuple)):
        tables = (None,)
    for i, table in enumerate(tables):
        place = f"require[{i}]"
        if not isinstance(table, Mapping) or set(table) != {"claim", "is"}:
            settings.wrong(
                place, 'must be a table { claim = "repository_owner", is = ["corp"] }'
            )
            continue
        values = table["is"]
        if (
            not isinstance(values, (list, tuple))
            or not values
            or not all(type(each) is str for each in values)
        ):
            settings.wrong(f"{place}.is", "must be an array of strings, not empty")
            continue
        path = _pathIn(settings, f"{place}.claim", table["claim"])
        yield Requirement(path, frozenset(values))
