"""
The configuration file: TOML into frozen values, strictly typed.

L{load} reads a file and raises L{ConfigError} with every problem at once,
each at its place. What rules mean together (undeclared names, unreachable
rules, what is exposed) is judged by L{socksgw.policy.document} and
L{socksgw.generation}; here is only the shape.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import cattrs
from attrs import Attribute, Factory, evolve, field, fields, frozen, has
from cattrs.cols import (
    homogenous_tuple_structure_factory,
    mapping_structure_factory,
)
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

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


class Duration(float):
    """Seconds; in TOML C{"10s"}, C{"5m"}, C{"8h"}, C{"90d"}, C{"250ms"}."""


class Octets(int):
    """A size; in TOML C{"256MB"} (10^6 octets), C{"64KiB"} (2^10), or a plain integer."""


@frozen
class Problem:
    """
    One thing wrong with a configuration.

    @ivar path: its TOML path, such as C{rule[2].ports[0]}; empty for the file.
    @ivar text: what is wrong and what would be right.
    """

    path: str
    text: str


class ConfigError(Exception):
    """
    The configuration cannot be used.

    @ivar file: the file's name as the user gave it.
    @ivar problems: everything that is wrong, in the order of the file.
    """

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line for each problem: file, place, what to do."""
        return [
            f"{self.file}: {p.path}: {p.text}" if p.path else f"{self.file}: {p.text}"
            for p in self.problems
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

_DURATION: Final = re.compile(r"(\d{1,12})(ms|s|m|h|d)\Z", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE: Final = re.compile(r"(\d{1,18})(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?\Z", re.ASCII)
_OCTETS: Final = {
    None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9,
    "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


class _Wrong(ValueError):
    """A value of the wrong shape; the text needs no Python names."""


def _kind(value: object) -> str:
    """What TOML calls a value of this type."""
    for kind, name in (
        (bool, "a boolean"),
        (str, "a string"),
        (int, "an integer"),
        (float, "a float"),
        (list, "an array"),
        (dict, "a table"),
    ):
        if isinstance(value, kind):
            return name
    return "a date or time"


def _exactly(kind: type, name: str) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise _Wrong(f"must be {name}, not {_kind(value)}")
        return value

    return structure


def _duration(value: Any, _: Any) -> Duration:
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise _Wrong('must be a duration such as "10s", "5m", "8h" or "90d"')
    return Duration(int(match[1]) * _SECONDS[match[2]])


def _octets(value: Any, _: Any) -> Octets:
    text = str(value) if type(value) is int else value
    match = _SIZE.match(text) if isinstance(text, str) else None
    if match is None:
        raise _Wrong('must be a size such as "256MB", "64KiB" or 4096')
    return Octets(int(match[1]) * _OCTETS[match[2]])


def _literal(value: Any, kind: Any) -> Any:
    words = get_args(kind)
    if type(value) is not str or value not in words:
        raise _Wrong("must be one of " + ", ".join(f'"{w}"' for w in words))
    return value


def _commands(value: Any, _: Any) -> Any:
    words = get_args(CommandName)
    if value == "any":
        return value
    if not isinstance(value, list) or not all(
        type(v) is str and v in words for v in value
    ):
        raise _Wrong(
            'must be "any" or an array of ' + ", ".join(f'"{w}"' for w in words)
        )
    return tuple(value)


def _sync(value: Any, _: Any) -> Any:
    if value in ("each", "never"):
        return value
    try:
        return _duration(value, None)
    except _Wrong:
        raise _Wrong('must be "each", "never" or a duration such as "1s"') from None


def _port(value: Any, _: Any) -> Any:
    if type(value) not in (int, str):
        raise _Wrong(
            f'must be a port or a range such as "8000-8099", not {_kind(value)}'
        )
    return value


def _tomlName(attribute: "Attribute[Any]") -> str | None:
    name: str | None = attribute.metadata.get("toml", attribute.name)
    return name


def _isA(origin: Any, kind: Any) -> bool:
    return get_origin(kind) is origin


def _makeConverter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True)
    for kind, name in (
        (str, "a string"),
        (int, "an integer"),
        (float, "a float"),
        (bool, "true or false"),
    ):
        converter.register_structure_hook(kind, _exactly(kind, name))
    converter.register_structure_hook(Duration, _duration)
    converter.register_structure_hook(Octets, _octets)
    shapes: list[tuple[Any, Callable[[Any, Any], Any]]] = [
        (Commands, _commands),
        (Commands | None, _commands),
        (Port, _port),
        (Sync, _sync),
    ]
    for shape, hook in shapes:
        converter.register_structure_hook_func(partial(eq, shape), hook)
    converter.register_structure_hook_func(partial(_isA, Literal), _literal)

    def array(kind: Any) -> Callable[[Any, Any], Any]:
        inner = homogenous_tuple_structure_factory(kind, converter)

        def structure(value: Any, cl: Any) -> Any:
            if not isinstance(value, list):
                hint = ""
                if isinstance(value, dict) and "directory" in value:
                    hint = "; directory groups are not built yet"
                raise _Wrong(f"must be an array, not {_kind(value)}{hint}")
            return inner(value, cl)

        return structure

    def mapping(kind: Any) -> Callable[[Any, Any], Any]:
        inner = mapping_structure_factory(kind, converter, structure_to=dict)

        def structure(value: Any, cl: Any) -> Any:
            if not isinstance(value, dict):
                raise _Wrong(f"must be a table, not {_kind(value)}")
            return inner(value, cl)

        return structure

    def table(kind: Any) -> Callable[[Any, Any], Any]:
        overrides: dict[str, Any] = {
            a.name: cattrs.override(omit=True)
            if (name := _tomlName(a)) is None
            else cattrs.override(rename=name)
            for a in fields(kind)
        }
        inner: Callable[[Any, Any], Any] = make_dict_structure_fn(
            kind, converter, _cattrs_forbid_extra_keys=True, **overrides
        )

        def structure(value: Any, cl: Any) -> Any:
            if not isinstance(value, dict):
                raise _Wrong(f"must be a table, not {_kind(value)}")
            return inner(value, cl)

        return structure

    factory = converter.register_structure_hook_factory
    factory(partial(_isA, tuple), array)
    factory(partial(_isA, Mapping), mapping)
    factory(has, table)
    return converter


_converter: Final = _makeConverter()


def _walk(error: Exception, path: str) -> Iterator[Problem]:
    """Every problem in a tree of cattrs errors, with its TOML path."""
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            place = path
            for note in getattr(inner, "__notes__", ()):
                if isinstance(note, AttributeValidationNote):
                    attribute = getattr(fields(error.cl), note.name)
                    name = _tomlName(attribute)
                    place = f"{path}.{name}" if path else str(name)
                elif isinstance(note, IterableValidationNote):
                    place = (
                        f"{path}[{note.index}]"
                        if isinstance(note.index, int)
                        else f"{path}.{note.index}"
                    )
            yield from _walk(inner, place)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [n for a in fields(error.cl) if (n := _tomlName(a)) is not None]
        for key in sorted(error.extra_fields):
            place = f"{path}.{key}" if path else key
            if re.sub(r"\[\d+\]", ".*", place) in _NOT_BUILT:
                yield Problem(place, "not built yet in this version of socksgw")
                continue
            near = difflib.get_close_matches(key, known, 1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            yield Problem(place, f"unknown key{hint}")
    elif isinstance(error, KeyError):
        yield Problem(path, "is missing, and is needed")
    else:
        yield Problem(path, str(error))


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
        raise ConfigError(file, list(_walk(e, ""))) from None
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
