"""
Which clients can log in, and how, without a client that tries.

C{explain} and expectations ask which methods C{[[auth.choose]]} offers to a
client on a listener, and by which of them it can be a certain user. Passwords,
tickets and the throttle are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, final

from attrs import evolve, frozen

from socksgw.config.reserved import isLocal
from socksgw.config.schema import Config, Listen
from socksgw.interfaces import ANONYMOUS
from socksgw.negotiate.methods import Choice, OfferedMethod, firstFor
from socksgw.policy.conditions import Addresses
from socksgw.policy.extent import NOWHERE, extentOf
from socksgw.policy.facts import Facts
from socksgw.policy.questions import UNOFFERED, Verdict
from socksgw.wire.address import Address
from socksgw.wire.codes import DATAGRAMS, Method
from socksgw.wire.dialect import Dialect
from socksgw.wire.levels import CLEAR, CONFIDENTIALITY
from socksgw.wire.server import DIALECTS

__all__ = ["Offers", "Way"]

#: Ways to log in that a message shows at most.
_SHOWN: Final = 6


@frozen
class Way:
    """
    One way to log in.

    @ivar listener: the name of the listener.
    @ivar entry: the TOML path of its C{[[auth.choose]]}, counted from 1.
    @ivar method: the name of the method.
    @ivar secured: how the client's side is protected then, of datagrams themselves;
        L{None} if the client decides.
    @ivar certificate: whether it needs a client certificate.
    """

    listener: str
    entry: str
    method: str
    secured: str | None
    certificate: bool

    def __str__(self) -> str:
        wanted = ", with a client certificate" if self.certificate else ""
        return f'"{self.method}" on "{self.listener}"{wanted} ({self.entry})'


@final
class Offers:
    """
    The ways to log in that one configuration offers.
    """

    def __init__(
        self,
        config: Config,
        choices: Sequence[Choice[OfferedMethod]],
        sources: Sequence[Addresses | None],
        secured: Collection[str],
        protecting: Collection[str],
    ) -> None:
        """
        Take what the examination has built.

        @param choices: the methods of each C{[[auth.choose]]}.
        @param sources: the C{from} of each; L{None} for any source.
        @param secured: the listeners on which everything is inside TLS.
        @param protecting: the methods that can protect the session after the
            login.
        """
        self._config = config
        self._choices = tuple(choices)
        self._sources = tuple(sources)
        self._secured = frozenset(secured)
        self._protecting = frozenset(protecting)

    def _offered(
        self, listener: str, source: Address | None
    ) -> Iterator[tuple[str, Choice[OfferedMethod]]]:
        """
        Yield the entries that can apply to a client of a listener.

        @param source: the client's address; L{None} for any.
        @return: TOML paths with entries.
        """
        if source is not None:
            found = firstFor(self._choices, listener, source)
            if found is not None:
                yield f"auth.choose[{found[0] + 1}]", found[1]
            return
        before = NOWHERE
        pairs = zip(self._choices, self._sources, strict=True)
        for i, (choice, sources) in enumerate(pairs):
            if not choice.isFor(listener):
                continue
            # Sources of earlier entries never come to a later one. The words for this
            # host's own addresses are left out: these may change.
            theirs = extentOf(sources)
            moving = sources is not None and sources.words & {"self", "listeners"}
            if not moving and not theirs - before:
                continue
            before |= theirs
            yield f"auth.choose[{i + 1}]", choice

    def _ways(
        self,
        listen: Listen,
        source: Address | None,
        entry: str,
        choice: Choice[OfferedMethod],
        command: str = "",
    ) -> Iterator[Way]:
        tls = listen.tls
        shown = tls.client_certificate if tls is not None else "off"
        dialects = [DIALECTS[each] for each in listen.spoken]
        for outer in choice.methods:
            if not any(_canUse(dialect, outer) for dialect in dialects):
                continue
            for method in outer.inner or (outer,):
                if method.capabilities.certificate and shown == "off":
                    continue
                if method.capabilities.local and not (
                    listen.knowsPrograms and (source is None or source.isLoopback)
                ):
                    continue
                level: str | None = CLEAR
                if listen.name in self._secured:
                    level = _inTLS(listen, dialects, command)
                elif outer.inner or outer.name in self._protecting:
                    level = None
                if listen.ipsec_mark:
                    # Each client is asked for.
                    level = None
                wanted = shown == "required" or method.capabilities.certificate
                yield Way(listen.name, entry, method.name, level, wanted)

    def waysFor(self, facts: Facts) -> list[Way]:
        """Return the ways by which such a client can be that user."""
        return [
            way
            for way, method in self._all(facts)
            if (
                method.capabilities.anonymous
                if facts.user == ANONYMOUS
                else method.capabilities.mayBeSomebody
                # Users of this machine have names of their own, and no others.
                and method.capabilities.local == isLocal(facts.user)
            )
            and facts.method in (None, way.method)
            and (None in (facts.secured, way.secured) or facts.secured == way.secured)
        ]

    def listens(self, ways: Collection[Way]) -> list[Listen]:
        """Return the listeners of some ways to log in."""
        names = {way.listener for way in ways}
        return [each for each in self._config.listen if each.name in names]

    def _all(self, facts: Facts) -> Iterator[tuple[Way, OfferedMethod]]:
        """Yield every way that such a client is offered, with its method."""
        for listen in self._config.listen:
            if facts.listener not in (None, listen.name):
                continue
            for entry, choice in self._offered(listen.name, facts.source):
                methods = {
                    method.name: method
                    for outer in choice.methods
                    for method in outer.inner or (outer,)
                }
                for way in self._ways(
                    listen, facts.source, entry, choice, facts.command
                ):
                    yield way, methods[way.method]

    def levels(
        self, listeners: Collection[str] | None, commands: Collection[str]
    ) -> set[str | None]:
        """
        Return how clients can be protected, by all ways to log in.

        @param listeners: by their names; L{None} for all.
        @return: L{None} among them if a client decides.
        """
        return {
            way.secured
            for listen in self._config.listen
            if listeners is None or listen.name in listeners
            for entry, choice in self._offered(listen.name, None)
            for command in commands
            for way in self._ways(listen, None, entry, choice, command)
        }

    def offeredTo(self, listener: str, source: Address) -> list[str]:
        """Return the ways that a client is offered, as text for people."""
        return [
            str(way)
            for listen in self._config.listen
            if listen.name == listener
            for entry, choice in self._offered(listener, source)
            for way in self._ways(listen, source, entry, choice)
        ]

    def entry(self, listener: str, source: Address) -> str:
        """
        Return the entry of the configuration that is for a client; empty for none.

        Clients of a listener for which it is the same are offered the same ways, where
        all or none of them are on loopback.
        """
        return next((entry for entry, _ in self._offered(listener, source)), "")

    def refusal(self, facts: Facts) -> Verdict | None:
        """
        Return why no such client can be that user; L{None} if some can.
        """
        if self.waysFor(facts):
            return None
        client = f"clients from {facts.source}" if facts.source else "clients"
        if facts.listener is not None:
            client += f' on "{facts.listener}"'
        offered = list(dict.fromkeys(str(way) for way, _ in self._all(facts)))
        if not offered:
            return Verdict(False, UNOFFERED, f"no [[auth.choose]] is for {client}")
        who = "without a login" if facts.user == ANONYMOUS else f"as {facts.user}"
        how = f' by "{facts.method}"' if facts.method is not None else ""
        side = f", {facts.secured}" if facts.secured is not None else ""
        more = len(offered) - _SHOWN
        rest = f" and {more} more" if more > 0 else ""
        return Verdict(
            False,
            UNOFFERED,
            f"nobody gets in {who}{how}{side}: {client} are offered "
            f"{', '.join(offered[:_SHOWN])}{rest}",
        )

    def known(self, facts: Facts) -> Facts:
        """
        Return the facts with those added that all ways have in common.
        """
        ways = self.waysFor(facts)
        listeners = {way.listener for way in ways}
        methods = {way.method for way in ways}
        levels = {way.secured for way in ways}
        return evolve(
            facts,
            listener=facts.listener or _only(listeners),
            method=facts.method or _only(methods),
            secured=facts.secured or _only(levels),
        )


def _only(values: Collection[str | None]) -> str | None:
    return next(iter(values)) if len(values) == 1 else None


def _inTLS(listen: Listen, dialects: Sequence[Dialect], command: str) -> str | None:
    """
    Return how a client is protected whose connection is inside TLS.

    @return: L{None} if the client decides whether its datagrams go in the connection.
    """
    if command not in DATAGRAMS:
        return CONFIDENTIALITY
    words = {word for each in dialects for word in each.commands.values()}
    if command == "multicast":
        beside, inside = True, listen.multicast.tunnels
    else:
        beside = command in words
        inside = not words.isdisjoint({"udp-inside", *listen.udp.tunnels})
    if beside:
        return None if inside else CLEAR
    return CONFIDENTIALITY


def _canUse(dialect: Dialect, method: OfferedMethod) -> bool:
    """Return whether a client can come in by a method in a protocol."""
    wordless = Method.NO_AUTHENTICATION in method.codes
    if dialect.login(None) is not None and method.inner:
        # It would protect what the client has sent already.
        return False
    if dialect.challenging:
        return not method.inner and (wordless or bool(method.capabilities.challenge))
    return wordless if dialect.loginless else bool(method.codes)
