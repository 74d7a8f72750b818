"""
The shape of the configuration file: frozen values, named as TOML's keys are
(hence snake_case).

A field's metadata C{toml} is its key where that is no name in Python; L{None}
where it is no key; C{*} where it takes all keys that are no other field's.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, field, frozen

from socksgw.config.convert import Duration, Octets
from socksgw.config.positions import Positions

__all__ = [
    "AuditConfig",
    "AuthConfig",
    "Checker",
    "Choose",
    "CommandName",
    "Commands",
    "Config",
    "Expect",
    "Family",
    "GatewayConfig",
    "Group",
    "Identity",
    "Included",
    "Limit",
    "Listen",
    "ListenTLS",
    "ListenUDP",
    "Moment",
    "Never",
    "Per",
    "Port",
    "Quota",
    "Rate",
    "RelayConfig",
    "ResolverConfig",
    "Rule",
    "RuleTimeouts",
    "RuleUDP",
    "Schedule",
    "Sync",
    "Throttle",
    "Timeouts",
    "Words",
]


@frozen
class GatewayConfig:
    """
    C{[gateway]}; C{state_dir} is beside the file when relative.

    @ivar trusted_groups: groups of this machine whose members may read secrets.
    """

    name: str = "socksgw"
    state_dir: str = "var"
    shared_state_dir: bool = False
    trusted_groups: tuple[str, ...] = ()
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
    """
    C{[listen.udp]}: where relay sockets, and BIND's listeners, are bound.

    @ivar ports_per_source: how many of C{ports} one source may have; L{None} for
        half of them.
    """

    ports: str = ""
    ports_per_source: int | None = None
    advertise: str = ""
    fragments: Literal["reassemble", "drop"] = "reassemble"
    tunnels: tuple[Literal["hev", "gost"], ...] = ()


Identity = Literal["email", "dns", "uri", "upn"]


@frozen
class ListenTLS:
    """C{[listen.tls]}: TLS under SOCKS; files are beside the one that names them."""

    certificate: str
    key: str = ""
    client_ca: str = ""
    client_certificate: Literal["off", "optional", "required"] = "off"
    crl: str = ""
    identity: tuple[Identity, ...] = ("email", "dns")
    prefix: str = ""


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
    tls: ListenTLS | None = None

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
    protection: tuple[str, ...] | None = None


@frozen
class Checker:
    """
    One C{[[auth.checker]]}.

    @ivar options: what else the table holds; the checker's own factory says
        what may be there.
    """

    kind: str
    name: str = ""
    options: Mapping[str, Any] = field(factory=dict, metadata={"toml": "*"})


@frozen
class Throttle:
    """
    C{[auth.throttle]}: failed logins within C{window} after which a source,
    or a source's tries at one name, are refused for as long.
    """

    per_user: int = 10
    per_source: int = 50
    window: Duration = Duration(60)


@frozen
class AuthConfig:
    """
    C{[auth]}.

    @ivar cache: how long a positive login is remembered.
    @ivar kerberos_names: how Kerberos names are spelled that no directory is
        asked about.
    @ivar groups_refresh: how long a directory's answer about somebody's groups
        is good.
    @ivar groups_hold: how long what it said last holds while it cannot be
        asked.
    @ivar settings: the methods' own tables, by their names.
    """

    checkers: tuple[str, ...] = ()
    cache: Duration = Duration(60)
    choose: tuple[Choose, ...] = ()
    checker: tuple[Checker, ...] = ()
    strip_realms: tuple[str, ...] = ()
    kerberos_names: Literal["lower", "exact"] = "lower"
    groups_refresh: Duration = Duration(300)
    groups_hold: Duration = Duration(3600)
    throttle: Throttle = Throttle()
    settings: Mapping[str, Mapping[str, Any]] = field(
        factory=dict, metadata={"toml": "*", "only": dict}
    )


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


class Rate(int):
    """Octets per second, such as C{"10MB/s"}."""


@frozen
class Quota:
    """Octets per window, such as C{"50GB/1d"}; windows begin at their multiples since the epoch."""

    octets: int
    seconds: float


@frozen
class Group:
    """
    One of C{[groups]}: an array of names, or a table.

    @ivar members: users.
    @ivar directory: the directory's names of groups that count as this one.
    """

    members: tuple[str, ...] = ()
    directory: tuple[str, ...] = ()


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


Per = Literal["all", "source", "listener", "user", "group", "rule"]


@frozen
class Limit:
    """
    One C{[[limit]]}, or C{limits} of a rule (for what that rule allows).

    @ivar binds: BINDs that live, before and after their peer has come.
    @ivar new_sessions: at most, in any one second.
    @ivar rate: octets per second, each way.
    @ivar quota: octets per window, both ways together.
    @ivar flows: UDP flows that live.
    """

    per: Per
    sessions: int | None = None
    associations: int | None = None
    new_sessions: int | None = None
    rate: Rate | None = None
    quota: Quota | None = None
    flows: int | None = None
    binds: int | None = None


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
    limits: Limit | None = None
    report_only: bool = False
    place: str = field(default="", metadata={"toml": None})


@frozen
class Expect:
    """One C{[[expect]]}: a test of the policy."""

    to: str
    verdict: Literal["allow", "deny"]
    command: CommandName = "connect"
    who: str = "anonymous"
    groups: tuple[str, ...] | None = None
    from_: str | None = field(default=None, metadata={"toml": "from"})
    listener: str | None = None
    method: str | None = None
    secured: str | None = None
    at: Moment | None = None
    resolving_to: tuple[str, ...] = ()
    rule: str | None = None
    place: str = field(default="", metadata={"toml": None})


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
    @ivar positions: where things stand in it, by the empty name, and in the
        files that it includes, by theirs.
    """

    gateway: GatewayConfig = GatewayConfig()
    timeouts: Timeouts = Timeouts()
    relay: RelayConfig = RelayConfig()
    resolver: ResolverConfig = ResolverConfig()
    listen: tuple[Listen, ...] = ()
    auth: AuthConfig = AuthConfig()
    groups: Mapping[str, Group] = Factory(dict)
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
    positions: Mapping[str, Positions] = field(
        factory=dict, eq=False, repr=False, metadata={"toml": None}
    )


@frozen
class Included:
    """What a file that is included may hold."""

    rule: tuple[Rule, ...] = ()
    expect: tuple[Expect, ...] = ()
    groups: Mapping[str, Group] = Factory(dict)
    networks: Mapping[str, tuple[str, ...]] = Factory(dict)
    services: Mapping[str, tuple[str, ...]] = Factory(dict)
    schedules: Mapping[str, Schedule] = Factory(dict)
