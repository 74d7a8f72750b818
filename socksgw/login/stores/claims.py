"""
The claims of a token (RFC 7519 section 4), judged after its signature.

Who the bearer is, and in which groups, is said by claims that the configuration
names. A token says for whom and until when it is good; one that does not is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final, NoReturn

from attrs import frozen

from socksgw.login.identities import Proved
from socksgw.login.refusal import Refused
from socksgw.system.spiffe import isSPIFFE, wrongId

__all__ = ["LONGEST_NAME", "Path", "Requirement", "Wanted", "refuse"]

#: Characters of a name, with the prefix: SPIFFE IDs have up to 2,048 octets.
LONGEST_NAME: Final = 2048
#: Groups in a token at most, and characters of each.
_GROUPS: Final = 256
_LONGEST_GROUP: Final = 1024
#: Values of C{aud} at most.
_AUDIENCES: Final = 64
#: Media types of a token (RFC 7519 section 5.1, RFC 9068 section 2.1; JWT-SVIDs may say
#: C{JOSE}). Others are tokens for something else (RFC 8725 section 3.11).
_TYPES: Final = frozenset({"jwt", "jose", "at+jwt"})

#: Where a claim is: its name, then names within objects.
Path = tuple[str, ...]


def refuse(why: str) -> NoReturn:
    """
    Refuse a token.

    @param why: for the operator; holds no part of the token.
    @raise Refused: always.
    """
    raise Refused("bad-token", f"the token {why}", counts=True, final=True)


@frozen
class Requirement:
    """
    A claim that has to have one of some values.

    @ivar path: where it is.
    @ivar values: the values; of a claim with several, one has to be among them.
    """

    path: Path
    values: frozenset[str]


@frozen
class Wanted:
    """
    What a token has to say.

    @ivar issuer: C{iss}; or C{spiffe://DOMAIN}, where C{sub} has to be of that trust
        domain, and C{iss} may be anything: tokens of SPIFFE need none.
    @ivar audience: of C{aud}, one of these.
    @ivar leeway: seconds that the issuer's clock may be before or behind.
    @ivar name: where the name is.
    @ivar groups: where the groups are; L{None} for nowhere.
    @ivar prefix: put before the name and each group.
    @ivar required: what else it has to say.
    """

    issuer: str
    audience: frozenset[str]
    leeway: float
    name: Path = ("sub",)
    groups: Path | None = None
    prefix: str = ""
    required: Sequence[Requirement] = ()

    def judge(
        self, header: Mapping[str, Any], claims: Mapping[str, Any], now: float
    ) -> Proved:
        """
        Say who the bearer of a token is.

        @param now: seconds since the epoch.
        @raise Refused: the token is not good here and now.
        """
        _checkType(header)
        if not self.isIssued(claims):
            refuse("is of another issuer")
        self._checkAudience(claims.get("aud"))
        expires = self._checkTimes(claims, now)
        for each in self.required:
            if each.values.isdisjoint(_texts(_at(claims, each.path))):
                refuse(f"lacks what `require` asks of {_shown(each.path)}")
        name = self._name(_at(claims, self.name))
        return Proved(name, expires, groups=self._groupsIn(claims))

    def isIssued(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether a token says that it is of this issuer."""
        if not isSPIFFE(self.issuer):
            return bool(claims.get("iss") == self.issuer)
        said = claims.get("sub")
        return type(said) is str and said.startswith(f"{self.issuer}/")

    def _checkAudience(self, said: Any) -> None:
        # One string, or an array of them (RFC 7519 section 4.1.3).
        audiences = [said] if type(said) is str else said
        if type(audiences) is not list or len(audiences) > _AUDIENCES:
            refuse("has no usable aud")
        if self.audience.isdisjoint(each for each in audiences if type(each) is str):
            refuse("is for another audience")

    def _checkTimes(self, claims: Mapping[str, Any], now: float) -> float:
        """Return when the token is over, the leeway included."""
        expires = _moment(claims, "exp")
        if expires is None:
            refuse("has no exp")
        expires += self.leeway
        if now >= expires:
            refuse("has expired")
        for key in ("nbf", "iat"):
            begins = _moment(claims, key)
            if begins is not None and begins - self.leeway > now:
                refuse(f"is not valid yet: its {key} is in the future")
            if begins is not None and begins > expires:
                refuse(f"ends before its {key}")
        return expires

    def _name(self, said: Any) -> str:
        where = _shown(self.name)
        if type(said) is not str:
            refuse(f"has no string at {where}, which name_claim names")
        name = self.prefix + said
        # A backslash is an escape in other names; what cannot be printed would
        # make two names look the same.
        if isSPIFFE(said) and (wrong := wrongId(said)):
            # JWT-SVID section 3.1.
            refuse(f"is no workload's: {wrong}")
        if (
            not said
            or said != said.strip()
            or not name.isprintable()
            or "\\" in name
            or len(name) > LONGEST_NAME
        ):
            refuse(f"has a name at {where} that nobody can have here")
        return name

    def _groupsIn(self, claims: Mapping[str, Any]) -> frozenset[str]:
        if self.groups is None:
            return frozenset()
        said = _at(claims, self.groups)
        found = _texts(said)
        if said is not None and (
            (type(said) is not str and type(said) is not list)
            or len(found) > _GROUPS
            or (type(said) is list and len(found) < len(said))
            or any(len(each) > _LONGEST_GROUP for each in found)
        ):
            # A deny by group must not be escaped by groups that cannot be read.
            refuse(f"has no groups that can be read at {_shown(self.groups)}")
        return frozenset(self.prefix + each for each in found)


def _checkType(header: Mapping[str, Any]) -> None:
    said = header.get("typ")
    if said is None:
        return
    # Case means nothing, and "application/" may be left out (RFC 7515 section
    # 4.1.9).
    if type(said) is not str or (
        said.lower().removeprefix("application/") not in _TYPES
    ):
        refuse("has a typ that is not that of a token for login")


def _moment(claims: Mapping[str, Any], key: str) -> float | None:
    """
    Return a NumericDate (RFC 7519 section 2); L{None} where there is none.

    @raise Refused: it is something else.
    """
    if key not in claims:
        return None
    said = claims[key]
    try:
        # A boolean is an integer to Python.
        moment = float(said) if type(said) in (int, float) else float("nan")
    except OverflowError:
        moment = float("nan")
    if not isfinite(moment):
        refuse(f"has an {key} that is no time")
    return moment


def _at(claims: Mapping[str, Any], path: Path) -> Any:
    """Return what is at a path; L{None} for nothing."""
    found: Any = claims
    for key in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def _texts(said: Any) -> list[str]:
    """Return the strings among a claim's value or values."""
    values = said if type(said) is list else [said]
    return [each for each in values if type(each) is str]


def _shown(path: Path) -> str:
    """Return a path as the configuration has it."""
    return path[0] if len(path) == 1 else " → ".join(path)
