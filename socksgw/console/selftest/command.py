"""
Run C{socksgw selftest}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from socksgw.config.schema import Config
from socksgw.console.proxyoptions import Misused
from socksgw.console.selftest.places import KINDS, Place, placesOf

__all__ = ["DESCRIPTION", "EPILOG", "HELP", "options", "selftestMain"]

HELP: Final = (
    "try every listener of a gateway that runs: standards, logins, connections"
)
DESCRIPTION: Final = (
    "Connect to each listener of a configuration, whose gateway runs on this host, or to "
    "one proxy. Conformance vectors, written from the RFCs, are said in each protocol, "
    "and the answers compared; then a connection is made by socksgw's own client. "
    "Nothing reaches a destination but --target. The proxy records what is tried: "
    "refusals of 192.0.2.1 and selftest.invalid, and one login that has no method."
)
EPILOG: Final = (
    "Exit status 0 if all is as it has to be (what could not be tried is a warning), 1 "
    "if something is not, 2 for wrong use or configuration. See socksgw help "
    "troubleshooting."
)
#: What each scheme of --proxy speaks, and whether TLS is below it.
_SCHEMES: Final = {
    "socks5": ("socks5", False),
    "socks5+tls": ("socks5", True),
    "socks4a": ("socks4", False),
    "socks4a+tls": ("socks4", True),
    "socks6": ("socks6", False),
    "socks6+tls": ("socks6", True),
    "http": ("http", False),
    "https": ("http", True),
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("file", nargs="?", metavar="FILE", help="the configuration")
    add("--config", metavar="FILE", help="the same as FILE")
    add(
        "--proxy",
        metavar="URL",
        help=f"instead of a configuration: {', '.join(f'{each}://' for each in _SCHEMES)} "
        "and HOST:PORT",
    )
    add(
        "--user", metavar="USER", default="", help="who logs in where a login is wanted"
    )
    add(
        "--password-file",
        metavar="FILE",
        type=Path,
        help="the user's password is its first line; nobody else may read it",
    )
    add(
        "--ca",
        metavar="FILE",
        type=Path,
        help="who signs the certificates of listeners; default: the system's authorities, "
        "or the certificate itself where it has signed itself",
    )
    add(
        "--server-name",
        metavar="NAME",
        help="the name in the proxy's certificate; default: the first one of the "
        "configured certificate, or the host",
    )
    add("--certificate", metavar="FILE", type=Path, help="a client certificate, in PEM")
    add("--key", metavar="FILE", type=Path, help="its key; default: in the same file")
    add(
        "--target",
        metavar="HOST:PORT",
        help="where connections lead, which a rule has to allow; default: a port of this "
        "host, which most policies refuse",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=20.0,
        help="for each exchange; default: 20",
    )
    add("--json", action="store_true", help="print the answers as JSON")


def selftestMain(options: argparse.Namespace) -> int:
    """Run the command, and return its exit status."""
    try:
        return _run(options)
    except Misused as e:
        print(f"socksgw selftest: {e}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    """
    Try everything.

    @raise Misused: an option cannot be used.
    """
    from twisted.internet import reactor

    from socksgw.console.probe import askedMain
    from socksgw.gateway.probing.asking import Asking
    from socksgw.system.watch import Watch

    places = list(_places(options))
    target = None if options.target is None else _target(options.target)
    user = _user(options)
    if not 0 < options.timeout <= 600:
        raise Misused("--timeout is more than 0, and 600 at most")
    watch = Watch(reactor)
    # A protocol has some twenty exchanges, one after the other.
    asking = Asking(reactor, 20 * options.timeout)

    def probes() -> Sequence[Any]:
        watch.start()
        return list(_probes(places, options, user, target, asking, watch))

    status = askedMain("selftest", asking, probes, options.json, sys.stdout, sys.stderr)
    watch.stop()
    return status


def _places(options: argparse.Namespace) -> Iterator[Place]:
    """
    Yield where to go.

    @raise Misused: neither a proxy nor a configuration is named, or both are.
    """
    file = options.config or options.file
    if (file is None) == (options.proxy is None):
        raise Misused("name the configuration: socksgw selftest FILE; or --proxy URL")
    if file is not None:
        from socksgw.config.loading import load

        config: Config = load(file)
        for place in placesOf(config, options.certificate is not None):
            yield place._replace(
                name=options.server_name or place.name, ca=options.ca or place.ca
            )
        return
    scheme, _, rest = options.proxy.partition("://")
    if scheme not in _SCHEMES or "@" in rest:
        raise Misused(
            f"--proxy is {', '.join(f'{each}://' for each in _SCHEMES)} and HOST:PORT, "
            "without a user"
        )
    host, port = _hostAndPort("--proxy", rest.removesuffix("/"))
    protocol, secured = _SCHEMES[scheme]
    yield Place(
        "--proxy", options.proxy, (host, port), (protocol,), secured,
        options.server_name or host, options.ca,
    )  # fmt: skip


def _hostAndPort(option: str, text: str) -> tuple[str, int]:
    """
    Return what C{"HOST:PORT"} says.

    @raise Misused: it is none.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.path:
        raise Misused(f"{option} ends with HOST:PORT, an IPv6 address in brackets")
    return host, port


