"""
The keys of an C{[[auth.checker]]} of each kind, each with type, default and meaning.

They stand apart from the checkers, which need packages that may not be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["HTTP", "JWT", "LDAP", "PAM"]

_CA: Final = (
    "string. The file of the authorities that sign the servers' certificates. "
    "Absent: those that the system trusts."
)
_CLEARTEXT: Final = (
    "true or false; default ``false``. ``true``: passwords may cross a network "
    "without TLS. Without TLS only loopback is asked otherwise."
)

LDAP: Final[Mapping[str, str]] = {
    "url": 'array of strings. The servers: ``"ldaps://dc1.corp.example"``. They are '
    "tried in this order. Either this or ``domain``.",
    "domain": 'string. A domain of Active Directory, ``"corp.example"``: its domain '
    "controllers are those that DNS names, by ``ldaps://``, or with ``start_tls`` by "
    "``ldap://``, in the order that DNS wants. Each has to have a certificate for its "
    "own name.",
    "site": "string. The site whose controllers are asked. Absent, or where it has none: "
    "those of the whole domain.",
    "start_tls": "true or false; default ``false``. ``true``: connections to "
    "``ldap://`` change to TLS before anything is sent.",
    "ca": _CA,
    "cleartext": _CLEARTEXT,
    "flavor": 'string. ``"ad"``: Active Directory, whose users log in by several names, '
    "and whose accounts have a state: see ``socksgw help directories``. Absent: any "
    "directory.",
    "base": "string; needed. The distinguished name below which users are looked for. "
    'With ``flavor = "ad"``, ``""`` is all domains of the forest, by its global catalog.',
    "user_filter": 'string; default ``"(&(objectClass=person)(uid={user}))"``. The '
    "filter that finds a user. It must not find disabled accounts: see ``socksgw help "
    "directories``. With ``flavor``: what else has to hold of users, without ``{user}``.",
    "machine_accounts": "true or false; default ``false``. ``true``, with ``flavor``: "
    "machines may log in, too, by accounts such as ``PC1$``.",
    "user_dn": "string. Instead of ``user_filter``, where all users are in one place: "
    '``"uid={user},ou=people,dc=corp,dc=example"``.',
    "user_name": "string. The attribute that has the user's name. Absent: the one that "
    "``user_filter`` or ``user_dn`` compares.",
    "bind_dn": "string. The account that looks for users and groups; with "
    "``bind_password_file``. Absent: none, the search is anonymous.",
    "bind_password_file": "string. The file of that account's password, which nobody "
    "else may read.",
    "bind_keytab": "string. Instead of ``bind_dn``: the file of a Kerberos key; needs "
    "``socksgw[gssapi]``.",
    "bind_principal": "string. The principal, where ``bind_keytab`` has several.",
    "bind_protection": 'string; default ``"tls"``. What protects the messages of the '
    'account of ``bind_keytab``. ``"confidentiality"`` or ``"integrity"``: Kerberos '
    "does, without TLS, at port 389 of ``ldaps://``: for servers that take a keytab only "
    "so, such as Samba's domain controllers. Passwords of users go through TLS all the "
    "same.",
    "group_base": "string. The distinguished name below which groups are looked for. "
    "Absent: ``base``.",
    "group_filter": "string. The filter that finds the groups of ``{dn}`` or ``{user}``"
    '. Absent: ``"(|(member={dn})(uniqueMember={dn}))"``, and in Active Directory the '
    "attribute ``tokenGroups``.",
    "timeout": 'duration; default ``"5s"``. For one login, or the look-up of one '
    'user\'s groups; at most ``"60s"``.',
    "connections": "integer; default ``8``. Connections at a time for logins, and as "
    "many for groups; 1 to 64.",
}

HTTP: Final[Mapping[str, str]] = {
    "url": 'string; needed. The service. It is sent ``{"user": …, "password": …}`` and '
    'answers ``{"allow": true, "groups": […]}``.',
    "groups_url": 'string. The service that is sent ``{"user": …}`` and answers '
    '``{"known": true, "groups": […]}``. Absent: the groups are those of the last '
    "login.",
    "ca": _CA,
    "cleartext": _CLEARTEXT,
    "token_file": "string. The file of a bearer token that is sent with each question; "
    "nobody else may read it.",
    "timeout": 'duration; default ``"5s"``. For one login, or one user\'s groups; at '
    'most ``"60s"``.',
    "connections": "integer; default ``8``. Connections at a time; 1 to 64.",
}

PAM: Final[Mapping[str, str]] = {
    "service": 'string; default ``"socksgw"``. The name of a file in ``/etc/pam.d``.',
    "timeout": 'duration; default ``"8s"``. For one login, the time that it waits for a '
    'thread included; at most ``"60s"``.',
    "threads": "integer; default ``8``. Logins that PAM is asked about at a time; 1 to "
    "64.",
}

JWT: Final[Mapping[str, str]] = {
    "issuer": "string; needed. The claim ``iss`` of the tokens, to the letter. "
    "``spiffe://DOMAIN``: tokens whose ``sub`` is of that trust domain.",
    "audience": "string or array of strings; needed. Whom the tokens are for: one of "
    "these has to be in the claim ``aud``.",
    "keys": "string. The file of the issuer's public keys (JWKS), which nobody else may "
    "change. It is read again when it changes. Either this or ``keys_url``.",
    "keys_url": "string. The URL of the issuer's public keys (JWKS): ``https://``, or "
    "``http://`` on loopback.",
    "ca": "string. The file of the authorities that sign the certificate of "
    "``keys_url``. Absent: those that the system trusts.",
    "token_file": "string. The file of a bearer token that ``keys_url`` is told; nobody "
    "else may read it. It is read for each question.",
    "timeout": 'duration; default ``"5s"``. How long an answer of ``keys_url`` may take; '
    'at most ``"60s"``.',
    "refresh": 'duration; default ``"300s"``. How long an answer of ``keys_url`` counts; '
    'at most ``"1d"``.',
    "hold": 'duration; default ``"3600s"``. How long the last keys count while there are no '
    'others: the server gives none, or the file cannot be used; at most ``"7d"``.',
    "algorithms": 'array of strings; default ``["RS256", "ES256"]``. The signatures that '
    "are accepted: ``RS256`` ``RS384`` ``RS512`` ``PS256`` ``PS384`` ``PS512`` ``ES256`` "
    "``ES384`` ``ES512`` ``EdDSA`` ``Ed25519`` ``Ed448``.",
    "leeway": 'duration; default ``"30s"``. How much the issuer\'s clock may be before '
    'or behind; at most ``"5m"``. ``"0s"``: not at all.',
    "name_claim": 'string or array of strings; default ``"sub"``. The claim that has '
    "the user's name. An array leads into objects: "
    '``["kubernetes.io", "serviceaccount", "name"]``.',
    "groups_claim": "string or array of strings. As ``name_claim``: the claim that has "
    "the user's groups: a string, or an array of strings. Absent: none.",
    "prefix": "string. Text that is put before the name and each group, so that no "
    "issuer's user equals one of ours.",
    "require": "array of tables. What else a token has to say: "
    '``[{ claim = "repository_owner", is = ["corp"] }]``.',
}
