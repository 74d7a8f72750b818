"""
The configuration file: TOML into frozen values, strictly typed.

L{load} reads a file and raises L{ConfigError} with every problem at once,
each at its place. What rules mean together (undeclared names, unreachable
rules, what is exposed) is judged by L{socksgw.policy.document} and
L{socksgw.generation}; here is only the shape.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

from attrs import Factory, evolve, field, frozen
from cattrs.errors import BaseValidationError

from socksgw.structuring import (
    ConfigError,
    Duration,
    Octets,
    Problem,
    Wrong,
    duration,
    kindOf,
    makeConverter,
    problemsIn,
)

__all__ = [
    "AuditConfig",
    "AuthConfig",
    "Choose",
    "Config",
    "ConfigError",
    "Duration",
    "GatewayConfig",
    "Limit",
    "Listen",
    "ListenUDP",
    "Never",
    "Octets",
    "Problem",
    "RelayConfig",
    "ResolverConfig",
    "Rule",
    "RuleUDP",
    "Timeouts",
    "load",
    "loads",
]


# The shape of the file. Names are TOML's, hence snake_case.


@frozen
class GatewayConfig:
    """C{[gateway]}; C{state_dir} is beside the file when relative."""

    name: str = "socksgw"
    state_dir: str = "var"


@frozen
class Timeouts:
    """C{[timeouts]}."""

    handshake: Duration = Duration(10)
    lookup: Duration = Duration(5)
    connect: Duration = Duration(15)
    idle: Duration = Duration(7200)
    udp_idle: Duration = Duration(300)
    bind: Duration = Duration(120)
    drain: Duration = Duration(60)


@frozen
class RelayConfig:
    """C{[relay]}; C{memory}: octets held for stalled readers, in all."""

    memory: Octets = Octets(256_000_000)


Family = Literal["prefer6", "prefer4", "only4", "only6"]


@frozen
class ResolverConfig:
    """C{[resolver]}; without servers the system's resolver is asked."""

    servers: tuple[str, ...] = ()
    family: Family = "prefer6"


@frozen
class ListenUDP:
    """C{[listen.udp]}: where relay sockets, and BIND's listeners, are bound."""

    ports: str = ""
    advertise: str = ""
    fragments: Literal["reassemble", "drop"] = "reassemble"
    tunnels: tuple[Literal["hev", "gost"], ...] = ()


@frozen
class Listen:
    """One C{[[listen]]}: exactly one of C{address} and C{endpoint} is used."""

    name: str
    address: tuple[str, ...] = ()
    endpoint: str = ""
    protocols: tuple[Literal["socks5", "socks4"], ...] = ("socks5", "socks4")
    half_open: int = 4096
    half_open_per_source: int = 2048
    udp: ListenUDP = ListenUDP()


@frozen
class Choose:
    """One C{[[auth.choose]]}; a field that is L{None} matches everything."""

    methods: tuple[str, ...]
    listener: tuple[str, ...] | None = None
    from_: tuple[str, ...] | None = field(default=None, metadata={"toml": "from"})
    cleartext_passwords: bool = False


@frozen
class AuthConfig:
    """C{[auth]}; C{cache}: how long a positive login is remembered."""

    checkers: tuple[str, ...] = ()
    cache: Duration = Duration(60)
    choose: tuple[Choose, ...] = ()


@frozen
class Never:
    """C{[never]}; C{to} of L{None} is the default, C{special} and C{self}."""

    also: tuple[str, ...] = ()
    to: tuple[str, ...] | None = None
    except_: tuple[str, ...] = field(default=(), metadata={"toml": "except"})


CommandName = Literal["connect", "bind", "udp", "resolve"]
Commands = tuple[CommandName, ...] | Literal["any"]
Port = int | str
Sync = Duration | Literal["each", "never"]


@frozen
class RuleUDP:
    """C{udp} of a rule: whose answers come back to a flow."""

    replies: Literal["exact", "address", "any"] = "exact"


@frozen
class Rule:
    """One C{[[rule]]}; a field that is L{None} matches everything."""

    id: str
    allow: Commands | None = None
    deny: Commands | None = None
    who: tuple[str, ...] | None = None
    from_: tuple[str, ...] | None = field(default=None, metadata={"toml": "from"})
    listener: tuple[str, ...] | None = None
    to: tuple[str, ...] | None = None
    resolving_to: tuple[str, ...] | None = None
    ports: tuple[Port, ...] | None = None
    udp: RuleUDP = RuleUDP()


@frozen
class Limit:
    """One C{[[limit]]}."""

    per: Literal["all", "source", "listener", "user"]
    sessions: int | None = None
    associations: int | None = None