def _target(text: str) -> tuple[Any, int]:
    """
    Return the destination of connections.

    @raise Misused: it is none.
    """
    from socksgw.client.endpoint import destination

    host, port = _hostAndPort("--target", text)
    try:
        return destination(host), port
    except ValueError as e:
        raise Misused(f"--target: {e}") from None


def _user(options: argparse.Namespace) -> tuple[str, str] | None:
    """
    Return the name and password of the user.

    @raise Misused: one is there without the other, or the file cannot be used.
    """
    from socksgw.system.files import FileError
    from socksgw.system.secretfile import SecretFile

    if bool(options.user) != (options.password_file is not None):
        raise Misused("--user and --password-file go together")
    if not options.user:
        return None
    try:
        password = SecretFile(options.password_file).read().decode()
    except (FileError, UnicodeDecodeError) as e:
        raise Misused(str(e)) from None
    if not 0 < len(options.user.encode()) < 256 or len(password.encode()) > 255:
        raise Misused("SOCKS 5 has users and passwords of 255 octets at most")
    return options.user, password


def _probes(
    places: Sequence[Place],
    options: argparse.Namespace,
    user: tuple[str, str] | None,
    target: Any,
    asking: Any,
    watch: Any,
) -> Iterator[Any]:
    """
    Yield what is tried at each place, in each protocol.

    @raise Misused: a file of TLS cannot be used.
    """
    from socksgw.client.logins.password import PasswordLogin
    from socksgw.console.selftest.connecting import Means, connects
    from socksgw.console.selftest.speaking import Access, Speaker, tlsFor
    from socksgw.console.selftest.vectors import VECTORS
    from socksgw.gateway.probing.asking import Probe
    from socksgw.interfaces import Answer
    from socksgw.system.tlsclient import ClientTLS

    login = None if user is None else PasswordLogin(*user)
    means = Means(
        watch, asking.aside, login, user[0] if user else "", target, options.timeout
    )
    for place in places:
        if place.skipped:

            async def told(place: Place = place) -> list[Answer]:
                return [Answer(place.shown, place.skipped, "warning", place.remedy)]

            yield Probe(place.path, place.shown, told)
            continue
        context = client = None
        if place.secured:
            try:
                context = tlsFor(place.ca, options.certificate, options.key)
                client = ClientTLS(
                    place.name, place.ca, options.certificate, options.key
                )
            except (OSError, ValueError) as e:
                raise Misused(f"--ca, --certificate or --key: {e}") from None
        for protocol in place.protocols:
            vectors = [each for each in VECTORS if each.protocol == protocol]
            access = Access(place.where, context, place.name, user)

            def said(access: Access = access, vectors: Any = vectors) -> list[Answer]:
                return Speaker(access, options.timeout).all(vectors)

            async def vectored(said: Any = said) -> list[Answer]:
                found: list[Answer] = await asking.aside(said)
                return found

            if vectors:
                yield Probe(place.path, f"{place.shown} {protocol}", vectored)
            if protocol in KINDS:
                connect = partial(connects, place, protocol, client, means)

                async def connected(connect: Any = connect) -> list[Answer]:
                    return [await connect()]

                yield Probe(place.path, f"{place.shown} {protocol}", connected)
