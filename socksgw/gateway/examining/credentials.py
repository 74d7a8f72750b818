"""
Whether listeners, methods and checkers fit together.

Each kind of credentials needs a checker, and secrets should not cross a network
in the clear.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, final

from twisted.cred.checkers import ICredentialsChecker
from zope.interface.interface import InterfaceClass

from socksgw.config.schema import Choose, Config
from socksgw.gateway.examining.listeners import securedListeners
from socksgw.gateway.examining.methods import Methods
from socksgw.gateway.examining.problems import Problems
from socksgw.interfaces import (
    IBearerToken,
    IConfigurableCheckerFactory,
    IFileCheckerFactory,
)
from socksgw.login.discovery import findCheckers
from socksgw.wire.server import DIALECTS

__all__ = ["Credentials"]

#: So many entries that have the same warning are named besides the first one.
_ENTRIES: Final = 3


@final
class Credentials:
    """
    The C{[[auth.choose]]} of one configuration, with what they depend on.
    """

    def __init__(
        self,
        config: Config,
        methods: Methods,
        reachable: Collection[str],
        problems: Problems,
    ) -> None:
        """
        Take what is to be compared.

        @param methods: the methods of C{config}, after they were built.
        @param reachable: the names of the listeners that other hosts can reach.
        """
        self._config = config
        self._methods = methods
        self._capabilities = methods.capabilities
        self._reachable = reachable
        self._secured = securedListeners(config)
        self._problems = problems

    def examine(self, checkers: Sequence[ICredentialsChecker]) -> None:
        """
        Examine every entry.

        @param checkers: the checkers that could be made.
        """
        self._passwords(checkers)
        self._certificates()
        self._programs()
        self._protocols()
        self._lengths(checkers)
        self._orders()

    def _passwords(self, checkers: Sequence[ICredentialsChecker]) -> None:
        """
        Report credentials that no checker takes, and passwords in the clear.
        """
        auth = self._config.auth
        broken = len(checkers) < len(auth.checkers) + len(auth.checker)
        for i, choose in enumerate(auth.choose):
            for name in dict.fromkeys(self._methods.asked(choose)):
                if not broken and not self._isChecked(name, checkers):
                    self._problems.wrong(
                        f"auth.choose[{i}].methods",
                        f'"{name}" is offered, and there is no checker for it; name '
                        "one in [auth] checkers, or in an [[auth.checker]]"
                        f"{self._checkersFor(name)}",
                    )
            shown = [
                name for name in choose.methods if self._methods.shows(name, choose)
            ]
            if shown and not choose.cleartext_passwords:
                self._cleartext(i, choose, shown)

    def _isChecked(self, name: str, checkers: Sequence[ICredentialsChecker]) -> bool:
        """
        Tell whether a method needs no checker, or has one for its credentials.
        """
        can = self._capabilities[name]
        if not can.needsChecker:
            return True
        if can.credentials is None:
            return bool(checkers)
        return any(
            _takes(checker, kind) for checker in checkers for kind in can.credentials
        )

    def _checkersFor(self, name: str) -> str:
        """
        Return a remedy: the installed checkers that take a method's credentials.
        """
        kinds = self._capabilities[name].credentials
        if kinds is None:
            return " (the method does not declare which credentials it has)"
        able = sorted(
            _example(factory)
            for factory in findCheckers()[0].values()
            if any(
                kind.isOrExtends(wanted)
                for kind in factory.credentialInterfaces
                for wanted in kinds
            )
        )
        return f"; installed for it are: {', '.join(able) or 'none'}"

    def _cleartext(self, i: int, choose: Choose, shown: Sequence[str]) -> None:
        words = " and ".join(f'"{name}"' for name in shown)
        declared = all(self._capabilities[name].cleartext for name in shown)
        for name in sorted(self._reachable):
            if name not in self._secured and (
                choose.listener is None or name in choose.listener
            ):
                place, accept = f"auth.choose[{i}]", "cleartext_passwords = true"
                if not self._config.file:
                    place, accept = "--auth", "--cleartext-passwords"
                self._problems.wrong(
                    place,
                    f"{words} would send passwords in the clear"
                    + ("" if declared else ", as far as is declared,")
                    + f' to "{name}", which other hosts can reach; say {accept} to '
                    "accept that, give the listener TLS, or listen on 127.0.0.1",
                )

    def _certificates(self) -> None:
        """
        Report methods that want certificates on listeners that ask for none.
        """
        showing = {
            listen.name
            for listen in self._config.listen
            if listen.tls is not None and listen.tls.client_certificate != "off"
        }
        for i, choose in enumerate(self._config.auth.choose):
            wanting = [
                name
                for name in self._methods.known(choose.methods)
                if self._capabilities[name].certificate
            ]
            without = [f'"{x}"' for x in choose.listener or () if x not in showing]
            for method in wanting:
                for name in without or ([] if showing else ["every listener"]):
                    self._problems.wrong(
                        f"auth.choose[{i}].methods",
                        f'"{method}" wants listeners that ask for a certificate: '
                        "[listen.tls] with client_ca and client_certificate = "
                        f'"required" (or "optional"); missing on: {name}',
                    )

    def _programs(self) -> None:
        """
        Report methods for programs of this machine where none comes in.
        """
        serving = {each.name for each in self._config.listen if each.knowsPrograms}
        for i, choose in enumerate(self._config.auth.choose):
            without = [f'"{x}"' for x in choose.listener or () if x not in serving]
            for method in self._methods.known(choose.methods):
                if not self._capabilities[method].local:
                    continue
                for name in without or ([] if serving else ["every listener"]):
                    self._problems.wrong(
                        f"auth.choose[{i}].methods",
                        f'"{method}" wants listeners for programs of this machine: '
                        'address = ["unix:/path"], or without TLS a loopback address, '
                        "and neither proxy_protocol_from nor transparent; "
                        f"missing on: {name}",
                    )

    def _protocols(self) -> None:
        """
        Report methods that no protocol of their listeners has.
        """
        spoken = {
            listen.name: {DIALECTS[each].challenging for each in listen.spoken}
            for listen in self._config.listen
        }
        challenging = {name for name, each in spoken.items() if True in each}
        for i, choose in enumerate(self._config.auth.choose):
            named = choose.listener or [each.name for each in self._config.listen]
            if challenging.isdisjoint(named):
                for name in self._methods.unnumbered(choose.methods):
                    self._problems.wrong(
                        f"auth.choose[{i}].methods",
                        f'"{name}" is for clients of HTTP, which none of its listeners '
                        'speaks; say protocols = ["socks5", "http"] there. SOCKS has '
                        "no such method: a token of up to 255 octets can be the "
                        'password of "userpass"',
                    )
            elif all(spoken.get(name) == {True} for name in named):
                for name in self._methods.unchallenging(choose.methods):
                    self._problems.wrong(
                        f"auth.choose[{i}].methods",
                        f'"{name}" is not for clients of HTTP, and its listeners speak '
                        "nothing else",
                    )

        self._unprotecting()

    def _unprotecting(self) -> None:
        """Report methods that protect too late, or nothing, on their listeners."""
        bringing = {
            listen.name
            for listen in self._config.listen
            if all(DIALECTS[each].login(None) is not None for each in listen.spoken)
        }
        for i, choose in enumerate(self._config.auth.choose):
            named = choose.listener or [each.name for each in self._config.listen]
            if bringing.issuperset(named):
                for name in self._methods.wrapping(choose.methods):
                    self._problems.wrong(
                        f"auth.choose[{i}].methods",
                        f'"{name}" protects what follows a login, and the protocols of '
                        "its listeners have their requests before it; add another "
                        "protocol there, or take TLS",
                    )
                if not self._secured.issuperset(named):
                    for name in self._methods.protecting(choose.methods):
                        self._problems.odd(
                            f"auth.choose[{i}].methods",
                            f'"{name}" protects nothing in the protocols of its '
                            "listeners: clients are refused where no TLS does, unless "
                            'it accepts "clear"; give the listener TLS',
                        )

    def _lengths(self, checkers: Sequence[ICredentialsChecker]) -> None:
        """
        Warn where tokens are taken, and only SOCKS brings them, which has no room.
        """
        bearing = [c for c in checkers if IBearerToken in c.credentialInterfaces]
        challenging = self._challenging()
        if bearing and not any(
            self._capabilities[name].challenge and self._isChecked(name, bearing)
            for choose in self._config.auth.choose
            if not challenging.isdisjoint(self._listenersOf(choose))
            for name in self._methods.known(choose.methods)
            if self._capabilities[name].needsChecker
        ):
            self._problems.odd(
                "auth.choose",
                "tokens are taken, and come as passwords of SOCKS only: more than 255 "
                "octets do not fit (RFC 1929), and most tokens have more; let "
                'listeners speak HTTP, too (protocols), with "token" or "userpass"',
            )

    def _challenging(self) -> set[str]:
        """Return the names of the listeners where credentials come with requests."""
        return {
            listen.name
            for listen in self._config.listen
            if any(DIALECTS[each].challenging for each in listen.spoken)
        }

    def _listenersOf(self, choose: Choose) -> Collection[str]:
        return choose.listener or [each.name for each in self._config.listen]

    def _orders(self) -> None:
        """
        Warn of orders of methods that surprise clients which offer several.

        What several entries have in common is said once.
        """
        found: dict[str, list[str]] = {}
        for i, choose in enumerate(self._config.auth.choose):
            for text in self._order(choose):
                found.setdefault(text, []).append(f"auth.choose[{i}]")
        for text, (first, *others) in found.items():
            shown = ", ".join(others[:_ENTRIES])
            more = f" and {len(others) - _ENTRIES} more" if others[_ENTRIES:] else ""
            likewise = f" (likewise {shown}{more})" if others else ""
            self._problems.odd(f"{first}.methods", text + likewise)

    def _order(self, choose: Choose) -> Iterator[str]:
        # Clients of SOCKS alone offer several methods.
        nowhere = self._methods.unnumbered(choose.methods)
        names = [n for n in self._methods.known(choose.methods) if n not in nowhere]
        free = [n for n in names if not self._capabilities[n].mayBeSomebody]
        asking = [
            name
            for name in names
            if name not in free
            and not self._capabilities[name].certificate
            and not self._capabilities[name].local
        ]
        if free and asking:
            yield _optional(names, free[0], asking[0])
        listeners = choose.listener or [each.name for each in self._config.listen]
        if set(listeners) <= self._secured:
            return
        for name in names:
            if self._capabilities[name].protects:
                for later in names[names.index(name) + 1 :]:
                    if self._capabilities[later].credentials:
                        yield _insistent(name, later)


def _takes(checker: ICredentialsChecker, credentials: InterfaceClass) -> bool:
    """Tell whether the Portal would ask a checker about such credentials."""
    return any(map(credentials.isOrExtends, checker.credentialInterfaces))


def _example(factory: Any) -> str:
    """Return how one of a factory's checkers is written in C{[auth]}."""
    if IConfigurableCheckerFactory.providedBy(factory):
        return f'kind = "{factory.authType}"'
    argument = "users" if IFileCheckerFactory.providedBy(factory) else "…"
    return f'"{factory.authType}:{argument}"'


def _optional(names: Sequence[str], free: str, asking: str) -> str:
    """Return what an optional login means for clients, in either order."""
    if names.index(free) < names.index(asking):
        does = (
            f'"{free}" comes before "{asking}": clients that offer both are '
            "anonymous, also those that have a password"
        )
    else:
        does = (
            f'"{asking}" comes before "{free}": clients that always offer both '
            "(Java, tsocks, Dante's) have to log in, and fail without a password"
        )
    return f"{does}; two listeners, one for each, leave the choice to the client"


def _insistent(name: str, later: str) -> str:
    """
    Return what happens to clients that offer a method which they cannot use.
    """
    return (
        f'"{name}" comes before "{later}": programs on libcurl (curl, git, PHP) that '
        "have a password offer both, cannot fall back, and fail; put "
        f'"{later}" first: clients that have a ticket only do not offer it'
    )
