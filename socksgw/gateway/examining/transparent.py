"""
C{transparent} of a listener: what goes with it, who gets in, which rules can match.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from socksgw.config.listening import UNIX, parseListenAddress
from socksgw.config.schema import Config, Listen, ListenUDP, Rule
from socksgw.gateway.examining.problems import Problems
from socksgw.negotiate.methods import Choice, OfferedMethod
from socksgw.policy.rules import Rule as Compiled
from socksgw.wire.codes import Method

__all__ = ["examineReach", "examineTransparent"]

_USUAL: Final = Listen(name="")
_NO_UDP: Final = {
    "redirect": "has no effect: of a datagram that a redirect rule changed, the kernel "
    'tells no program where it was going; UDP needs transparent = "tproxy"',
    "tproxy": "has no effect: datagrams that are diverted come to the address and port "
    "of the listener, and are answered from where they were sent to; remove the table",
}


def examineTransparent(
    config: Config, choices: Sequence[Choice[OfferedMethod]], problems: Problems
) -> None:
    """
    Examine every transparent listener, and who can get in there.

    @param choices: the methods of each C{[[auth.choose]]}.
    """
    for i, listen in enumerate(config.listen):
        if listen.transparent is None:
            continue
        path = f"listen[{i}]"
        for key, why in _beside(config, path, listen):
            problems.wrong(f"{path}.{key}", why)
        for n, text in enumerate(listen.address):
            for severe, why in _where(listen, text):
                (problems.wrong if severe else problems.odd)(
                    f"{path}.address[{n}]", why
                )
        _logins(config, listen, path, choices, problems)


def _beside(config: Config, path: str, listen: Listen) -> Iterator[tuple[str, str]]:
    """
    Yield the keys that do not go with C{transparent}.

    @return: keys of the listener, each with the reason and the remedy.
    """
    if listen.endpoint:
        yield "endpoint", "does not go with transparent: use address"
    written = config.positions.get("")
    if listen.protocols != _USUAL.protocols or (
        written is not None and f"{path}.protocols" in written
    ):
        yield (
            "protocols",
            "does not go with transparent: clients here speak to their destinations; "
            "remove it, or make a listener of its own for them",
        )
    if listen.tls is not None:
        yield (
            "tls",
            "does not go with transparent: TLS that clients begin here is between them "
            "and their destination; remove it",
        )
    if listen.proxy_protocol_from is not None:
        yield (
            "proxy_protocol_from",
            "does not go with transparent: a connection that was diverted has no header; "
            "remove it, or make a listener of its own for the balancers",
        )
    if listen.udp != ListenUDP():
        yield "udp", _NO_UDP[listen.transparent or ""]


def _where(listen: Listen, text: str) -> Iterator[tuple[bool, str]]:
    """
    Yield what is wrong with an address of a transparent listener.

    @return: whether it is an error, and the text.
    """
    try:
        address, port = parseListenAddress(text)
    except ValueError:
        if text.startswith(UNIX):
            yield True, f'"{text}": the kernel diverts to addresses with ports alone'
        # Else it is reported already.
        return
    if not port:
        yield True, f'"{text}": the kernel\'s rule has to name the port; choose one'
    if listen.transparent == "tproxy" and not address.isLoopback:
        loopback = "127.0.0.1" if address.version == 4 else "[::1]"
        yield (
            False,
            f'"{text}" can be connected to directly, which is refused one by one; '
            f"listen on {loopback}, which a tproxy rule reaches and other hosts cannot",
        )


def _logins(
    config: Config,
    listen: Listen,
    path: str,
    choices: Sequence[Choice[OfferedMethod]],
    problems: Problems,
) -> None:
    """Report that nobody can get in, or methods that can serve nobody there."""
    served = False
    for i, (choose, choice) in enumerate(zip(config.auth.choose, choices, strict=True)):
        if not choice.isFor(listen.name):
            continue
        idle = []
        for method in choice.methods:
            wordless = Method.NO_AUTHENTICATION in method.codes
            if wordless and not method.capabilities.certificate:
                served = True
            else:
                idle.append(f'"{method.name}"')
        if idle and choose.listener is not None:
            problems.odd(
                f"auth.choose[{i}].methods",
                f'{", ".join(idle)} can serve nobody on "{listen.name}", which is '
                'transparent: its clients cannot log in; "none" lets in by source',
            )
    if not served:
        problems.wrong(
            f"{path}.transparent",
            "nobody can get in: clients here cannot log in, and no [[auth.choose]] for "
            f'"{listen.name}" offers "none"; add one with listener, from (the sources '
            'that may) and methods = ["none"]',
        )


def examineReach(config: Config, rules: Sequence[Compiled], problems: Problems) -> None:
    """
    Report the rules that cannot match clients of transparent listeners.

    These name addresses, and no names, and have no users.

    @param rules: the compiled ones, in the order of the configuration.
    """
    transparent = {each.name for each in config.listen if each.transparent is not None}
    if not transparent:
        return
    byName: list[tuple[Rule, Compiled]] = []
    for i, (rule, compiled) in enumerate(zip(config.rule, rules, strict=True)):
        path = rule.place or f"rule[{i}]"
        only = compiled.listeners is not None and compiled.listeners <= transparent
        if only and compiled.who is not None and not compiled.who.anonymous:
            problems.odd(
                f"{path}.who",
                "can never match: the rule's listeners are transparent, where nobody "
                'logs in; use from, and "anonymous" or no who',
            )
        to = compiled.to
        if (to is not None and to.names is not None) or (
            compiled.askedBy is not None and "address" not in compiled.askedBy
        ):
            byName.append((rule, compiled))
    for i, listen in enumerate(config.listen):
        theirs = [
            f'"{rule.id}"' + ("" if compiled.allow else " (deny)")
            for rule, compiled in byName
            if compiled.listeners is None or listen.name in compiled.listeners
        ]
        if listen.name in transparent and theirs:
            problems.odd(
                f"listen[{i}].transparent",
                f"clients here give addresses and no names, so the names in {_shown(theirs)}"
                " match none of them, neither to allow nor to deny; use networks",
            )


def _shown(words: Sequence[str]) -> str:
    most = 8
    more = len(words) - most
    rules = "rule " if len(words) == 1 else "rules "
    return rules + ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")
