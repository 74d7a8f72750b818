"""
The groups of an entry of a directory.

They come from searches for the groups that have it as a member, or from what
Active Directory has computed already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final

from socksgw.login.stores.activedirectory import rootOf
from socksgw.login.stores.ldaplinks import Link, ResultError, TooMuch
from socksgw.login.stores.ldapnames import ANYTHING, either, fill, normalDN
from socksgw.login.stores.remote import Unavailable
from socksgw.login.stores.sids import isSID, normalSID

__all__ = ["GroupNames", "byMembers", "byToken", "lockoutOf"]

#: Groups of one user at most, how deep they are nested, and how many are
#: asked about at a time.
_GROUPS: Final = 1000
_DEEP: Final = 32
_AT_ONCE: Final = 16
#: No such object; bad syntax of a name (RFC 4511 section 4.1.9).
_MISSING: Final = frozenset({32, 34})
#: groupType: a group that counts for access ([MS-ADTS] section 2.2.12).
_SECURITY: Final = 0x80000000


async def lockoutOf(link: Link) -> int | None:
    """
    Return after how many wrong passwords the domain locks an account.

    @return: 0 for never, or where that may not be read; L{None} where the server is
        no domain controller.
    """
    root = await rootOf(link)
    if root is None:
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
        self._bySID: dict[bytes, set[str]] = {}
        self.missing: frozenset[str] = frozenset()
        self._asked = False

    def expect(self, name: str) -> str:
        """
        Add a group that the configuration names.

        @param name: a distinguished name, or a security identifier.
        @return: its normal form.
        @raise ValueError: it is neither.
        """
        normal = normalSID(name) if isSID(name) else normalDN(name)
        if normal not in self._names:
            self._names[normal] = name
            self._asked = False
        return normal

    async def look(self, link: Link) -> None:
        """
        Look for each of them.
        """
        missing: set[str] = set()
        bySID: dict[bytes, set[str]] = {}
        for normal, name in list(self._names.items()):
            if isSID(normal):
                # A name of an entry that survives its renaming ([MS-ADTS] section
                # 3.1.1.3.1.2.4).
                name = f"<SID={normal}>"
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
                    # The configuration may have it by both names.
                    bySID.setdefault(sid, set()).add(normal)
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
        return frozenset().union(*(bySID[sid] for sid in sids if sid in bySID))


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
