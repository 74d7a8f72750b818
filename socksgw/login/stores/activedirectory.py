"""
The accounts of Active Directory.

One user has several names to log in with ([MS-ADTS] section 5.1.1.1.1), and an account
has a state of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

from attrs import frozen
from ldaptor.protocols import pureldap

from socksgw.login.refusal import Barred, Refused
from socksgw.login.stores.ldapaccounts import STATES, Search
from socksgw.login.stores.ldaplinks import Entry, Link, NotServed, ResultError
from socksgw.login.stores.ldapnames import (
    ANYTHING,
    either,
    equal,
    normalDN,
    parseFilter,
)
from socksgw.login.stores.remote import Unavailable, nameOf

__all__ = ["REASONS", "ActiveDirectory", "rootOf"]

#: supportedCapabilities of Active Directory ([MS-ADTS] section 3.1.1.3.4.3.1),
#: AD LDS not among them.
_CAPABILITY: Final = b"1.2.840.113556.1.4.800"
#: The domains of a forest ([MS-ADTS] section 6.1.1.2.1.1).
_DOMAINS: Final = parseFilter("(&(objectClass=crossRef)(nETBIOSName=*))")
#: Domains of a forest at most.
_MOST: Final = 500
#: sAMAccountType of users, and of machines; trusts have another ([MS-SAMR] section
#: 2.2.1.9).
_KINDS: Final = either(
    [equal("sAMAccountType", "805306368"), equal("sAMAccountType", "805306369")]
)
#: userAccountControl ([MS-ADTS] section 2.2.16): disabled; of trusts, workstations and
#: servers; the password does not expire; a smart card is needed.
_DISABLED: Final = 0x2
_MACHINE: Final = 0x800 | 0x1000 | 0x2000
_LASTING: Final = 0x10000 | 0x40000
#: msDS-User-Account-Control-Computed ([MS-ADTS] section 3.1.1.4.5.17).
_COMPUTED: Final = "msds-user-account-control-computed"
_LOCKED: Final = 0x10
_EXPIRED: Final = 0x800000
#: accountExpires of accounts that do not ([MS-ADA1] section 2.3), and 1970 in its
#: units of 100 ns since 1601.
_NEVER: Final = frozenset({0, 0x7FFFFFFFFFFFFFFF})
_EPOCH: Final = 116444736000000000
#: logonHours: a bit for each hour of a week in UTC, from Sunday on, the lowest of an
#: octet first ([MS-SAMR] section 2.2.6.5); 1970 began on a Thursday.
_WEEK: Final = 7 * 24
_THURSDAY: Final = 4 * 24
#: The code in the diagnostic message of a refused bind: an error of Windows
#: ([MS-ERREF] section 2.2).
_DATA: Final = re.compile(r"\bdata ([0-9a-f]{3}),")
_BY_CODE: Final[Mapping[str, str]] = {
    "530": "logon-hours",
    "531": "logon-workstation",
    "532": "password-expired",
    "533": "account-disabled",
    "701": "account-expired",
    "773": "password-must-change",
    "775": "account-locked",
}
#: Why an account may not log in: words of the journal, and what is said of each.
REASONS: Final[Mapping[str, str]] = {
    **STATES,
    "logon-hours": "the account may not log on at this hour",
    "logon-workstation": "the account may log on at certain workstations only "
    "(userWorkstations)",
    "account-disabled": "the account is disabled",
    "account-expired": "the account has expired",
    "machine-account": "it is a machine's account; machine_accounts = true lets them in",
}


async def rootOf(link: Link) -> dict[str, list[bytes]] | None:
    """
    Return the root entry of a domain controller.

    @return: L{None} where the server is none.
    """
    names = (
        "supportedCapabilities",
        "defaultNamingContext",
        "configurationNamingContext",
    )
    try:
        found = await link.search("", False, ANYTHING, names, 1)
    except ResultError:
        return None
    root = found[0].values if found else {}
    return root if _CAPABILITY in root.get("supportedcapabilities", ()) else None


@frozen
class _Domain:
    """
    A domain.

    @ivar base: its distinguished name; C{normal}: in normal form.
    @ivar dns: its DNS name, in lower case.
    @ivar netbios: its NetBIOS name, in lower case.
    """

    base: str
    normal: str
    dns: str
    netbios: str


@final
class ActiveDirectory:
    """
    The accounts of one domain, or of a forest by its global catalog.

    The one name of an account of a domain is its sAMAccountName, as the directory
    spells it; that of an account of a forest is C{sAMAccountName@domain}.
    """

    attributes = (
        "sAMAccountName",
        "userAccountControl",
        "msDS-User-Account-Control-Computed",
        "accountExpires",
        "pwdLastSet",
        "logonHours",
    )

    def __init__(
        self,
        base: str,
        condition: Any = None,
        machines: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Know no domain yet.

        @param base: below which accounts are looked for; empty for a forest.
        @param condition: a filter that accounts have to match, too.
        @param machines: whether accounts of machines may log in.
        @param wall: returns seconds since the epoch.
        """
        self._base = base
        self._normal = normalDN(base) if base else ""
        self._condition = condition
        self._machines = machines
        self._wall = wall
        self._home = _Domain(base, self._normal, "", "")
        self._domains: Sequence[_Domain] = ()

    async def learn(self, link: Link) -> None:
        """
        Ask for the names of the domains.

        @raise NotServed: the server is no domain controller, or has no such domain.
        """
        root = await rootOf(link)
        if root is None:
            raise NotServed('it is no domain controller; leave out flavor = "ad"')
        try:
            home = normalDN(root["defaultnamingcontext"][0].decode())
            base = f"CN=Partitions,{root['configurationnamingcontext'][0].decode()}"
            names = ("nCName", "dnsRoot", "nETBIOSName")
            found = await link.search(base, True, _DOMAINS, names, _MOST)
            domains = [_domainOf(entry) for entry in found]
        except (IndexError, KeyError, ResultError, ValueError):
            domains = []
        if self._base:
            # The one that base is in, and not one above it.
            domains = [d for d in domains if _isIn(self._normal, d)]
            domains = sorted(domains, key=lambda d: len(d.normal))[-1:]
            if not domains:
                raise NotServed(
                    f'it does not tell of a domain with base = "{self._base}" in it'
                )
            home = domains[0].normal
        self._domains = domains
        here = [d for d in domains if d.normal == home]
        if not here:
            raise NotServed(
                "the service account may not read the names of the domains "
                "(CN=Partitions in the configuration)"
            )
        self._home = here[0]

    # Finding.

    def asSaid(self, name: str) -> list[Search]:
        r"""
        Return the searches for a name that a client says.

        That is C{DOMAIN\user}, a user principal name, or a user of the home domain.
        An explicit user principal name comes before an implicit one, as in a logon to
        Windows.
        """
        domain, separator, user = name.partition("\\")
        if separator:
            return self._inDomain(domain, user)
        user, separator, domain = name.rpartition("@")
        if not separator:
            return self._byAccount(self._home, name)
        explicit = self._node("userPrincipalName", name)
        return [(self._base, explicit), *self._inDNS(domain, user)]

    def asNamed(self, name: str) -> list[Search]:
        """Return the search for an account's one name."""
        if self._base:
            return self._byAccount(self._home, name)
        user, _, domain = name.rpartition("@")
        return self._inDNS(domain, user)

    def _inDomain(self, domain: str, user: str) -> list[Search]:
        said = domain.lower()
        found = [d for d in self._domains if said in (d.netbios, d.dns)]
        return self._byAccount(found[0], user) if found else []

    def _inDNS(self, domain: str, user: str) -> list[Search]:
        said = domain.lower()
        found = [d for d in self._domains if said == d.dns]
        return self._byAccount(found[0], user) if found else []

    def _byAccount(self, domain: _Domain, user: str) -> list[Search]:
        if not user:
            return []
        return [(self._base or domain.base, self._node("sAMAccountName", user))]

    def _node(self, attribute: str, value: str) -> Any:
        nodes = [equal(attribute, value), _KINDS]
        if self._condition is not None:
            nodes.append(self._condition)
        return pureldap.LDAPFilter_and(nodes)

    # What is found.

    def nameIn(self, entry: Entry) -> str:
        """
        Return the account's one name.

        @raise Refused: it cannot be told.
        """
        values = entry.values.get("samaccountname", ())
        if len(values) != 1:
            raise _unreadable("sAMAccountName")
        name = nameOf(values[0])
        if self._base:
            return name
        normal = normalDN(entry.dn)
        inside = [d for d in self._domains if _isIn(normal, d)]
        if not inside:
            raise Unavailable(f"an account in no known domain: {entry.dn}", alone=True)
        return f"{name}@{max(inside, key=lambda d: len(d.normal)).dns}"

    def barred(self, entry: Entry) -> Refused | None:
        """
        Return why the account may not log in now, if so.

        @raise Refused: the state cannot be told.
        """
        reason = self._state(entry.values)
        return _barred(reason) if reason else None

    def _state(self, values: Mapping[str, list[bytes]]) -> str:
        control = _number(values, "useraccountcontrol")
        if control is None:
            raise _unreadable("userAccountControl")
        machine = values["samaccountname"][0].endswith(b"$") or control & _MACHINE
        if machine and not self._machines:
            return "machine-account"
        if control & _DISABLED:
            return "account-disabled"
        expires = _number(values, "accountexpires") or 0
        if expires not in _NEVER and self._wall() * 1e7 + _EPOCH >= expires:
            return "account-expired"
        computed = _number(values, _COMPUTED)
        if (computed or 0) & _LOCKED:
            return "account-locked"
        if not _isLogonHour(values, self._wall()):
            return "logon-hours"
        set_ = _number(values, "pwdlastset")
        if computed is None:
            # In a catalog, of another domain's account.
            old = set_ == 0 and not control & (_LASTING | _MACHINE)
        else:
            old = bool(computed & _EXPIRED)
        if old:
            return "password-expired" if set_ else "password-must-change"
        return ""

    def refused(self, error: ResultError) -> Refused | None:
        """Return what the code in the diagnostic message of a refused bind says."""
        found = _DATA.search(error.message) if error.code == 49 else None
        reason = _BY_CODE.get(found[1], "") if found else ""
        return _barred(reason) if reason else None


