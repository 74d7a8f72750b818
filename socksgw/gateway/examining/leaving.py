"""
What sessions leave by: C{leave_by}, C{device}, C{mark} and C{proxy_header}.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from socksgw.config.listening import UNIX, parseListenAddress
from socksgw.config.schema import Config, Listen, Rule
from socksgw.errors import SocksError
from socksgw.gateway.examining.addresses import LeavesBy, oddities, unusable
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.links import Link
from socksgw.policy.networks import Network
from socksgw.system.domains import HERE
from socksgw.system.outgoing import Marked
from socksgw.wire.address import Address

__all__ = ["examineLeaving"]

_SAME: Final = "same"
_MOST_MARK: Final = 0xFFFFFFFF
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,14}", re.ASCII)


class _Said(NamedTuple):
    """
    What a listener or a rule says.

    @ivar path: its TOML path.
    @ivar own: what it says itself of addresses.
    @ivar device: the device that holds there, its own or the listener's.
    @ivar mark: the mark.
    @ivar here: whether it leaves by this network namespace.
    """

    path: str
    own: Sequence[str] | None
    device: str
    mark: int | None
    here: bool


def examineLeaving(
    config: Config, links: Sequence[Link], leavesBy: LeavesBy, problems: Problems
) -> None:
    """
    Examine what listeners and rules say of how sessions leave.

    @param links: the addresses of this host's own interfaces.
    @param leavesBy: asks the kernel.
    """
    for i, listen in enumerate(config.listen):
        said = _Said(
            f"listen[{i}]", _words(listen.leave_by), listen.device, listen.mark,
            not listen.netns,
        )  # fmt: skip
        _examine(said, links, leavesBy, problems)
        if _SAME in (said.own or ()):
            for why, wrong in _sameAt(listen):
                (problems.wrong if wrong else problems.odd)(
                    f"{said.path}.leave_by", why
                )
    by = {listen.name: listen for listen in config.listen}
    for i, rule in enumerate(config.rule):
        if not (
            rule.device
            or rule.leave_by is not None
            or rule.mark is not None
            or rule.proxy_header is not None
        ):
            continue
        path = rule.place or f"rule[{i}]"
        theirs = [
            by[name] for name in (by if rule.listener is None else rule.listener)
            if name in by
        ]  # fmt: skip
        here = not theirs or any(not each.netns for each in theirs)
        devices = {each.device for each in theirs}
        device = rule.device or (devices.pop() if len(devices) == 1 else "")
        own = _words(rule.leave_by)
        _examine(_Said(path, own, device, rule.mark, here), links, leavesBy, problems)
        _device(path, rule, here, problems)
        for key, why in _withoutEffect(rule):
            problems.wrong(f"{path}.{key}", why)
        if own is not None:
            _families(path, rule, own, problems)
            _several(f"{path}.leave_by", own, theirs, problems)


def _words(words: Sequence[str] | str | None) -> Sequence[str] | None:
    return (words,) if isinstance(words, str) else words


# Addresses.


def _examine(
    said: _Said, links: Sequence[Link], leavesBy: LeavesBy, problems: Problems
) -> None:
    if said.mark is not None:
        _mark(said, problems)
    if said.own is None:
        return
    path = f"{said.path}.leave_by"
    if not said.own:
        problems.wrong(path, 'names no address; remove it, or say "same"')
    if _SAME in said.own and len(said.own) > 1:
        problems.wrong(path, f'"{_SAME}" stands alone: the addresses, or "{_SAME}"')
    for n, word in enumerate(said.own):
        if word == _SAME:
            continue
        where = f"{path}[{n}]"
        try:
            address = Address.parse(word)
        except ValueError as e:
            problems.wrong(
                where,
                f'"{word}": {e}; say an address of this host, without port or prefix',
            )
            continue
        if word in said.own[:n]:
            problems.odd(where, f'"{word}" stands there twice')
        elif why := unusable(address):
            problems.wrong(where, f'"{word}" {why}')
        elif said.here:
            for why in oddities(
                address, said.device, said.mark is not None, links, leavesBy
            ):
                problems.odd(where, why)


def _sameAt(listen: Listen) -> Iterator[tuple[str, bool]]:
    """Yield why C{"same"} cannot be at a listener; and whether that is an error."""
    if listen.transparent == "tproxy":
        yield (
            '"same" does not go with tproxy: diverted clients come to the address of '
            "their destination, which is not ours; name addresses",
            True,
        )
    places = [each for each in listen.address if not each.startswith(UNIX)]
    addresses = []
    for text in places:
        with suppress(ValueError):
            addresses.append(parseListenAddress(text)[0])
    if not listen.endpoint and all(each.isLoopback for each in addresses):
        yield (
            '"same" has no effect: clients come here to loopback or to a Unix socket, '
            "and by that nothing can leave this host; name addresses",
            False,
        )


def _families(path: str, rule: Rule, own: Sequence[str], problems: Problems) -> None:
    """Report destinations of a version of IP that has no address to leave by."""
    if _SAME in own or not rule.to:
        return
    wanted, served = set(), set()
    for word in rule.to:
        try:
            wanted.add(Network.parse(word).version)
        except ValueError:
            # A name, or a word for several networks: either version, maybe.
            return
    for word in own:
        with suppress(ValueError):
            served.add(Address.parse(word).version)
    if served and (missing := sorted(wanted - served)):
        kinds = " and ".join(f"IPv{version}" for version in missing)
        text = f"has no {kinds} address, and destinations of the rule are {kinds}"
        if wanted & served:
            problems.odd(f"{path}.leave_by", f"{text}: those are refused; add one")
        else:
            problems.wrong(f"{path}.leave_by", f"{text} alone; add one")


def _several(
    path: str, own: Sequence[str], listens: Sequence[Listen], problems: Problems
) -> None:
    """Report addresses that cannot be right for each listener of a rule."""
    if _SAME in own:
        diverted = [each.name for each in listens if each.transparent == "tproxy"]
        if diverted:
            problems.odd(
                path,
                f'"same" fails for clients of "{diverted[0]}": with tproxy they come to '
                "the address of their destination; name addresses, or name the other "
                "listeners in the rule",
            )
        return
    domains = {each.domain: each.name for each in listens}
    if len(domains) > 1:
        names = ", ".join(f'"{name}"' for name in sorted(domains.values()))
        problems.odd(
            path,
            f"the rule is for listeners in several networks ({names}), and an address is "
            "in one of them: name the listeners in the rule",
        )


# What else chooses.


def _mark(said: _Said, problems: Problems) -> None:
    path, mark = f"{said.path}.mark", said.mark
    assert mark is not None
    if not 0 <= mark <= _MOST_MARK:
        problems.wrong(path, "must be from 0 to 4294967295")
        return
    try:
        Marked(HERE, mark=mark).open(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError:
        # No descriptor, say: that has nothing to do with marks.
        return
    except SocksError:
        problems.odd(
            path,
            "this user may not set marks: what has to leave with one fails (leave-by); "
            "the gateway needs CAP_NET_ADMIN, or CAP_NET_RAW since Linux 5.17 "
            "(AmbientCapabilities= of its unit)",
        )


def _device(path: str, rule: Rule, here: bool, problems: Problems) -> None:
    if not rule.device:
        return
    if not _NAME.fullmatch(rule.device):
        problems.wrong(f"{path}.device", f'"{rule.device}" is no name of a device')
        return
    if not here:
        return
    try:
        # Sandboxes that deny netlink allow this, unlike the list of all.
        socket.if_nametoindex(rule.device)
    except OSError:
        problems.odd(
            f"{path}.device",
            f'there is no "{rule.device}" on this machine now: what the rule allows '
            "fails (network-lost) until there is",
        )


def _withoutEffect(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield the keys of a rule that have no effect, each with the reason."""
    words = rule.allow if rule.allow is not None else ()
    commands = {"connect", "bind", "udp"} if words == "any" else set(words)
    leaving = commands & {"connect", "bind", "udp"}
    for key in ("leave_by", "device", "mark"):
        if getattr(rule, key) not in (None, "") and not leaving:
            yield (
                key,
                "has no effect: the rule allows nothing"
                if rule.allow is None
                else "has no effect: it is for connect, bind and udp",
            )
    if rule.proxy_header is not None and "connect" not in commands:
        yield "proxy_header", "has no effect: it is for connect, which is not allowed"
