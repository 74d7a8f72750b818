"""
Read what the file of a Dante server says of rules, listeners and logins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Final

from socksgw.importing.dante.file import Block, File, Said
from socksgw.importing.dante.keywords import ELSEWHERE, NARROWING, SOCKETS, WRITTEN
from socksgw.importing.dante.routes import routesOf
from socksgw.importing.dante.rules import Place, Rule, Unknown, placeOf, ruleOf
from socksgw.importing.draft import Draft
from socksgw.importing.host import Host

__all__ = ["METHODS", "Reading"]

#: Our login method for each of Dante's; what is missing has none.
METHODS: Final = {
    "none": "none",
    "username": "userpass",
    "pam.username": "userpass",
    "gssapi": "gssapi",
}
#: What Dante's clients may speak; nothing else.
_PROTOCOLS: Final = {"socks_v5": "socks5", "socks_v4": "socks4"}


class Reading:
    """
    What a file says, with what cannot be written of it.

    @ivar clients: the rules of clients, in order, and C{requests}: those of requests.
    @ivar listeners: addresses with ports by the names that they get here.
    @ivar external: the addresses that Dante leaves by.
    @ivar groups: the members of the groups that are named.
    @ivar protocols: what clients may speak; empty for all that Dante knows.
    @ivar routes: by which proxies CONNECT leaves, as they are tried.
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
        self.protocols: list[str] = []
        self.clients: list[Rule] = []
        self.requests: list[Rule] = []
        said = [*self.of("socksmethod", "method")]
        self.words = said[-1].values if said else ()
        self.line = said[-1].line if said else 0
        said = [*self.of("clientmethod")]
        self._clientMethods = said[-1].values if said else ()
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
                # Where there are rules of host ids, a client without one is dropped.
                self.draft.leave(block.line, "hostid", NARROWING["hostid"], wider=True)
        blocks = (each for each in self.file.blocks if each.kind == "route")
        self.routes = routesOf(blocks, self.draft, self._of)
        self.isRouted = any(each.kind == "route" for each in self.file.blocks)
        self._speak()

    def _speak(self) -> None:
        """Find out what clients may speak: all rules say the same, or none does."""
        said = {
            frozenset(each.block.of("proxyprotocol") or _PROTOCOLS) & {*_PROTOCOLS}
            for each in self.requests
            if each.passes
        }
        if len(said) == 1 and (words := said.pop()):
            if len(words) < len(_PROTOCOLS):
                self.protocols = [_PROTOCOLS[each] for each in sorted(words)]
            return
        for rule in self.requests:
            words = frozenset(rule.block.of("proxyprotocol") or _PROTOCOLS)
            if not words >= {*_PROTOCOLS}:
                why = "rules do not tell protocols apart; listen.protocols does"
                self._restricts(rule, _said(rule.block, "proxyprotocol"), why)

    def _of(self, place: Place) -> Place:
        """Return a place with the addresses of an interface, if its name is one's."""
        if place.networks is None and "." not in place.name:
            addresses = self._host.interface(place.name)
            if addresses:
                return Place(tuple(map(ip_network, addresses)), "", place.ports)
        return place

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
            every = self._addresses(place.name, "internal.protocol")
            addresses = [each for each in every if not _isScoped(each)]
            if len(addresses) < len(every):
                why = (
                    "not at its link-local addresses; a [[listen]] of their own, with "
                    f'device = "{place.name}", does that'
                )
                self.draft.leave(said.line, f"internal: {place.name}", why)
            if not every:
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
        rule = rule._replace(source=self._of(rule.source), to=self._of(rule.to))
        for each in block.said:
            if each.keyword == "redirect":
                raise Unknown("redirect: destinations are not replaced here")
            if each.keyword in NARROWING:
                self._restricts(rule, each, NARROWING[each.keyword])
            elif each.keyword in ELSEWHERE:
                self.elsewhere(each)
            elif SOCKETS.fullmatch(each.keyword):
                self.draft.leave(each.line, each.keyword, "there is nothing like it")
            elif each.keyword not in WRITTEN:
                self._restricts(rule, each, "this keyword is not known")
        if rule.source.networks is None:
            raise Unknown(
                f"from: {rule.source.name}: clients are told by addresses here"
            )
        if not rule.source.isAnyPort:
            self._restricts(rule, _said(block, "from"), "ports of clients do not count")
            rule = rule._replace(source=Place(rule.source.networks))
        words = block.of("clientmethod") or self._clientMethods
        if words and "none" not in words:
            raise Unknown(
                f"clientmethod: {' '.join(words)}: clients are not asked who they are "
                "before they speak SOCKS"
            )
        return self._client(rule) if block.kind == "client" else self._request(rule)

    def _client(self, rule: Rule) -> Rule:
        if rule.to.networks is None:
            raise Unknown(f"to: {rule.to.name}: write the address of the listener")
        for keyword in ("user", "group"):
            if rule.block.of(keyword) is not None:
                why = "nobody has logged in yet"
                self._restricts(rule, _said(rule.block, keyword), why)
        for keyword in ("timeout.negotiate", "session.inheritable"):
            if rule.block.of(keyword) is not None:
                said = _said(rule.block, keyword)
                why = "[timeouts] handshake and [[limit]] are for all clients"
                self.draft.leave(said.line, keyword, why)
        return rule

    def _request(self, rule: Rule) -> Rule:
        block = rule.block
        if rule.users is not None and rule.groups is not None:
            self._restricts(rule, _said(block, "group"), "either user or group counts")
            rule = rule._replace(groups=None)
        for name in rule.groups or ():
            self._group(name, _said(block, "group").line)
        if rule.to.networks is None:
            named = "names count as they are asked for; Dante looks addresses up, too"
            if rule.to.name.startswith("."):
                named += (
                    f", and takes names that end in {rule.to.name[1:]} without a dot"
                )
            said = _said(block, "to")
            self.draft.leave(
                said.line, f"to: {rule.to.name}", named, wider=not rule.passes
            )
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
                addresses = self._addresses(name, "external.protocol")
                if not addresses:
                    why = "this host has no such interface: its routes decide"
                    self.draft.leave(said.line, f"external: {name}", why)
                yield from (each for each in addresses if not _isScoped(each))

    def _addresses(self, interface: str, keyword: str) -> list[str]:
        """Return the addresses of an interface, of the families that are wanted."""
        families = {value for said in self.of(keyword) for value in said.values}
        found = [str(each) for each in self._host.interface(interface)]
        return [
            each
            for each in found
            if not families or f"ipv{ip_address(each).version}" in families
        ]

    def methods(self, words: Sequence[str], line: int) -> list[str]:
        """Return our methods for some of Dante's, each once."""
        found: dict[str, None] = {}
        for word in words:
            if word in METHODS:
                found[METHODS[word]] = None
            else:
                why = "there is no such login here: nobody logs in so"
                self.draft.leaveOnce(line, word, why)
        return list(found)


def _isScoped(text: str) -> bool:
    """Return whether an address means something only together with an interface."""
    address = ip_address(text)
    return address.version == 6 and address.is_link_local


def _said(block: Block, keyword: str) -> Said:
    return next(each for each in block.said if each.keyword == keyword)