@frozen
class AuditConfig:
    """C{[audit]}."""

    journal: str = "audit"
    on_failure: Literal["refuse", "count"] = "refuse"
    sync: Sync = Duration(1)
    keep: Duration = Duration(90 * 86400)
    max_size: Octets = Octets(20_000_000_000)
    when_full: Literal["refuse", "drop-oldest"] = "refuse"


@frozen
class Config:
    """
    One configuration.

    @ivar file: where it was read from, as the user gave it; empty for the
        built-in default.
    @ivar directory: what relative paths of things we read start from.
    @ivar unused: listeners of the file that the command line replaced; rules
        may still name them.
    """

    gateway: GatewayConfig = GatewayConfig()
    timeouts: Timeouts = Timeouts()
    relay: RelayConfig = RelayConfig()
    resolver: ResolverConfig = ResolverConfig()
    listen: tuple[Listen, ...] = ()
    auth: AuthConfig = AuthConfig()
    groups: Mapping[str, tuple[str, ...]] = Factory(dict)
    networks: Mapping[str, tuple[str, ...]] = Factory(dict)
    never: Never = Never()
    rule: tuple[Rule, ...] = ()
    limit: tuple[Limit, ...] = ()
    audit: AuditConfig = AuditConfig()
    file: str = field(default="", metadata={"toml": None})
    directory: Path = field(default=Path(), metadata={"toml": None})
    unused: tuple[str, ...] = field(default=(), metadata={"toml": None})


#: Keys of the contract whose feature is not built yet; C{*} stands for an index.
_NOT_BUILT: Final = frozenset(
    [
        "include",
        "services",
        "schedules",
        "expect",
        "upstream",
        "admin",
        "gateway.enforce",
        "listen.*.leave_by",
        "listen.*.proxy_protocol_from",
        "listen.*.tls",
        "auth.strip_realms",
        "auth.gssapi",
        "auth.checker",
        "auth.groups_refresh",
        "auth.choose.*.protection",
        "rule.*.services",
        "rule.*.during",
        "rule.*.secured",
        "rule.*.asked_by",
        "rule.*.method",
        "rule.*.until",
        "rule.*.ticket",
        "rule.*.limits",
        "rule.*.timeouts",
        "rule.*.report_only",
        "rule.*.via",
        "rule.*.leave_by",
        "limit.*.rate",
        "limit.*.new_sessions",
        "limit.*.quota",
        "limit.*.flows",
        "audit.sinks",
        "audit.sink",
    ]
)


def _commands(value: Any, _: Any) -> Any:
    words = get_args(CommandName)
    if value == "any":
        return value
    if not isinstance(value, list) or not all(
        type(v) is str and v in words for v in value
    ):
        raise Wrong(
            'must be "any" or an array of ' + ", ".join(f'"{w}"' for w in words)
        )
    return tuple(value)


def _sync(value: Any, _: Any) -> Any:
    if value in ("each", "never"):
        return value
    try:
        return duration(value, None)
    except Wrong:
        raise Wrong('must be "each", "never" or a duration such as "1s"') from None


def _port(value: Any, _: Any) -> Any:
    if type(value) not in (int, str):
        raise Wrong(
            f'must be a port or a range such as "8000-8099", not {kindOf(value)}'
        )
    return value


_converter: Final = makeConverter(
    [
        (Commands, _commands),
        (Commands | None, _commands),
        (Port, _port),
        (Sync, _sync),
    ]
)


def loads(text: str, file: str, directory: Path = Path()) -> Config:
    """
    The configuration in C{text}.

    @param file: what errors call it.
    @param directory: what relative paths of things we read start from.
    @raise ConfigError: with everything that is wrong in its shape.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        place = re.search(r"\(at (.*)\)\Z", str(e))
        what = str(e)[: place.start()].strip() if place else str(e)
        where = place[1] if place else "end of document"
        if where == "end of document":
            line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
            where = f"line {line}, column {column}"
        raise ConfigError(file, [Problem("", f"{where}: {what}")]) from None
    except (ValueError, RecursionError):
        what = "a number has too many digits, or arrays are too deep in each other"
        raise ConfigError(file, [Problem("", what)]) from None
    try:
        config = _converter.structure(document, Config)
    except BaseValidationError as e:
        raise ConfigError(file, list(problemsIn(e, _NOT_BUILT))) from None
    return evolve(config, file=file, directory=directory)


def load(file: str) -> Config:
    """
    The configuration in the file named C{file}.

    @raise ConfigError: it cannot be read, or something is wrong in it.
    """
    path = Path(file)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as e:
        why = f"cannot be read: {e.strerror}; check the path and its permissions"
        raise ConfigError(file, [Problem("", why)]) from None
    except UnicodeDecodeError as e:
        why = f"octet {e.start}: not UTF-8; save the file as UTF-8"
        raise ConfigError(file, [Problem("", why)]) from None
    return loads(text, file, path.absolute().parent)
