"""
Print what people see in the foreground: the banner, then a line per decision.

The banner says where the gateway listens, whom it serves, what it denies, and what
to try.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final, TextIO, final

from socksgw.config.listening import UNIX
from socksgw.config.schema import Choose, Config
from socksgw.console.follow import ConsoleFollower
from socksgw.negotiate.methods import Choice, OfferedMethod
from socksgw.system.output import coloured, widthOf
from socksgw.wire.codes import Method

if TYPE_CHECKING:
    from socksgw.gateway.gateway import Gateway

__all__ = ["Console", "banner", "placesOf"]

#: How curl calls the protocols.
_SCHEMES: Final = {"socks5": "socks5h", "http": "http", "socks4": "socks4a"}
#: Columns before a row's text.
_MARGIN: Final = 14
#: Rows that may be wrapped. The others are addresses and commands, to be copied.
_PROSE: Final = ("serves", "denies", "end")


def banner(gateway: Gateway, colour: bool = False, width: int = 0) -> str:
    """
    Return the text that is printed at the start.

    @param colour: whether to use escape sequences.
    @param width: columns of the terminal; 0 for no limit.
    """
    config = gateway.config
    bold, plain = ("\x1b[1m", "\x1b[0m") if colour else ("", "")
    rows = [
        ("listens on", ", ".join(placesOf(gateway)) or "nothing"),
        *(("serves", line) for line in _served(gateway)),
        *(("denies", line) for line in _denied(config)),
        *(("workers", line) for line in _workers(gateway)),
        ("journal", str(gateway.journal.directory)),
        ("try", _trial(gateway)),
        ("next", _next(config)),
        ("end", "^C: no new clients, sessions may end; ^C again ends them at once"),
    ]
    lines = [f'{bold}socksgw "{config.gateway.name}" is ready{plain}']
    last = ""
    for title, text in rows:
        parts = _wrapped(text, width - _MARGIN) if title in _PROSE else [text]
        for part in parts:
            lines.append(f"  {bold}{'' if title == last else title:<11}{plain} {part}")
            last = title
    return "\n".join(lines) + "\n"


def _wrapped(text: str, width: int) -> list[str]:
    """Split a text into lines, unless they would be too short to read."""
    if width < _MARGIN:
        return [text]
    return wrap(text, width, break_long_words=False, break_on_hyphens=False)


def placesOf(gateway: Gateway) -> Iterator[str]:
    """Yield where a gateway listens."""
    for host, port, domain in gateway.placed():
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        yield f"{place} in {domain}" if domain.name else place
    for listen in gateway.config.listen:
        yield from (each for each in listen.places if each.startswith(UNIX))


def _workers(gateway: Gateway) -> Iterator[str]:
    count = gateway.role.count
    if count > 1:
        auto = ", one for each core" if gateway.config.gateway.workers == "auto" else ""
        yield f"{count} processes serve clients{auto}; this one holds and watches"


def _served(gateway: Gateway) -> Iterator[str]:
    choices = gateway.generation.methods.choices
    for choose, choice in zip(gateway.config.auth.choose, choices, strict=True):
        yield f"{_sources(choose)}: {_methods(choice)}"
    if not choices:
        yield "nobody: there is no [[auth.choose]]"


def _sources(choose: Choose) -> str:
    sources = ", ".join(choose.from_) if choose.from_ is not None else "every source"
    if set(choose.from_ or ()) == {"127.0.0.0/8", "::1"}:
        sources = "clients of this machine"
    if choose.listener is not None:
        sources += " on " + ", ".join(choose.listener)
    return sources


def _methods(choice: Choice[OfferedMethod]) -> str:
    words = [m.capabilities.serves or m.name for m in choice.methods]
    return " or ".join(words) or "no method"


def _denied(config: Config) -> Iterator[str]:
    if config.never.to == ():
        yield "nothing before the rules: [never] is switched off"
    else:
        names = config.never.to or ("special", "self")
        lifted = f" (except {', '.join(config.never.except_)})"
        yield (
            ", ".join((*names, *config.never.also))
            + (lifted if config.never.except_ else "")
            + " before every rule"
        )
    for rule in config.rule:
        if rule.deny is not None:
            yield f'{", ".join(rule.to or ("every address",))} by rule "{rule.id}"'
    yield "whatever no rule allows"


def _trial(gateway: Gateway) -> str:
    place = next(placesOf(gateway), "127.0.0.1:1080").partition(" in ")[0]
    place = place.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    if place.startswith(f"{UNIX}/"):
        # As curl writes it.
        place = "localhost" + place.removeprefix(UNIX).partition(":")[0]
    listens = gateway.config.listen
    if listens and listens[0].transparent is not None:
        config = gateway.config.file
        return f"socksgw client-config nftables --config {config}"
    if listens and listens[0].tls is not None:
        return f"openssl s_client -connect {place}"
    # curl offers user and password beside no authentication.
    codes = [
        code
        for choice in gateway.generation.methods.choices[:1]
        for method in choice.methods
        for code in method.codes
    ]
    login = Method.USERNAME_PASSWORD in codes
    wanted = login and Method.NO_AUTHENTICATION not in codes
    protocols = listens[0].protocols if listens else ("socks5",)
    for each, curls in _SCHEMES.items():
        if each in protocols:
            user = "-U USER " if wanted else ""
            return f"curl {user}-x {curls}://{place} https://example.com"
    user = " --user USER" if wanted else ""
    return f"socksgw connect example.com 443 --proxy {protocols[0]}://{place}{user}"


def _next(config: Config) -> str:
    if config.file:
        return f"socksgw audit follow --config {config.file}"
    return (
        "copy etc/socksgw.toml, make it yours, socksgw check FILE, "
        "then twistd -n socksgw --config FILE"
    )


@final
class Console:
    """
    The foreground of a gateway that runs in a terminal.
    """

    def __init__(self, reactor: Any, out: TextIO) -> None:
        self._reactor = reactor
        self._out = out
        self._follower: ConsoleFollower | None = None

    def start(self, gateway: Gateway) -> None:
        """
        Print the banner, then follow the journal.
        """
        colour = coloured(self._out)
        self._out.write(banner(gateway, colour, widthOf(self._out)))
        self._out.flush()
        self._follower = ConsoleFollower(
            self._reactor,
            gateway.journal.directory,
            self._out,
            colour,
            gateway.config.file,
            widthOf(self._out),
        )
        self._follower.start()

    def stop(self) -> None:
        """
        Print the lines that are left, and stop.
        """
        if self._follower is not None:
            self._follower.stop()
