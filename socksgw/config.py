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
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

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
    "Expect",
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
    "RuleTimeouts",
    "RuleUDP",
    "Schedule",
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
    enforce: Literal["all", "new-only"] = "all"
    reload_on_change: bool = False


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

    @property
    def places(self) -> tuple[str, ...]:
        """Its addresses, or its endpoint."""
        return self.address + ((self.endpoint,) if self.endpoint else ())


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
#: One word, or an array of them.
Words = tuple[str, ...] | str


class Moment(float):
    """Seconds since the epoch; in TOML a date and time with an offset."""


@frozen
class Schedule:
    """One of C{[schedules]}."""

    days: Words = ()
    hours: str = ""
    zone: str = "UTC"
    from_: date | None = field(default=None, metadata={"toml": "from"})
    until: date | None = None


@frozen
class RuleTimeouts:
    """C{timeouts} of a rule: for the sessions that it allows."""

    connect: Duration | None = None
    idle: Duration | None = None


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
    services: tuple[str, ...] | None = None
    during: tuple[str, ...] | None = None
    until: Moment | None = None
    ticket: str = ""
    secured: Words | None = None
    asked_by: Words | None = None
    method: Words | None = None
    timeouts: RuleTimeouts = RuleTimeouts()
    report_only: bool = False
    place: str = field(default="", metadata={"toml": None})


@frozen
class Expect:
    """One C{[[expect]]}: a test of the policy."""

    to: str
    verdict: Literal["allow", "deny"]
    command: CommandName = "connect"
    who: str = "anonymous"
    groups: tuple[str, ...] = ()
    from_: str | None = field(default=None, metadata={"toml": "from"})
    listener: str | None = None
    method: str | None = None
    secured: str | None = None
    at: Moment | None = None
    resolving_to: tuple[str, ...] = ()
    rule: str | None = None
    place: str = field(default="", metadata={"toml": None})


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
    include: tuple[str, ...] = ()
    services: Mapping[str, tuple[str, ...]] = Factory(dict)
    schedules: Mapping[str, Schedule] = Factory(dict)
    expect: tuple[Expect, ...] = ()
    audit: AuditConfig = AuditConfig()
    file: str = field(default="", metadata={"toml": None})
    directory: Path = field(default=Path(), metadata={"toml": None})
    unused: tuple[str, ...] = field(default=(), metadata={"toml": None})


