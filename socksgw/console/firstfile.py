"""
A first configuration, made of a few answers; and the built-in one as a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final

from attrs import frozen

from socksgw.config.defaults import defaultConfig
from socksgw.importing.draft import Draft
from socksgw.importing.networks import EVERYWHERE, inside, isBanned, without

__all__ = ["LOGINS", "PUBLIC", "Answers", "builtIn", "firstFile", "isLocal"]

#: How clients may log in, and what that means.
LOGINS: Final = {
    "none": "nobody has to",
    "passwords": "user and password, from a file that socksgw passwd makes",
    "pam": "user and password of this system, by PAM",
    "kerberos": "a ticket; the gateway has a keytab",
}
#: The method of each.
_METHODS: Final = {
    "none": "none",
    "passwords": "userpass",
    "pam": "userpass",
    "kerberos": "gssapi",
}
#: What may be reached, in place of networks and names: all public addresses.
PUBLIC: Final = "public"
#: Sessions that one address may have.
_SESSIONS: Final = 500
#: Public addresses, for requests that are tried.
_OUTSIDE: Final = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")


@frozen
class Answers:
    """
    What a first configuration depends on.

    @ivar listen: addresses with ports where clients connect.
    @ivar sources: networks of clients.
    @ivar to: destinations, as C{to} of a rule has them, or L{PUBLIC} alone.
    @ivar ports: of destinations; empty for all.
    @ivar login: one of L{LOGINS}.
    @ivar who: users, and groups as C{@group}; empty for everybody who gets in.
    @ivar cleartext: whether passwords may cross the network without TLS.
    @ivar http: whether clients may speak HTTP, too.
    @ivar users: the file of users, and C{keytab}: that of the service's keys.
    @ivar state: the directory of what the gateway writes.
    @ivar realm: the Kerberos realm whose users have names without it; empty for none.
    @ivar admin: whether the gateway can be asked at the usual place.
    """

    listen: Sequence[str]
    sources: Sequence[str]
    to: Sequence[str]
    ports: Sequence[int | str]
    login: str
    who: Sequence[str]
    cleartext: bool
    http: bool
    users: str
    keytab: str
    state: str
    realm: str
    admin: bool


def isLocal(sources: Sequence[str]) -> bool:
    """Return whether all clients are of this machine."""
    return all(ip_network(each, strict=False).is_loopback for each in sources)


def firstFile(answers: Answers) -> Draft:
    """Return the configuration, with requests that C{socksgw check} tries."""
    draft = Draft()
    draft.add(
        "[gateway]",
        {"state_dir": answers.state},
        "Where the journal is written; a relative path begins beside this file.",
    )
    if answers.admin:
        draft.add(
            "[admin]",
            {},
            "For socksgw status, sessions and restart: at /run/socksgw/admin.sock, root "
            "and the gateway's own user (socksgw help admin).",
        )
    draft.add(
        "[[listen]]",
        {
            "name": "lan",
            "address": [*answers.listen],
            "protocols": ["socks5", "socks4", "http"] if answers.http else None,
        },
        "Where clients connect. With [listen.tls] what they send is encrypted "
        "(socksgw help tls).",
    )
    _login(answers, draft)
    groups = [each[1:] for each in answers.who if each.startswith("@")]
    if groups:
        draft.add(
            "[groups]",
            {each: [] for each in groups},
            "Write their members here; directories have groups, too "
            "(socksgw help directories).",
        )
    _rules(answers, draft)
    draft.add(
        "[[limit]]",
        {"per": "source", "sessions": _SESSIONS},
        "What one address may have at a time (socksgw help limits).",
    )
    _expectations(answers, draft)
    return draft


def _login(answers: Answers, draft: Draft) -> None:
    method = _METHODS[answers.login]
    if answers.login == "passwords":
        draft.add(
            "[auth]",
            {"checkers": [f"passwd:{answers.users}"]},
            f"Who may log in: socksgw passwd {answers.users} NAME adds a user.",
        )
    elif answers.login == "pam":
        draft.add(
            "[[auth.checker]]",
            {"kind": "pam", "service": "socksgw"},
            "Users of this system, as /etc/pam.d/socksgw says (socksgw help directories); "
            "needs the extra pam.",
        )
    elif answers.login == "kerberos":
        draft.add(
            "[auth]",
            {
                "strip_realms": [answers.realm] if answers.realm else None,
                "gssapi": {"keytab": answers.keytab},
            },
            "The keys of this service; needs the extra gssapi (socksgw help kerberos).",
            f"Users of {answers.realm} are called alice, others alice@OTHER.REALM."
            if answers.realm
            else "Users are called alice@REALM; of a realm in strip_realms, alice.",
        )
    clear = method == "userpass" and answers.cleartext
    draft.add(
        "[[auth.choose]]",
        {
            "from": [*answers.sources],
            "methods": [method],
            "cleartext_passwords": True if clear else None,
        },
        "Who gets in, and how; a client that is not from here is refused.",
        *(["Passwords cross this network without TLS."] if clear else []),
    )


def _isName(word: str) -> bool:
    return word[:1] in ("=", ".", "*")


def _rules(answers: Answers, draft: Draft) -> None:
    who = [*answers.who] if answers.who else None
    if who is None and answers.login != "none":
        who = ["users"]
    common = {"who": who, "ports": [*answers.ports] or None}
    first = "The first rule that matches decides; what none allows is denied."
    if PUBLIC in answers.to:
        draft.add(
            "[[rule]]",
            {"id": "no-private", "deny": "any", "to": ["private"]},
            first,
            "Private addresses: rules before this one make exceptions.",
        )
        draft.add(
            "[[rule]]",
            {"id": "web", "allow": ["connect"], **common},
            "Everything else that is public; udp and bind can be allowed, too.",
        )
        return
    networks = [each for each in answers.to if not _isName(each)]
    names = [each for each in answers.to if _isName(each)]
    if networks:
        values = {"id": "to-networks", "allow": ["connect"], **common, "to": networks}
        draft.add("[[rule]]", values, first)
    if names:
        draft.add(
            "[[rule]]",
            {"id": "to-names", "allow": ["connect"], **common, "to": names},
            *([] if networks else [first]),
            'These names lead to public addresses alone; resolving_to = ["private"] '
            "says that they lead inside.",
        )


def _expectations(answers: Answers, draft: Draft) -> None:
    source = inside(ip_network(answers.sources[0], strict=False))
    member = next((each for each in answers.who if not each.startswith("@")), "")
    asked = {"from": source}
    if answers.login != "none":
        asked |= {"who": member or "somebody", "method": _METHODS[answers.login]}
    port = str(answers.ports[0]).partition("-")[0] if answers.ports else "443"
    # Nobody is in a group before its members are written down.
    isServed = not answers.who or bool(member)
    outside = _OUTSIDE[0]
    if isServed:
        for place, resolved in _places(answers):
            ask: dict[str, object] = {**asked, "to": f"{place}:{port}"}
            if resolved:
                ask["resolving_to"] = [resolved]
            draft.expect(place, "allow", ask)
    if PUBLIC in answers.to:
        draft.expect("inside", "deny", {**asked, "to": f"10.0.0.1:{port}"})
    elsewhere = _elsewhere(answers.sources)
    if elsewhere:
        ask = {**asked, "from": elsewhere, "to": f"{outside}:{port}"}
        draft.expect("elsewhere", "deny", {**ask, "rule": "auth.choose"})


def _places(answers: Answers) -> Sequence[tuple[str, str]]:
    """Return destinations that are allowed, each with the address of a name."""
    if PUBLIC in answers.to:
        return [(_OUTSIDE[0], "")]
    found = []
    for word in answers.to:
        if _isName(word):
            name = word.lstrip("=*.")
            found.append((name if word[0] != "*" else f"www.{name}", _OUTSIDE[0]))
        else:
            try:
                host = inside(ip_network(word, strict=False))
            except ValueError:
                # A built-in name, such as private.
                continue
            if not isBanned(host):
                found.append((f"[{host}]" if ":" in host else host, ""))
    return found


def _elsewhere(sources: Sequence[str]) -> str:
    """Return the address of a client that is not from some networks; empty for none."""
    version = ip_network(sources[0], strict=False).version
    every = [each for each in EVERYWHERE if each.version == version]
    left = without(every, [ip_network(each, strict=False) for each in sources])
    outside = ip_address(_OUTSIDE[version == 6])
    for network in left:
        if outside in network:
            return str(outside)
    return inside(left[0]) if left else ""


def builtIn() -> Draft:
    """Return what holds without a file, as one."""
    config = defaultConfig()
    draft = Draft()
    for listen in config.listen:
        draft.add(
            "[[listen]]",
            {"name": listen.name, "address": [*listen.address]},
            "Where clients connect: programs of this machine.",
        )
    for choose in config.auth.choose:
        draft.add(
            "[[auth.choose]]",
            {"from": [*(choose.from_ or ())], "methods": [*choose.methods]},
            "Who gets in, and how: everybody on this machine, without a login.",
        )
    for rule, why in zip(
        config.rule,
        (
            "The first rule that matches decides; what none allows is denied.",
            "Every other address; special ones and this host's are denied before "
            "([never]).",
        ),
        strict=True,
    ):
        verdict = (
            {"allow": [*rule.allow]} if rule.allow is not None else {"deny": rule.deny}
        )
        to = [*rule.to] if rule.to is not None else None
        draft.add("[[rule]]", {"id": rule.id, **verdict, "to": to}, why)
    return draft