def _domainOf(entry: Entry) -> _Domain:
    """
    Read a crossRef.

    @raise KeyError: it is not all there.
    @raise ValueError: its name is none.
    """
    base, dns, netbios = (
        entry.values[name][0].decode() for name in ("ncname", "dnsroot", "netbiosname")
    )
    return _Domain(base, normalDN(base), dns.lower(), netbios.lower())


def _isIn(normal: str, domain: _Domain) -> bool:
    return normal == domain.normal or normal.endswith(f",{domain.normal}")


def _isLogonHour(values: Mapping[str, list[bytes]], now: float) -> bool:
    """
    Return whether an account may log on at this hour.

    @param now: seconds since the epoch.
    @raise Unavailable: its hours are none.
    """
    found = values.get("logonhours", ())
    if not found:
        return True
    if len(found[0]) * 8 != _WEEK:
        raise Unavailable("an account whose logonHours is no week", alone=True)
    octet, bit = divmod((int(now // 3600) + _THURSDAY) % _WEEK, 8)
    return bool(found[0][octet] >> bit & 1)


def _barred(reason: str) -> Barred:
    return Barred(reason, REASONS[reason])


def _unreadable(attribute: str) -> Unavailable:
    return Unavailable(
        f"the service account may not read {attribute} of an account", alone=True
    )


def _number(values: Mapping[str, list[bytes]], name: str) -> int | None:
    """
    Return the value of an attribute that is a number.

    @return: L{None} where there is none.
    @raise Unavailable: it is something else.
    """
    found = values.get(name, ())
    try:
        return int(found[0]) if found else None
    except ValueError:
        raise Unavailable(f"an account whose {name} is no number", alone=True) from None
