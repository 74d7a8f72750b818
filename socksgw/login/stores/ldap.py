"""
The C{ldap} checker, from its table of the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from socksgw.interfaces import Settings
from socksgw.login.stores.activedirectory import ActiveDirectory
from socksgw.login.stores.keys import LDAP
from socksgw.login.stores.ldapaccounts import Accounts, PlainAccounts
from socksgw.login.stores.ldapdomain import Domain
from socksgw.login.stores.ldaplayer import LAYERS
from socksgw.login.stores.ldaplinks import Link
from socksgw.login.stores.ldapnames import attributeOf, normalDN, parseFilter
from socksgw.login.stores.ldapservers import Naming, Server, serversOf, unsecured
from socksgw.login.stores.ldapusers import Directory, LDAPChecker
from socksgw.login.stores.remote import trustIn
from socksgw.system.files import FileError

__all__ = ["LDAPChecker", "ldapChecker"]

#: Names of domains, and of sites, as DNS has them.
_DOMAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})+")
_SITE: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
_USER_FILTER: Final = "(&(objectClass=person)(uid={user}))"
#: Ports of a global catalog ([MS-ADTS] section 3.1.1.3.1).
_CATALOG: Final = frozenset({3268, 3269})
_GROUP_FILTER: Final = "(|(member={dn})(uniqueMember={dn}))"


def ldapChecker(settings: Settings, reactor: Any) -> LDAPChecker:
    """
    Make the checker that a table asks for.

    @raise ValueError: a key of the table is wrong.
    """
    settings.only(*LDAP)
    urls = settings.words("url")
    domain = _domainIn(settings)
    if not urls and not settings.get("url") and not domain:
        settings.wrong("url", 'must name a server, such as ["ldaps://dc1.example"]')
    password = settings.secret("bind_password_file")
    dn = settings.word("bind_dn")
    if bool(dn) != ("bind_password_file" in settings):
        settings.wrong("bind_dn", "needs bind_password_file, and is needed by it")
    timeout = settings.duration("timeout", 5.0, 60.0)
    connections = settings.number("connections", 8, 1, 64)
    starts, cleartext = settings.flag("start_tls"), settings.flag("cleartext")
    servers: list[Server] = []
    trust = trustIn(settings)
    for i, url in enumerate(urls):
        try:
            servers += serversOf([url], starts, trust, cleartext)
        except ValueError as e:
            settings.wrong(f"url[{i}]", str(e))
    become = _keytabIn(settings, reactor)
    protection = settings.word("bind_protection", "tls")
    ways: Sequence[Server] | Naming = servers
    service: Sequence[Server] | Naming | None = None
    if domain:

        def made(host: str, port: int) -> Server:
            url = f"ldap://{host}:{port}" if starts else f"ldaps://{host}"
            return serversOf([url], starts, trust, cleartext)[0]

        def plain(host: str, port: int) -> Server:
            return unsecured(made(host, port))

        site = settings.word("site")
        ways = Domain(reactor, domain, site, made)
        if protection != "tls":
            service = Domain(reactor, domain, site, plain)
    elif protection != "tls":
        service = [unsecured(each) for each in servers]
    if password:
        become = partial(Link.bind, dn=dn, password=password)
    return LDAPChecker(
        settings.name,
        reactor,
        ways,
        _directory(settings, servers),
        become,
        timeout,
        connections,
        settings.kept("bind_password_file", "bind_keytab"),
        service,
    )


def _domainIn(settings: Settings) -> str:
    """Return the domain whose DNS names the servers; empty where C{url} does."""
    domain, site = settings.word("domain"), settings.word("site")
    if not domain:
        if site:
            settings.wrong("site", "needs domain")
        return ""
    if settings.get("url"):
        settings.wrong("domain", "is instead of url; choose one")
    if settings.get("base") == "":
        settings.wrong(
            "domain", 'is one domain; with base = "" name global catalogs in url'
        )
    if not _DOMAIN.fullmatch(domain):
        settings.wrong("domain", 'must be a DNS name such as "corp.example"')
    if site and not _SITE.fullmatch(site):
        settings.wrong("site", "must be the name of a site: letters, digits, hyphens")
    return domain


def _keytabIn(
    settings: Settings, reactor: Any
) -> Callable[[Link], Awaitable[None]] | None:
    keytab = settings.path("bind_keytab")
    principal = settings.word("bind_principal")
    if keytab is None:
        for key in ("bind_principal", "bind_protection"):
            if settings.get(key):
                settings.wrong(key, "needs bind_keytab")
        return None
    protection = settings.word("bind_protection", "tls")
    if protection not in ("tls", *LAYERS):
        known = ", ".join(f'"{each}"' for each in ("tls", *LAYERS))
        settings.wrong("bind_protection", f'"{protection}" is none of {known}')
        return None
    if not settings.content("bind_keytab", secret=True):
        return None
    if "bind_dn" in settings:
        settings.wrong("bind_keytab", "is another account than bind_dn; choose one")
    try:
        from socksgw.login.stores.ldapkerberos import KeytabAccount
    except ImportError:
        settings.wrong(
            "bind_keytab",
            'needs gssapi; install it with: pip install "socksgw[gssapi]"',
        )
        return None
    try:
        layer = "" if protection == "tls" else protection
        return KeytabAccount(reactor, keytab, principal, layer).bind
    except (OSError, FileError) as e:
        settings.wrong("bind_keytab", str(e))
        return None


def _directory(settings: Settings, servers: Sequence[Server]) -> Directory:
    flavor = settings.word("flavor")
    if flavor not in ("", "ad"):
        settings.wrong("flavor", f'"{flavor}" is none; there is: "ad"')
    if flavor == "ad":
        return _activeDirectory(settings, servers)
    if settings.flag("machine_accounts"):
        settings.wrong("machine_accounts", 'needs flavor = "ad"')
    base = _base(settings)
    userDN = settings.word("user_dn")
    userFilter = _filter(settings, "user_filter", _USER_FILTER, "{user}")
    if userDN:
        attribute = _attributeIn(settings, userDN)
        if "user_filter" in settings:
            settings.wrong("user_filter", "says the same as user_dn; choose one")
        userFilter = None
    else:
        attribute = attributeOf(userFilter, "{user}") or ""
    name = settings.word("user_name", attribute)
    if not name and (
        userDN or "{user}" in str(settings.get("user_filter", _USER_FILTER))
    ):
        settings.wrong("user_name", "must name the attribute with a user's name")
    return _grouped(settings, base, PlainAccounts(base, userFilter, name), userDN)


def _base(settings: Settings) -> str:
    base = settings.word("base")
    try:
        normalDN(base)
    except ValueError as e:
        settings.wrong("base", f"{e}; where are the users?")
        return ""
    return base


def _activeDirectory(settings: Settings, servers: Sequence[Server]) -> Directory:
    for key in ("user_dn", "user_name"):
        if key in settings:
            settings.wrong(
                key,
                'flavor = "ad" finds users, and their names, by itself; leave it out',
            )
    machines = settings.flag("machine_accounts")
    if settings.get("base") != "":
        base = _base(settings)
    else:
        base = ""
        for i, server in enumerate(servers):
            if server.port not in _CATALOG:
                settings.wrong(
                    f"url[{i}]",
                    'base = "" asks the global catalog: use ldaps://host:3269, or '
                    "ldap://host:3268 with start_tls = true",
                )
    condition = None
    if "user_filter" in settings:
        text = settings.word("user_filter")
        if "{user}" in text:
            settings.wrong(
                "user_filter",
                'flavor = "ad" finds users by their names; say only what else has to '
                "hold, without {user}",
            )
        condition = _parsed(settings, "user_filter", text)
    accounts = ActiveDirectory(base, condition, machines)
    return _grouped(settings, base, accounts, "")


def _grouped(
    settings: Settings, base: str, accounts: Accounts, userDN: str
) -> Directory:
    return Directory(
        base,
        accounts,
        userDN,
        settings.word("group_base", base),
        _filter(settings, "group_filter", _GROUP_FILTER, "{dn}", "{user}"),
        "group_filter" in settings,
    )


def _attributeIn(settings: Settings, template: str) -> str:
    """Return the attribute of a distinguished name that is C{{user}}."""
    first = template.split(",")[0]
    kind, _, value = first.partition("=")
    try:
        normalDN(template)
    except ValueError as e:
        settings.wrong("user_dn", str(e))
    if value.strip() != "{user}":
        settings.wrong("user_dn", 'must begin with one such as "uid={user},"')
    return kind.strip()


def _parsed(settings: Settings, key: str, text: str) -> Any:
    """Return a filter; L{None} where the text is none, which is reported."""
    try:
        return parseFilter(text)
    except ValueError as e:
        settings.wrong(key, str(e))
        return None


def _filter(settings: Settings, key: str, default: str, *places: str) -> Any:
    text = settings.word(key, default)
    parsed = _parsed(settings, key, text)
    if parsed is None:
        return parseFilter(default)
    if not any(place in text for place in places):
        settings.wrong(key, f"must have {' or '.join(places)} in it")
    return parsed