@frozen
class Included:
    """What a file that is included may hold."""

    rule: tuple[Rule, ...] = ()
    expect: tuple[Expect, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = Factory(dict)
    networks: Mapping[str, tuple[str, ...]] = Factory(dict)
    services: Mapping[str, tuple[str, ...]] = Factory(dict)
    schedules: Mapping[str, Schedule] = Factory(dict)


T = TypeVar("T")
C = TypeVar("C", Config, Included)

#: Keys of the contract whose feature is not built yet; C{*} stands for an index.
_NOT_BUILT: Final = frozenset(
    [
        "upstream",
        "admin",
        "listen.*.leave_by",
        "listen.*.proxy_protocol_from",
        "listen.*.tls",
        "auth.strip_realms",
        "auth.gssapi",
        "auth.checker",
        "auth.groups_refresh",
        "auth.choose.*.protection",
        "rule.*.limits",
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


def _words(value: Any, _: Any) -> Any:
    if type(value) is str:
        return (value,)
    if isinstance(value, list) and all(type(v) is str for v in value):
        return tuple(value)
    raise Wrong("must be a word or an array of words")


def _moment(value: Any, _: Any) -> Moment:
    moment = value
    if type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise Wrong(
            "must be a date and time with its offset, such as 2026-03-02T10:00:00+01:00"
        )
    return Moment(moment.timestamp())


def _date(value: Any, _: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise Wrong("must be a date such as 2026-03-02")


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
        (Words, _words),
        (Words | None, _words),
        (Moment, _moment),
        (Moment | None, _moment),
        (date, _date),
        (date | None, _date),
        (Sync, _sync),
    ]
)


def _parsed(text: str, file: str) -> Any:
    """
    @raise ConfigError: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        place = re.search(r"\(at (.*)\)\Z", str(e))
        what = str(e)[: place.start()].strip() if place else str(e)
        where = place[1] if place else "end of document"
        if where == "end of document":
            line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
            where = f"line {line}, column {column}"
    except (ValueError, RecursionError):
        where = "somewhere"
        what = "a number has too many digits, or arrays are too deep in each other"
    raise ConfigError(file, [Problem("", f"{where}: {what}")])


def _read(path: Path, file: str) -> str:
    """
    @raise ConfigError: the file cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as e:
        why = f"cannot be read: {e.strerror}; check the path and its permissions"
    except UnicodeDecodeError as e:
        why = f"octet {e.start}: not UTF-8; save the file as UTF-8"
    raise ConfigError(file, [Problem("", why)])


def loads(text: str, file: str, directory: Path = Path()) -> Config:
    """
    The configuration in C{text}.

    @param file: what errors call it.
    @param directory: what relative paths of things we read start from.
    @raise ConfigError: with everything that is wrong in its shape.
    """
    problems: list[Problem] = []
    config = _structured(_parsed(text, file), Config, problems) or Config()
    config = _placed(config, "")
    for pattern in config.include:
        config = _including(config, pattern, directory, problems)
    if problems:
        raise ConfigError(file, problems)
    return evolve(config, file=file, directory=directory)


def _structured(document: Any, kind: type[T], problems: list[Problem]) -> T | None:
    try:
        return _converter.structure(document, kind)
    except BaseValidationError as e:
        problems.extend(problemsIn(e, _NOT_BUILT))
    return None


def _placed(config: C, file: str) -> C:
    """
    Every rule and expectation knows where it stands.

    @param file: the included file, or empty.
    """
    before = f"{file}: " if file else ""
    return evolve(
        config,
        rule=tuple(
            evolve(rule, place=f"{before}rule[{i}]")
            for i, rule in enumerate(config.rule)
        ),
        expect=tuple(
            evolve(each, place=f"{before}expect[{i}]")
            for i, each in enumerate(config.expect)
        ),
    )


def _including(
    config: Config, pattern: str, directory: Path, problems: list[Problem]
) -> Config:
    """
    Add what the files of a pattern hold, in the order of their names, behind
    what is there.
    """
    if Path(pattern).is_absolute():
        found = sorted(Path("/").glob(pattern.lstrip("/")))
    else:
        found = sorted(directory.glob(pattern))
    for path in found:
        name = (
            str(path.relative_to(directory))
            if path.is_relative_to(directory)
            else (str(path))
        )
        inside: list[Problem] = []
        try:
            document = _parsed(_read(path, name), name)
            part = _structured(document, Included, inside)
        except ConfigError as e:
            inside += e.problems
            part = None
        if part is not None:
            part = _placed(part, name)
            changes: dict[str, Any] = {
                "rule": config.rule + part.rule,
                "expect": config.expect + part.expect,
            }
            for table in ("groups", "networks", "services", "schedules"):
                mine, more = getattr(config, table), getattr(part, table)
                for key in mine.keys() & more.keys():
                    inside.append(Problem(f"{table}.{key}", "is declared before, too"))
                changes[table] = {**mine, **more}
            config = evolve(config, **changes)
        problems += [Problem(_within(name, each.path), each.text) for each in inside]
    return config


def _within(file: str, path: str) -> str:
    return f"{file}: {path}" if path else file


def load(file: str) -> Config:
    """
    The configuration in the file named C{file}.

    @raise ConfigError: it cannot be read, or something is wrong in it.
    """
    path = Path(file)
    return loads(_read(path, file), file, path.absolute().parent)
