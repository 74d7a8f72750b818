"""
Accounts of Active Directory in what Samba does not have here: a forest of two domains,
values that come in ranges, referrals. The names and codes are those of [MS-ADTS].
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from twisted.cred.credentials import UsernamePassword
from twisted.logger import capturedLogs, eventAsText

from socksgw.interfaces import Settings
from socksgw.login.refusal import Barred, Refused
from socksgw.login.stores.activedirectory import ActiveDirectory
from socksgw.login.stores.ldap import ldapChecker
from socksgw.login.stores.ldaplinks import Entry as Read
from socksgw.login.stores.remote import Unavailable
from tests.login.directories import Directory, Entry, Found, World

CAPABILITY = b"1.2.840.113556.1.4.800"
CONFIGURATION = "CN=Configuration,DC=corp,DC=test"
CORP, LAB = "DC=corp,DC=test", "DC=lab,DC=corp,DC=test"
#: Two alices, and what their domains call them.
ALICES = {CORP: f"CN=Alice,OU=People,{CORP}", LAB: f"CN=Alice,{LAB}"}


def account(dn: str, **more: str | None) -> Entry:
    values: dict[str, str | None] = {
        "sAMAccountName": "alice",
        "userAccountControl": "512",
        "msDS-User-Account-Control-Computed": "0",
        "accountExpires": "9223372036854775807",
        "pwdLastSet": "133000000000000000",
        **more,
    }
    return dn, {key: [value] for key, value in values.items() if value is not None}


def forest(**more: str | None) -> Directory:
    """
    A domain controller of C{corp.test}, with the catalog of C{lab.corp.test}, too.

    @param more: attributes of both alices.
    """

    def search(base: str, text: str) -> Found:
        if base == f"CN=Partitions,{CONFIGURATION}":
            return [
                (f"CN={netbios},{base}",
                 {"nCName": [dn], "dnsRoot": [dns], "nETBIOSName": [netbios]})
                for dn, dns, netbios in (
                    (CORP, "corp.test", "CORP"), (LAB, "lab.corp.test", "LAB"))
            ]  # fmt: skip
        if base in ALICES.values():
            return [(base, {"tokenGroups": [b"\1\1\0\0\0\0\0\1\0\0\0\0"]})]
        if "(userPrincipalName=boss@corp.test)" in text and base in ("", LAB):
            return [account(ALICES[LAB], **more)]
        if re.search(r"\(sAMAccountName=(alice|boss)\)", text) and base in ALICES:
            return [account(ALICES[base], **more)] if "alice" in text else []
        return []

    directory = Directory(search)
    directory.passwords = {ALICES[CORP]: "corp-x", ALICES[LAB]: "lab-x"}
    directory.root = {
        "supportedCapabilities": [CAPABILITY],
        "defaultNamingContext": [CORP],
        "configurationNamingContext": [CONFIGURATION],
    }
    return directory


def world(directory: Directory, base: str = CORP, **table: Any) -> World:
    if not base:
        return World(directory, first=3268, flavor="ad", base=base, **table)
    return World(directory, flavor="ad", base=base, **table)


def logIn(at: World, name: str, password: str) -> Any:
    asking = at.checker.requestAvatarId(
        UsernamePassword(name.encode(), password.encode())
    )
    result = at.result(asking, 1)
    return result.decode() if isinstance(result, bytes) else result


@pytest.mark.parametrize(
    ("said", "password", "name"),
    [
        ("alice", "corp-x", "alice@corp.test"),
        ("CORP\\alice", "corp-x", "alice@corp.test"),
        ("alice@corp.test", "corp-x", "alice@corp.test"),
        ("lab\\alice", "lab-x", "alice@lab.corp.test"),
        ("lab.corp.test\\alice", "lab-x", "alice@lab.corp.test"),
        ("alice@LAB.corp.test", "lab-x", "alice@lab.corp.test"),
        # An explicit name of one domain may have the suffix of another.
        ("boss@corp.test", "lab-x", "alice@lab.corp.test"),
    ],
)
def test_forest(said: str, password: str, name: str) -> None:
    """By a catalog two users of one name are two, and each has several names."""
    at = world(forest(), "")
    assert logIn(at, said, password) == name
    assert at.result(at.checker.canonicalName(said), 1) == name
    assert at.result(at.checker.groupsOf(name), 1) == frozenset()
    # The name is the directory's, to the letter.
    assert at.result(at.checker.groupsOf(name.upper()), 1) is None


def test_domain() -> None:
    """
    By one domain the others' users get no further, whatever they are called; a base
    above a domain does not make it another's.
    """
    at = world(forest(), f"OU=People,{CORP}")
    assert isinstance(logIn(at, "LAB\\alice", "lab-x"), Refused)
    at = world(forest(), LAB)
    # Bare names are those of the domain that base is in.
    assert logIn(at, "alice", "lab-x") == "alice"
    assert logIn(at, "boss@corp.test", "lab-x") == "alice"
    assert isinstance(logIn(at, "CORP\\alice", "corp-x"), Refused)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"userAccountControl": "514"}, "account-disabled"),
        ({"userAccountControl": "4096"}, "machine-account"),
        ({"userAccountControl": "2080"}, "machine-account"),
        ({"accountExpires": "116444736000000000"}, "account-expired"),
        ({"msDS-User-Account-Control-Computed": "16"}, "account-locked"),
        ({"msDS-User-Account-Control-Computed": "8388608"}, "password-expired"),
        (
            {"msDS-User-Account-Control-Computed": "8388608", "pwdLastSet": "0"},
            "password-must-change",
        ),
        # A catalog has no computed ones of another domain.
        (
            {"msDS-User-Account-Control-Computed": None, "pwdLastSet": "0"},
            "password-must-change",
        ),
    ],
)
def test_states(more: dict[str, str], reason: str) -> None:
    """
    The state of an account counts whatever the bind said: for passwords, for users of
    Kerberos, and for users who have sessions.
    """
    at = world(forest(**more))
    for asking in (
        at.checker.requestAvatarId(UsernamePassword(b"alice", b"corp-x")),
        at.checker.canonicalName("alice"),
        at.checker.groupsOf("alice"),
    ):
        refused = at.result(asking, 1)
        assert isinstance(refused, Barred)
        assert (refused.reason, refused.counts) == (reason, True)


@pytest.mark.parametrize(
    "more",
    [
        {"accountExpires": "0"},
        {"accountExpires": None},
        {"pwdLastSet": "0", "userAccountControl": "66048"},
        {
            "pwdLastSet": "0",
            "userAccountControl": "66048",
            "msDS-User-Account-Control-Computed": None,
        },
    ],
)
def test_fine(more: dict[str, str | None]) -> None:
    """Accounts that never expire, and passwords that need not be changed, are fine."""
    assert logIn(world(forest(**more)), "alice", "corp-x") == "alice"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("userAccountControl", None),
        ("userAccountControl", ""),
        ("userAccountControl", "many"),
        ("logonHours", "always"),
    ],
)
def test_unreadable(name: str, value: str | None) -> None:
    """A state that cannot be told is none that lets in; that is no try that failed."""
    refused = logIn(world(forest(**{name: value})), "alice", "corp-x")
    assert isinstance(refused, Unavailable)
    assert name.lower() in refused.why.lower()


@pytest.mark.parametrize(
    ("octet", "bit", "when"),
    [
        # The first bit is Sunday's first hour, in UTC.
        (0, 0, datetime(2026, 11, 29, 0, 0, tzinfo=UTC)),
        (0, 0, datetime(2026, 11, 29, 0, 59, 59, tzinfo=UTC)),
        (0, 7, datetime(2026, 11, 29, 7, tzinfo=UTC)),
        (1, 0, datetime(2026, 11, 29, 8, tzinfo=UTC)),
        (3, 0, datetime(2026, 11, 30, 0, tzinfo=UTC)),
        (20, 7, datetime(2026, 12, 5, 23, tzinfo=UTC)),
        (12, 0, datetime(1970, 1, 1, 0, tzinfo=UTC)),
    ],
)
def test_hours(octet: int, bit: int, when: datetime) -> None:
    """An account of one hour of the week may log on in that hour, and in no other."""
    hour = bytearray(21)
    hour[octet] = 1 << bit
    accounts = ActiveDirectory(CORP, wall=when.timestamp)
    for hours, reason in [
        (bytes(hour), None),
        (bytes(255 - each for each in hour), "logon-hours"),
    ]:
        values = {
            "samaccountname": [b"alice"],
            "useraccountcontrol": [b"512"],
            "logonhours": [hours],
        }
        barred = accounts.barred(Read(ALICES[CORP], values))
        assert (barred and barred.reason) == reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, "
         "data 531, v1db1", "logon-workstation"),
        ("80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, "
         "data 532, v2580\0", "password-expired"),
        ("data 52e, v1db1", "wrong-credentials"),
        ("data 5333, v1db1", "wrong-credentials"),
        ("x" * 600 + "data 533, v1db1", "wrong-credentials"),
        ("\xff data", "wrong-credentials"),
        ("", "wrong-credentials"),
    ],
)  # fmt: skip
def test_codes(message: str, reason: str) -> None:
    """The diagnostic message of a refused bind tells the reason, and nothing else."""
    directory = forest()
    directory.messages[ALICES[CORP]] = message
    refused = logIn(world(directory), "alice", "wrong")
    assert (refused.reason, refused.counts) == (reason, True)
    assert "data" not in refused.why


def test_ranges() -> None:
    """
    Values that come in ranges are all read; of a user in many groups none is left out.
    A server that does not come to an end is given up.
    """
    sids = [b"\1\1\0\0\0\0\0\5" + n.to_bytes(4, "little") for n in range(3200)]
    group = f"CN=Last,{CORP}"
    directory = forest()
    plain = directory.search
    endless = False

    def search(base: str, text: str) -> Found:
        if base == group:
            return [(base, {"objectSid": [sids[-1]], "groupType": ["-2147483646"]})]
        if base == ALICES[CORP]:
            start = int((re.findall(r"range=(\d+)", directory.attributes) or ["0"])[0])
            part = sids[start : start + 1500] if not endless else sids[:1]
            end = "*" if start + 1500 >= len(sids) and not endless else start + 1499
            return [(base, {f"tokenGroups;range={start}-{end}": list(part)})]
        return plain(base, text)

    directory.search = search
    at = world(directory)
    normal = at.checker.normal(group)
    assert at.result(at.checker.groupsOf("alice"), 1) == {normal}
    endless = True
    failure = at.result(at.checker.groupsOf("alice"), 1)
    assert isinstance(failure, Unavailable)
    assert "ranges" in failure.why


def test_referral() -> None:
    """A directory that refers to another is not followed, and the remedy is told."""
    directory = forest()
    plain = directory.search
    directory.search = lambda base, text: 10 if "alice" in text else plain(base, text)
    failure = logIn(world(directory), "alice", "corp-x")
    assert isinstance(failure, Unavailable)
    assert "refers to another server" in failure.why
    assert not directory.bound


@pytest.mark.parametrize(
    ("root", "base", "why"),
    [
        ({}, CORP, "it is no domain controller"),
        (None, "DC=other,DC=test", "does not tell of a domain with base"),
    ],
)
def test_notServed(root: Any, base: str, why: str) -> None:
    """A server that is none of Active Directory, or of another domain, lets nobody in."""
    directory = forest()
    if root is not None:
        directory.root = root
    at = world(directory, base)
    with capturedLogs() as events:
        assert isinstance(logIn(at, "alice", "corp-x"), Unavailable)
    assert why in "\n".join(eventAsText(each) for each in events)
    assert not directory.bound


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"flavor": "AD"}, "flavor"),
        ({"user_dn": "cn={user},dc=corp"}, "user_dn"),
        ({"user_name": "cn"}, "user_name"),
        ({"user_filter": "(sAMAccountName={user})"}, "user_filter"),
        ({"user_filter": "(("}, "user_filter"),
        ({"base": ""}, "url[0]"),
        ({"base": "corp"}, "base"),
        ({"flavor": "", "machine_accounts": True}, "machine_accounts"),
    ],
)
def test_wrong(table: dict[str, Any], key: str) -> None:
    """What the flavor does by itself, or cannot do, is an error of that key."""
    found: list[tuple[str, str]] = []
    settings = Settings(
        {"url": ["ldaps://dc1.corp.test"], "base": CORP, "flavor": "ad", **table},
        name="ad",
        wrong=lambda key, text: found.append((key, text)),
    )
    ldapChecker(settings, None)
    assert key in {each for each, _ in found}
