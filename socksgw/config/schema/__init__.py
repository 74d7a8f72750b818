"""
The schema of the configuration file: frozen values, named as TOML's keys are.

TOML's keys are written in snake_case, and so are the fields here.

What a key means is said once, in the C{@ivar} of its field, and what a table means
in the docstring of its class: the reference (C{socksgw help configuration}) is made
of these.

A field's metadata C{toml} is its key where that is no name in Python; L{None} where
it is no key; C{*} where it takes all keys that are no other field's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import Factory, field, frozen

from socksgw.config.positions import Positions
from socksgw.config.schema.admin import AdminConfig, AdminToken
from socksgw.config.schema.cluster import ClusterConfig
from socksgw.config.schema.decider import Decider
from socksgw.config.schema.grants import GrantAsked, Grants, GrantTemplate
from socksgw.config.schema.listener import (
    Http,
    Identity,
    Listen,
    ListenMulticast,
    ListenTLS,
    ListenUDP,
    Pac,
)
from socksgw.config.schema.log import LogConfig
from socksgw.config.schema.login import AuthConfig, Checker, Choose, Group, Throttle
from socksgw.config.schema.metrics import MetricsConfig, MetricsOTLP
from socksgw.config.schema.policy import (
    Expect,
    Limit,
    Never,
    Per,
    Rule,
    RuleMulticast,
    RuleTimeouts,
    RuleUDP,
    Schedule,
)
from socksgw.config.schema.service import (
    AuditConfig,
    Family,
    GatewayConfig,
    InspectConfig,
    RelayConfig,
    ResolverConfig,
    Sink,
    Timeouts,
)
from socksgw.config.schema.upstream import Upstream, UpstreamCheck, UpstreamLogin
from socksgw.config.schema.values import (
    CommandName,
    Commands,
    Listed,
    Moment,
    Port,
    Quota,
    Rate,
    Sync,
    Times,
    Via,
    Words,
    Workers,
)

__all__ = [
    "AdminConfig",
    "AdminToken",
    "AuditConfig",
    "AuthConfig",
    "Checker",
    "Choose",
    "ClusterConfig",
    "CommandName",
    "Commands",
    "Config",
    "Decider",
    "Expect",
    "Family",
    "GatewayConfig",
    "GrantAsked",
    "GrantTemplate",
    "Grants",
    "Group",
    "Http",
    "Identity",
    "Included",
    "InspectConfig",
    "Limit",
    "Listed",
    "Listen",
    "ListenTLS",
    "ListenMulticast",
    "ListenUDP",
    "LogConfig",
    "MetricsConfig",
    "MetricsOTLP",
    "Moment",
    "Never",
    "Pac",
    "Per",
    "Port",
    "Quota",
    "Rate",
    "RelayConfig",
    "ResolverConfig",
    "Rule",
    "RuleTimeouts",
    "RuleMulticast",
    "RuleUDP",
    "Schedule",
    "Sink",
    "Sync",
    "Times",
    "Throttle",
    "Timeouts",
    "Upstream",
    "UpstreamCheck",
    "UpstreamLogin",
    "Via",
    "Words",
    "Workers",
]


#: Digits of a digest by which decisions name the configuration.
MARK: Final = 12


@frozen
class Config:
    """
    One configuration.

    @ivar networks: A name for a list of destinations or clients, written as C{to} and
        C{from} of a rule: an array, or C{{ file = "blocked.txt" }}, a file with one in
        each line, which is read again when it changes.
    @ivar include: Files with more rules, such as C{["rules.d/*.toml"]}, relative to
        this one and read in the order of their names. They may hold C{rule},
        C{expect}, C{groups}, C{networks}, C{services} and C{schedules}; their rules
        follow those of this file. A file that is named without C{*} has to exist.
    @ivar services: A name for a list of ports, such as C{"tcp/443"} and
        C{"udp/5000-5999"}.
    @ivar file: where it was read from, as the user gave it; empty for the
        built-in default.
    @ivar directory: what relative paths of things we read start from.
    @ivar unused: listeners of the file that the command line replaced; rules
        may still name them.
    @ivar positions: where things stand in it, by the empty name, and in the
        files that it includes, by theirs.
    @ivar written: the SHA-256 of the file's octets and those that it includes, one
        after the other, in hexadecimal; empty where there is no file.
    @ivar digest: which policy this is: C{written}; where C{[networks]} has files, the
        SHA-256 of that and their octets, in the order in which they are named.
    """

    gateway: GatewayConfig = GatewayConfig()
    timeouts: Timeouts = Timeouts()
    relay: RelayConfig = RelayConfig()
    inspect: InspectConfig | None = None
    resolver: ResolverConfig = ResolverConfig()
    listen: tuple[Listen, ...] = ()
    auth: AuthConfig = AuthConfig()
    http: Http = Http()
    pac: Pac | None = None
    groups: Mapping[str, Group] = Factory(dict)
    networks: Mapping[str, Listed] = Factory(dict)
    never: Never = Never()
    rule: tuple[Rule, ...] = ()
    limit: tuple[Limit, ...] = ()
    upstream: tuple[Upstream, ...] = ()
    decider: tuple[Decider, ...] = ()
    grants: Grants | None = None
    cluster: ClusterConfig | None = None
    include: tuple[str, ...] = ()
    services: Mapping[str, tuple[str, ...]] = Factory(dict)
    schedules: Mapping[str, Schedule] = Factory(dict)
    expect: tuple[Expect, ...] = ()
    audit: AuditConfig = AuditConfig()
    admin: AdminConfig | None = None
    metrics: MetricsConfig = MetricsConfig()
    log: LogConfig = LogConfig()
    file: str = field(default="", metadata={"toml": None})
    directory: Path = field(default=Path(), metadata={"toml": None})
    unused: tuple[str, ...] = field(default=(), metadata={"toml": None})
    positions: Mapping[str, Positions] = field(
        factory=dict, eq=False, repr=False, metadata={"toml": None}
    )
    written: str = field(default="", eq=False, metadata={"toml": None})
    digest: str = field(default="", eq=False, metadata={"toml": None})

    @property
    def mark(self) -> str:
        """The beginning of the digest, as decisions have it in the journal."""
        return self.digest[:MARK]


@frozen
class Included:
    """What a file that is included may hold."""

    rule: tuple[Rule, ...] = ()
    expect: tuple[Expect, ...] = ()
    groups: Mapping[str, Group] = Factory(dict)
    networks: Mapping[str, Listed] = Factory(dict)
    services: Mapping[str, tuple[str, ...]] = Factory(dict)
    schedules: Mapping[str, Schedule] = Factory(dict)
