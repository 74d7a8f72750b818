"""
Read what the file of a Dante server says of rules, listeners and logins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Final

from socksgw.importing.dante.file import Block, File, Said
from socksgw.importing.dante.rules import Place, Rule, Unknown, placeOf, ruleOf
from socksgw.importing.draft import Draft
from socksgw.importing.host import Host

__all__ = ["ELSEWHERE", "METHODS", "NARROWING", "Reading"]

#: Our login method for each of Dante's; what is missing has none.
METHODS: Final = {
    "none": "none",
    "username": "userpass",
    "pam.username": "userpass",
    "gssapi": "gssapi",
}
#: What is the same here without being said, or has another place, by keyword.
ELSEWHERE: Final = {
    "logoutput": "the journal records each decision and each end (socksgw audit)",
    "errorlog": "standard error has what goes wrong; [log] says how",
    "log": "the journal records each decision and each end of every rule",
    "debug": "the journal and socksgw explain tell why",
    "user.privileged": "started as root, twistd drops its rights by --uid and --gid",
    "user.notprivileged": "twistd --uid and --gid, or User= of the unit",
    "user.unprivileged": "twistd --uid and --gid, or User= of the unit",
    "user.libwrap": "there is no libwrap here",
    "timeout.tcp_fin_wait": "the kernel's net.ipv4.tcp_fin_timeout",
    "compatibility": "ports of clients are not used again; nothing is wanted for UDP",
    "extension": "clients that follow RFC 1928 need none",
    "udp.connectdst": "answers come back as rule.udp.replies says; exact by default",
    "udp.portrange": "[listen.udp] ports, of a listener and not of a rule",
    "clientcompatibility": "[auth] gssapi = { nec = true }, of all listeners",
}
#: What keeps somebody out in Dante, and has nothing here that would.
NARROWING: Final = (
    "srchost", "libwrap.hosts_access", "libwrap", "hostid", "session.throttle",
    "bsdauth.stylename",
)  # fmt: skip


class Reading:
    """
    What a file says, with what cannot be written of it.

    @ivar clients: the rules of clients, in order, and C{requests}: those of requests.
    @ivar listeners: addresses with ports by the names that they get here.
    @ivar external: the addresses that Dante leaves by.
    @ivar groups: the members of the groups that are named.
    @ivar words: Dante's login methods, and C{line}: that says so; 0 for none.
    @ivar draft: where what is not the same is noted.
    """

    def __init__(self, file: File, host: Host, draft: Draft) -> None:
        """
        Read the rules.
        """
        self.file = file
        self._host = host
        self.draft = draft
        self.listeners: dict[str, tuple[str, int]] = {}
        self.groups: dict[str, tuple[str, ...]] = {}
        self.clients: list[Rule] = []
        self.requests: list[Rule] = []
        said = [*self.of("socksmethod", "method")]
        self.words = said[-1].values if said else ()
        self.line = said[-1].line if said else 0
        self.external = [*self._externals()]
        self._read()

    def _read(self) -> None:
        for said in self.of("internal"):
            for address, port in self._internal(said):
                name = "lan" if not self.listeners else f"lan-{len(self.listeners) + 1}"
                self.listeners[name] = address, port
        for block in self.file.blocks:
            if block.kind in ("client", "socks"):
                rules = self.clients if block.kind == "client" else self.requests
                try:
                    rules.append(self._looked(ruleOf(block)))
                except Unknown as e:
                    verb = "pass" if block.passes else "block"
                    self.draft.leave(
                        block.line,
                        f"{block.kind} {verb}",
                        f"left out: {e}",
                        wider=not block.passes,
                    )
            elif block.kind == "monitor":
                why = "alarms are made of metrics here (socksgw help metrics)"
                self.draft.leave(block.line, "monitor", why)
            elif block.kind == "hostid":
                self.draft.leave(
                    block.line, "hostid", "host ids are not read", wider=True
                )

    def of(self, *keywords: str) -> Iterator[Said]:
        """Return the places of some settings, in order."""
        return (each for each in self.file.said if each.keyword in keywords)

    def _internal(self, said: Said) -> Iterator[tuple[str, int]]:
        try:
            place = placeOf(said.values)
        except Unknown as e:
            self.draft.leave(said.line, "internal", f"left out: {e}")
            return
        port = place.ports[0][0] if not place.isAnyPort else 1080
        addresses: Sequence[str] = (str(said.values[0]),)
        if place.networks is None:
            addresses = self._host.interface(place.name)
            if not addresses:
                why = "this host has no such interface: write its addresses"
                self.draft.leave(said.line, f"internal: {place.name}", why)
        for address in addresses:
            yield address, port

    def _looked(self, rule: Rule) -> Rule:
        """
        Take note of what a rule says that is not the same here.

        @raise Unknown: it cannot be written at all.
        """
        block = rule.block
        for each in block.said:
            if each.keyword in NARROWING or each.keyword.startswith("hostid"):
                self._restricts(rule, each, "there is nothing like it")
            elif each.keyword == "redirect":
                raise Unknown("redirect: destinations are not replaced here")
            elif each.keyword in ELSEWHERE:
                self.elsewhere(each)
        if rule.source.networks is None:
            raise Unknown(
                f"from: {rule.source.name}: clients are told by addresses here"
            )
        if not rule.source.isAnyPort:
            self._restricts(rule, _said(block, "from"), "ports of clients do not count")
            rule = rule._replace(source=Place(rule.source.networks))
        if block.kind == "client":
            if rule.to.networks is None:
                raise Unknown(f"to: {rule.to.name}: write the address of the listener")
            for keyword in ("user", "group"):
                if block.of(keyword) is not None:
                    why = "nobody has logged in yet"
                    self._restricts(rule, _said(block, keyword), why)
            for each in block.said:
                if each.keyword in ("session.max", "bandwidth"):
                    why = "a limit of the rules of requests, or [[limit]], can stand for it"
                    self.draft.leave(each.line, each.keyword, why, wider=True)
            return rule
        protocols = block.of("proxyprotocol")
        if protocols is not None and not {"socks_v4", "socks_v5"} <= set(protocols):
            why = "rules do not tell protocols apart; listen.protocols does"
            self._restricts(rule, _said(block, "proxyprotocol"), why)
        if rule.users is not None and rule.groups is not None:
            self._restricts(rule, _said(block, "group"), "either user or group counts")
            rule = rule._replace(groups=None)
        for name in rule.groups or ():
            self._group(name, _said(block, "group").line)
        return rule

    def _restricts(self, rule: Rule, said: Said, why: str) -> None:
        """Take note of a condition that is not kept: what passes would be more."""
        self.draft.leave(said.line, said.keyword, f"left out: {why}", wider=rule.passes)

    def _group(self, name: str, line: int) -> None:
        if name in self.groups:
            return
        members = self._host.members(name)
        if members is None:
            why = "this host has no such group: write its members in [groups]"
            self.draft.leave(line, f"group: {name}", why)
        else:
            self.draft.leave(line, f"group: {name}", "its members are those of today")
        self.groups[name] = tuple(members or ())

    def elsewhere(self, said: Said) -> None:
        """Take note of where something has its place here, once."""
        self.draft.leaveOnce(said.line, said.keyword, ELSEWHERE[said.keyword])

    def _externals(self) -> Iterator[str]:
        """Return the addresses that Dante leaves by."""
        for said in self.of("external"):
            name = said.values[0] if said.values else ""
            try:
                yield str(ip_address(name))
            except ValueError:
                addresses = self._host.interface(name)
                if not addresses:
                    why = "this host has no such interface: the routes decide"
                    self.draft.leave(said.line, f"external: {name}", why)
                yield from addresses

    def methods(self, words: Sequence[str], line: int) -> list[str]:
        """Return our methods for some of Dante's, each once."""
        found: dict[str, None] = {}
        for word in words:
            if word in METHODS:
                found[METHODS[word]] = None
            elif not any(each.said == word for each in self.draft.left):
                self.draft.leave(
                    line, word, "there is no such login here: nobody logs in so"
                )
        return list(found)


def _said(block: Block, keyword: str) -> Said:
    return next(each for each in block.said if each.keyword == keyword)
