"""
The groups of an entry of a directory.

They come from searches for the groups that have it as a member, or from what
Active Directory has computed already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final

from socksgw.login.stores.ldaplinks import Link, ResultError, TooMuch
from socksgw.login.stores.ldapnames import either, fill, normalDN, parseFilter
from socksgw.login.stores.remote import Unavailable

__all__ = ["ANYTHING", "GroupNames", "byMembers", "byToken", "lockoutOf"]

ANYTHING: Final = parseFilter("(objectClass=*)")
#: Groups of one user at most, how deep they are nested, and how many are
#: asked about at a time.
_GROUPS: Final = 1000
_DEEP: Final = 32
_AT_ONCE: Final = 16
#: No such object; bad syntax of a name (RFC 4511 section 4.1.9).
_MISSING: Final = frozenset({32, 34})
#: supportedCapabilities of Active Directory ([MS-ADTS] section 3.1.1.3.4.3.1),
#: AD LDS not among them.
_ACTIVE_DIRECTORY: Final = b"1.2.840.113556.1.4.800"
#: groupType: a group that counts for access ([MS-ADTS] section 2.2.12).
_SECURITY: Final = 0x80000000


async def lockoutOf(link: Link) -> int | None:
    """
    Return after how many wrong passwords the domain locks an account.

    @return: 0 for never, or where that may not be read; L{None} where the server is
        no domain controller.
    """
    names = ("supportedCapabilities", "defaultNamingContext")
    try:
        found = await link.search("", False, ANYTHING, names, 1)
    except ResultError:
        return None
    root = found[0].values if found else {}
    if _ACTIVE_DIRECTORY not in root.get("supportedcapabilities", ()):
        return None
    try:
        base = root["defaultnamingcontext"][0].decode()
        found = await link.search(base, False, ANYTHING, ("lockoutThreshold",), 1)
        return int(found[0].values["lockoutthreshold"][0])
    except (IndexError, KeyError, ResultError, ValueError):
        return 0


async def byMembers(
    link: Link, base: str, groupFilter: Any, dn: str, user: str
) -> frozenset[str]:
    """
    Return the groups that have an entry as their member, in normal form.

    So are those that have these as members, and so on.

    @raise Unavailable: there are too many, or they are nested too deep.
    """
    groups: set[str] = set()
    asked = [dn]
    for _ in range(_DEEP):
        found: list[str] = []
        for i in range(0, len(asked), _AT_ONCE):
            node = either(
                [
                    fill(groupFilter, dn=each, user=user)
                    for each in asked[i : i + _AT_ONCE]
                ]
            )
            for entry in await link.search(base, True, node, ("1.1",), _GROUPS):
                group = normalDN(entry.dn)
                if group not in groups:
                    groups.add(group)
                    found.append(entry.dn)
        if not found:
            return frozenset(groups)
        if len(groups) > _GROUPS:
            raise TooMuch(f"a user in more than {_GROUPS} groups")
        asked = found
    raise Unavailable(f"groups nested deeper than {_DEEP}", alone=True)


@final
class GroupNames:
    """
    The groups that the configuration names.

    The directory tells whether it has them, and their security identifiers.

    @ivar missing: those that it does not have, in normal form.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._bySID: dict[bytes, str] = {}
        self.missing: frozenset[str] = frozenset()
        self._asked = False

    def expect(self, name: str) -> str:
        """
        Add a group that the configuration names.

        @return: its normal form.
        @raise ValueError: it is no distinguished name.
        """
        normal = normalDN(name)
        if normal not in self._names:
            self._names[normal] = name
            self._asked = False
        return normal

    async def look(self, link: Link) -> None:
        """
        Look for each of them.
        """
        missing: set[str] = set()
        bySID: dict[bytes, str] = {}
        for normal, name in list(self._names.items()):
            try:
                found = await link.search(
                    name, False, ANYTHING, ("objectSid", "groupType"), 1
                )
            except ResultError as e:
                if e.code not in _MISSING:
                    raise
                found = []
            if not found:
                missing.add(normal)
                continue
            values = found[0].values
            for sid in values.get("objectsid", ()):
                if _isSecurityGroup(values.get("grouptype", ())):
                    bySID[sid] = normal
                else:
                    # No token has it, not even that of a member.
                    missing.add(normal)
        self.missing = frozenset(missing)
        self._bySID = bySID
        self._asked = True

    async def ofToken(self, link: Link, sids: Iterable[bytes]) -> frozenset[str]:
        """
        Return those that have one of these security identifiers.
        """
        if not self._asked:
            await self.look(link)
        bySID = self._bySID
        return frozenset(bySID[sid] for sid in sids if sid in bySID)


def _isSecurityGroup(values: Iterable[bytes]) -> bool:
    """Return whether a groupType, a signed number of 32 bits, says so."""
    try:
        return any(int(value) & _SECURITY for value in values)
    except ValueError:
        return False


async def byToken(link: Link, names: GroupNames, dn: str) -> frozenset[str]:
    """
    Return the groups of an entry of Active Directory.

    Only those that the configuration names, nested ones and the primary one included.

    tokenGroups is computed by the domain controller, and told in a base search
    only ([MS-ADTS] section 3.1.1.4.5.19).

    @raise Unavailable: the service account may not read them.
    """
    found = await link.search(dn, False, ANYTHING, ("tokenGroups",), 1)
    sids = found[0].values.get("tokengroups", ()) if found else ()
    if not sids:
        # Every user is in some: the primary group, for one.
        raise Unavailable(
            "the service account may not read tokenGroups; make it a member of "
            '"Windows Authorization Access Group"'
        )
    return await names.ofToken(link, sids)
