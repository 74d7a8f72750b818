"""
Run C{socksgw selftest}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from socksgw.config.schema import Config
from socksgw.console.proxyoptions import SCHEMES, Misused
from socksgw.console.selftest.places import KINDS, Place, placesOf

if TYPE_CHECKING:
    from socksgw.console.selftest.logins import Material
    from socksgw.negotiate.methods import Choice

__all__ = ["DESCRIPTION", "EPILOG", "HELP", "options", "selftestMain"]

HELP: Final = (
    "try every listener of a gateway that runs: standards, logins, connections"
)
DESCRIPTION: Final = (
    "Connect to each listener of a configuration, whose gateway runs on this host, or to "
    "one proxy. Conformance vectors, written from the RFCs, are said in each protocol, "
    "and the answers compared; then socksgw's own client logs in by each method that "
    "there is material for, connects, has the proxy listen (BIND) and relay a datagram "
    "(UDP ASSOCIATE). At last the journal is looked at for what was tried. Nothing "
    "reaches a destination but --target and this host. The proxy records it all: "
    "refusals of 192.0.2.1 and selftest.invalid, and one login that has no method."
)
EPILOG: Final = (
    "Exit status 0 if all is as it has to be (what could not be tried is a warning), 1 "
    "if something is not, 2 for wrong use or configuration, 3 if nothing accepts "
    "connections at any of the places. See socksgw help troubleshooting."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("file", nargs="?", metavar="FILE", help="the configuration")
    add("--config", metavar="FILE", help="the same as FILE")
    add(
        "--proxy",
        metavar="URL",
        help=f"instead of a configuration: {', '.join(f'{each}://' for each in SCHEMES)} "
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
        "--token-file",
        metavar="FILE",
        type=Path,
        help="a bearer token, for HTTP where a token is taken",
    )
    add(
        "--ccache",
        metavar="CACHE",
        default="",
        help="a credential cache of Kerberos, as KRB5CCNAME has it, for GSSAPI and "
        "Negotiate",
    )
    add(
        "--client-keytab",
        metavar="FILE",
        type=Path,
        help="instead of a cache: the keys of a user, who is --user, or its first",
    )
    add(
        "--service",
        metavar="NAME",
        default="",
        help="the gateway's service in Kerberos, or its host: then it is rcmd@NAME, for "
        "HTTP HTTP@NAME; default: the host of --server-name",
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
        "--identity-key",
        metavar="FILE",
        type=Path,
        help="the key of a gateway before this one (upstream.identity_key there), to say "
        "that --user, or else selftest, has logged in there",
    )
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

    from socksgw.console.configured import journalIn
    from socksgw.console.live import UNREACHED, shown
    from socksgw.console.probe import askedMain
    from socksgw.console.selftest.connecting import Means
    from socksgw.console.selftest.probes import probesOf
    from socksgw.console.selftest.reaching import notReached, unreached
    from socksgw.console.selftest.witness import Witness
    from socksgw.gateway.probing.asking import Asking
    from socksgw.system.watch import Watch

    config = _config(options)
    places = list(_places(options, config))
    target = None if options.target is None else _target(options.target)
    if not 0 < options.timeout <= 600:
        raise Misused("--timeout is more than 0, and 600 at most")
    material = _material(options, reactor)
    tried = [each for each in places if not each.skipped]
    away = unreached(tried, options.timeout)
    if tried and len(away) == len(tried):
        told = notReached(away, _START if config is None else _startOf(config))
        print(f"socksgw selftest: {shown(told)}", file=sys.stderr)
        return UNREACHED
    witness = Witness(None if config is None else journalIn(config))
    watch = Watch(reactor)
    # A protocol has some twenty exchanges, one after the other.
    asking = Asking(reactor, 20 * options.timeout)
    later = asking.reactor.callLater
    means = Means(watch, asking.aside, target, options.timeout, witness, later)

    def probes() -> Sequence[Any]:
        watch.start()
        return list(probesOf(places, away, options, material, means))

    status = askedMain("selftest", asking, probes, options.json, sys.stdout, sys.stderr)
    watch.stop()
    return status


#: What is said of a proxy of which no configuration is given.
_START: Final = "start the proxy, or correct --proxy"


def _startOf(config: Config) -> str:
    """Return how the gateway of a configuration is started."""
    return f"start the gateway: twistd -n socksgw --config {config.file}"


def _config(options: argparse.Namespace) -> Config | None:
    """
    Return the configuration that is named; L{None} where a proxy is.

    @raise Misused: neither is, or both are.
    """
    file = options.config or options.file
    if (file is None) == (options.proxy is None):
        raise Misused("name the configuration: socksgw selftest FILE; or --proxy URL")
    if file is None:
        return None
    from socksgw.config.loading import load

    return load(file)


def _places(options: argparse.Namespace, config: Config | None) -> Iterator[Place]:
    """
    Yield where to go.

    @raise Misused: C{--proxy} cannot be used.
    """
    if config is not None:
        certified = options.certificate is not None
        for place in placesOf(config, certified, *_compiled(config)):
            name, ca, inside = options.server_name, options.ca, place.inside
            if inside is not None:
                inside = inside._replace(name=name or inside.name, ca=ca or inside.ca)
            yield place._replace(
                name=name or place.name, ca=ca or place.ca, inside=inside
            )
        return
    scheme, _, rest = options.proxy.partition("://")
    if scheme not in SCHEMES or "@" in rest:
        raise Misused(
            f"--proxy is {', '.join(f'{each}://' for each in SCHEMES)} and HOST:PORT, "
            "without a user"
        )
    host, port = _hostAndPort("--proxy", rest.removesuffix("/"))
    protocol, secured = SCHEMES[scheme]
    spoken = next(word for word, kind in KINDS.items() if kind == protocol)
    yield Place(
        "--proxy", options.proxy, (host, port), (spoken,), secured,
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

    named = options.client_keytab or options.identity_key
    if options.user and options.password_file is None and named:
        # Whose key it is that is used, or of whom it is said.
        return None
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


def _material(options: argparse.Namespace, reactor: Any) -> Material:
    """
    Return what the caller has given to log in.

    @raise Misused: it cannot be used.
    """
    from socksgw.console.selftest.logins import Material, signedBy, tokenIn
    from socksgw.system.files import FileError

    key = options.identity_key
    try:
        token = options.token_file and tokenIn(options.token_file)
        signed = key and signedBy(key, options.user or "selftest")
    except FileError as e:
        raise Misused(str(e)) from None
    return Material(
        _user(options),
        token,
        _tickets(options, reactor),
        options.certificate is not None,
        signed,
    )


def _tickets(
    options: argparse.Namespace, reactor: Any
) -> Callable[[str, str], Any] | None:
    """
    Return what makes a login by tickets; L{None} where there are none.

    @raise Misused: they cannot be used.
    """
    keytab = options.client_keytab
    if keytab is None and not options.ccache:
        return None
    from socksgw.client.logins.gssapi import GssapiLogin
    from socksgw.client.logins.negotiate import NegotiateLogin
    from socksgw.system.files import FileError

    try:
        from socksgw.client.logins.kerberos import Kerberos
    except (ImportError, OSError) as e:
        raise Misused(
            f"tickets need the Kerberos library ({e}): pip install 'socksgw[gssapi]'"
        ) from None
    try:
        user = options.user if keytab is not None else ""
        tickets = Kerberos(reactor, user, keytab, options.ccache)
    except (FileError, OSError) as e:
        raise Misused(f"--client-keytab: {e}") from None

    def login(method: str, host: str) -> Any:
        name = options.service or host
        if "@" not in name:
            name = f"{'HTTP' if method == 'negotiate' else 'rcmd'}@{name}"
        kind = NegotiateLogin if method == "negotiate" else GssapiLogin
        return kind(tickets, name)

    return login


def _compiled(
    config: Config,
) -> tuple[Callable[[str, Any], bool], Sequence[Choice[str]]]:
    """
    Return what the gateway does with clients by their addresses.

    @return: what tells of a listener's name and an address whether PROXY headers from
        there are believed; each C{[[auth.choose]]}, with the names of its methods.
    """
    from socksgw.gateway.host import HostAddresses
    from socksgw.negotiate.methods import Choice
    from socksgw.policy.document import Compiler

    compiler = Compiler(config, HostAddresses.of(config))
    compiler.compile()

    def believes(name: str, source: Any) -> bool:
        (listen,) = (each for each in config.listen if each.name == name)
        found = compiler.addresses(listen.proxy_protocol_from, name)
        return found is not None and found.covers(source)

    choices = []
    for i, choose in enumerate(config.auth.choose):
        path = f"auth.choose[{i}]"
        sources = compiler.addresses(choose.from_, f"{path}.from")
        listeners = compiler.listeners(choose.listener, f"{path}.listener")
        covers = None if sources is None else sources.covers
        choices.append(Choice(choose.methods, listeners, covers))
    return believes, choices
