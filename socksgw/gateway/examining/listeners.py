"""
C{[[listen]]}: addresses, endpoints, and the files of TLS.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from twisted.internet.endpoints import serverFromString

from socksgw.accept.certificates import ServerTLS, WrongTLS
from socksgw.accept.endpoints import isSecured, isSystemd
from socksgw.accept.unixport import modeOf, ownerOf
from socksgw.config.listening import (
    UNIX,
    isRoutable,
    isScoped,
    parseListenAddress,
    parseUnixAddress,
)
from socksgw.config.schema import Config, Listen
from socksgw.gateway.examining.problems import Problems
from socksgw.route.udpoptions import wrongOptions
from socksgw.system.usage import Holding
from socksgw.wire.server import DIALECTS

__all__ = ["examineListeners", "reachable", "securedListeners", "serverTLS"]


def examineListeners(config: Config, reactor: Any, problems: Problems) -> None:
    """
    Examine every listener except its TLS settings.
    """
    if not config.listen:
        problems.wrong(
            "listen",
            "is missing: at least one [[listen]] is needed, with a name and an "
            'address, such as name = "local" and address = ["127.0.0.1:1080"]; '
            "socksgw init --built-in prints what holds without a file",
        )
    realm = config.http.realm
    if not (realm.isascii() and realm.isprintable()) or set(realm) & set('"\\'):
        problems.wrong("http.realm", 'may have printable ASCII alone, without " and \\')
    names: set[str] = set()
    for i, listen in enumerate(config.listen):
        path = f"listen[{i}]"
        if not listen.name:
            problems.wrong(f"{path}.name", "must not be empty")
        if listen.name in names:
            problems.wrong(f"{path}.name", f'"{listen.name}" names two listeners')
        names.add(listen.name)
        _where(path, listen, reactor, problems)
        for name, why in wrongOptions(listen.udp):
            problems.wrong(f"{path}.udp.{name}", why)
        _tunnels(path, listen, problems)
        if not listen.protocols:
            problems.wrong(f"{path}.protocols", "is empty: no client could be served")
        for name in ("half_open", "half_open_per_source"):
            if getattr(listen, name) < 1:
                problems.wrong(f"{path}.{name}", "must be at least 1")


def _where(path: str, listen: Listen, reactor: Any, problems: Problems) -> None:
    if bool(listen.address) == bool(listen.endpoint):
        problems.wrong(path, "needs exactly one of address and endpoint")
    for n, address in enumerate(listen.address):
        try:
            if address.startswith(UNIX):
                parseUnixAddress(address)
            else:
                literal, _ = parseListenAddress(address)
                if isScoped(literal) and not listen.device:
                    raise ValueError(
                        "a link-local address means something only at an interface: "
                        'name that as device = "NAME"'
                    )
        except ValueError as e:
            problems.wrong(f"{path}.address[{n}]", f'"{address}": {e}')
    _permissions(path, listen, problems)
    if not listen.endpoint:
        return
    if listen.endpoint.partition(":")[0].strip() == "haproxy":
        problems.wrong(
            f"{path}.endpoint",
            "the client that its PROXY headers name would not be seen by rules, limits "
            "and the journal, and anybody could send one; use address (or an endpoint "
            "without haproxy:) with proxy_protocol_from = the balancer's address",
        )
        return
    if isSystemd(listen.endpoint) and os.environ.get("LISTEN_PID") != str(os.getpid()):
        # Its sockets are known to the process alone that systemd has started.
        return
    try:
        serverFromString(reactor, listen.endpoint)
    except Exception as e:
        # A parser of endpoints raises what its plug-in raises, in Python's words.
        why = "its arguments are not those of this type"
        if isinstance(e, OSError):
            why = f"{e.filename}: {e.strerror}"
        elif str(e).startswith("Unknown endpoint type"):
            why = str(e)
        problems.wrong(
            f"{path}.endpoint",
            f'"{listen.endpoint}" is neither an address with a port nor '
            f"a Twisted server endpoint: {why}",
        )


def _tunnels(path: str, listen: Listen, problems: Problems) -> None:
    """Look for framings that no client of the listener could ask for."""
    for n, tunnel in enumerate(listen.udp.tunnels):
        by = [p for p, each in DIALECTS.items() if tunnel in each.commands.values()]
        if not set(by) & set(listen.protocols):
            problems.wrong(
                f"{path}.udp.tunnels[{n}]",
                f'"{tunnel}" is for clients of "{by[0]}", which protocols does not name',
            )


def _permissions(path: str, listen: Listen, problems: Problems) -> None:
    """Examine C{mode} and C{owner}."""
    paths = [each for each in listen.address if each.startswith(f"{UNIX}/")]
    for key, text, read in (
        ("mode", listen.mode, modeOf),
        ("owner", listen.owner, ownerOf),
    ):
        if not text:
            continue
        try:
            read(text)
        except ValueError as e:
            problems.wrong(f"{path}.{key}", f'"{text}": {e}')
        if not paths:
            problems.wrong(
                f"{path}.{key}",
                'goes with an address "unix:/path"; an abstract name has neither mode '
                "nor owner: whoever is in the gateway's network namespace may connect",
            )


def serverTLS(
    config: Config, problems: Problems, holding: Holding
) -> Iterator[tuple[str, ServerTLS]]:
    """
    Read the files of every C{[listen.tls]}.

    @param holding: shares the TLS settings of listeners whose table is the same
        as in the configuration in force.
    @return: names of listeners with their TLS settings, without those whose
        files cannot be used.
    """
    for i, listen in enumerate(config.listen):
        if listen.tls is None:
            continue
        path = f"listen[{i}].tls"
        if listen.endpoint:
            problems.wrong(
                path,
                "goes with address; an endpoint brings the transport that its "
                "string names",
            )
            continue
        make = partial(ServerTLS, listen.tls, config.directory)
        # The groups decide whether the mode of a key file is acceptable.
        trusted = config.gateway.trusted_groups
        which = ("TLS", listen.name, config.directory, listen.tls, trusted)
        try:
            tls = holding.share(which, make)
            tls.require()
        except WrongTLS as e:
            for key, why in e.wrong:
                problems.wrong(f"{path}.{key}", why)
        else:
            for key, why in tls.aged():
                problems.odd(f"{path}.{key}", why)
            yield listen.name, tls


def reachable(config: Config) -> set[str]:
    """
    Return the names of the listeners that other hosts can reach.

    What C{tproxy} diverts comes from other hosts, also to a loopback address; so do
    the clients of a balancer that sends PROXY headers.
    """
    return {
        listen.name
        for listen in config.listen
        if listen.transparent == "tproxy"
        or listen.proxy_protocol_from is not None
        or any(map(isRoutable, listen.places))
    }


def securedListeners(config: Config) -> set[str]:
    """Return the names of the listeners on which everything is inside TLS."""
    return {
        each.name
        for each in config.listen
        if each.tls is not None or (each.endpoint and isSecured(each.endpoint))
    }
