"""
Where C{socksgw selftest} goes: each listener of a configuration, or one proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509

from socksgw.config.listening import UNIX, parseListenAddress, parseUnixAddress
from socksgw.config.schema import Config, Listen
from socksgw.errors import ConnectFailed
from socksgw.negotiate.methods import Choice, firstFor
from socksgw.route.probe import localTowards
from socksgw.wire.address import Address

__all__ = ["KINDS", "SILENT", "Inside", "Place", "placesOf"]

#: What our own client calls the protocols of listeners.
KINDS: Final = {
    "socks5": "socks5",
    "socks4": "socks4a",
    "http": "http",
    "socks6": "socks6",
}
#: Methods of which a client says nothing: the gateway asks somebody else.
SILENT: Final = ("none", "peer")
#: What a rule for any command allows, of what is tried.
_COMMANDS: Final = ("connect", "bind", "udp")
_LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}


class Inside(NamedTuple):
    """
    TLS inside SOCKS (C{[auth.tls]}).

    @ivar name: whose certificate it has.
    @ivar ca: as of L{Place}.
    @ivar methods: of the login inside.
    """

    name: str
    ca: Path | None
    methods: Sequence[str]


class Place(NamedTuple):
    """
    One address of one listener.

    @ivar path: what names it: a TOML path, or an URL.
    @ivar shown: the address, for people.
    @ivar where: host and port, or the path of a Unix socket.
    @ivar protocols: what may be spoken there, by the words of C{listen.protocols}.
    @ivar secured: whether TLS is below that.
    @ivar name: whose certificate it has.
    @ivar ca: who has signed that, where it is known; L{None}: the system's authorities.
    @ivar methods: those that some clients of the listener may log in by; L{None} where
        that is not known.
    @ivar commands: those that some rule allows; L{None} where that is not known.
    @ivar inside: TLS inside SOCKS; L{None} for none.
    @ivar grouped: whether it serves multicast groups.
    @ivar headed: whether a connection begins with a PROXY header.
    @ivar loginless: whether this host may come in without a word of login, by itself or
        by its certificate; true where that is not known.
    @ivar skipped: why nothing is tried there; empty where it is.
    @ivar remedy: what helps then.
    """

    path: str
    shown: str
    where: tuple[str, int] | str
    protocols: Sequence[str]
    secured: bool = False
    name: str = ""
    ca: Path | None = None
    methods: Sequence[str] | None = None
    commands: frozenset[str] | None = None
    inside: Inside | None = None
    grouped: bool = False
    headed: bool = False
    loginless: bool = True
    skipped: str = ""
    remedy: str = ""


def placesOf(
    config: Config,
    certified: bool,
    sends: Callable[[str, Address], bool],
    choices: Sequence[Choice[str]],
) -> Iterator[Place]:
    """
    Yield every place where a gateway listens.

    @param certified: whether there is a certificate to show.
    @param sends: whether a listener believes PROXY headers from an address.
    @param choices: each C{[[auth.choose]]} of the configuration, with the names of its
        methods.
    """
    commands = frozenset(
        command
        for rule in config.rule
        if not rule.report_only
        for command in (_COMMANDS if rule.allow == "any" else rule.allow or ())
    )
    for i, listen in enumerate(config.listen):
        skipped, remedy = _skipped(listen, certified)
        methods = _methods(config, choices, listen)
        headed = listen.proxy_protocol_from is not None
        if listen.endpoint:
            yield Place(
                f"listen[{i}].endpoint", listen.endpoint, "", (),
                skipped="not tried: where an endpoint string leads is not known",
                remedy="name it by --proxy",
            )  # fmt: skip
        for n, text in enumerate(listen.address):
            path = f"listen[{i}].address[{n}]"
            where = _where(text)
            if where is None:
                skipped = skipped or "not tried: it listens on any port"
            own = _own(where)
            if headed and not skipped and not sends(listen.name, own):
                skipped = (
                    "not tried: it reads PROXY headers, and this host is none of "
                    "proxy_protocol_from"
                )
                remedy = "name the balancer by --proxy"
            host = where[0] if isinstance(where, tuple) else ""
            name, ca = "", None
            if listen.tls is not None:
                name, ca = _certificate(config, listen.tls.certificate)
            yield Place(
                path, text, where or "", listen.protocols, listen.tls is not None,
                name or host, ca, methods, commands, _inside(config, host),
                bool(listen.multicast.interface), headed,
                _loginless(choices, listen, own, certified), skipped, remedy,
            )  # fmt: skip


def _where(text: str) -> tuple[str, int] | str | None:
    """Return where an address is reached from here; L{None} where it has no port."""
    if text.startswith(UNIX):
        path = parseUnixAddress(text)
        return f"\0{path[1:]}" if path.startswith("@") else path
    address, port = parseListenAddress(text)
    if not port:
        return None
    host = _LOOPBACK[address.version] if address.isUnspecified else address.text
    return host, port


def _skipped(listen: Listen, certified: bool) -> tuple[str, str]:
    """Return why nothing is tried at a listener, and what helps; empty where it is."""
    if listen.transparent is not None:
        return "not tried: it serves diverted clients alone", "try it from one of them"
    if listen.netns:
        return (
            f"not tried: it is in the network namespace {listen.netns}",
            "run this there, with --proxy",
        )
    tls = listen.tls
    if tls is not None and tls.client_certificate == "required" and not certified:
        return "not tried: it wants a client certificate", "--certificate and --key"
    return "", ""


def _methods(
    config: Config, choices: Sequence[Choice[str]], listen: Listen
) -> tuple[str, ...]:
    """Return the methods that some clients of a listener are offered."""
    found: dict[str, None] = {}
    for choose, choice in zip(config.auth.choose, choices, strict=True):
        if choice.isFor(listen.name):
            found.update(dict.fromkeys(choice.methods))
            if choose.from_ is None:
                break
    return tuple(found)


def _own(where: tuple[str, int] | str | None) -> Address:
    """Return the address by which this host comes to a place."""
    try:
        return localTowards(Address.parse(where[0] if isinstance(where, tuple) else ""))
    except (ConnectFailed, ValueError):
        # A Unix socket counts as loopback.
        return Address.parse(_LOOPBACK[4])


def _loginless(
    choices: Sequence[Choice[str]], listen: Listen, own: Address, certified: bool
) -> bool:
    """Return whether one of the methods offered to this host takes no word of it."""
    found = firstFor(choices, listen.name, own)
    return found is not None and any(
        each in SILENT or (certified and each == "certificate")
        for each in found[1].methods
    )


def _inside(config: Config, host: str) -> Inside | None:
    """Return what C{[auth.tls]} says; L{None} where it is not there."""
    said = config.auth.settings.get("tls")
    if said is None:
        return None
    name, ca = _certificate(config, str(said.get("certificate", "")))
    return Inside(name or host, ca, tuple(said.get("methods", ("userpass",))))


def _certificate(config: Config, path: str) -> tuple[str, Path | None]:
    """
    Return the first name in a certificate of the gateway's, and who has signed it.

    @return: the file itself where it has signed itself; empty and L{None} where nothing
        is known.
    """
    file = config.directory / path
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())[0]
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        dns = names.value.get_values_for_type(x509.DNSName)
        own = file if found.issuer == found.subject else None
        return (dns[0] if dns else ""), own
    except (OSError, ValueError, IndexError, x509.ExtensionNotFound):
        return "", None
