"""
The tables of the policy: rules, what comes before them, limits, schedules, tests.
"""

from datetime import date
from typing import Literal

from attrs import field, frozen

from socksgw.config.convert import Duration
from socksgw.config.schema.values import (
    CommandName,
    Commands,
    Moment,
    Port,
    Quota,
    Rate,
    Times,
    Via,
    Words,
)

__all__ = [
    "Expect",
    "Limit",
    "Never",
    "Per",
    "Rule",
    "RuleMulticast",
    "RuleTimeouts",
    "RuleUDP",
    "Schedule",
]


@frozen
class Never:
    """
    What is denied before every rule, on the addresses that names lead to.

    @ivar also: Networks that are denied besides C{special} and C{self}.
    @ivar to: Networks instead of C{["special", "self"]}, with a warning. C{[]}
        denies nothing here.
    @ivar except_: Addresses that are not denied here: C{"127.0.0.1:8080"},
        C{"127.0.0.1"} or a network. A rule still has to allow them.
    """

    also: tuple[str, ...] = ()
    to: tuple[str, ...] | None = None
    except_: tuple[str, ...] = field(default=(), metadata={"toml": "except"})


@frozen
class Schedule:
    """
    Times for C{during} of a rule.

    @ivar days: Days of the week: C{"mon-fri"}, C{["sat", "sun"]}. Absent: every
        day.
    @ivar hours: C{"08:00-18:00"}. Hours that end before they begin go on after
        midnight and belong to the day on which they began. Absent: all day.
    @ivar zone: The time zone, such as C{"Europe/Berlin"}.
    @ivar from_: The first day.
    @ivar until: The last day.
    """

    days: Words = ()
    hours: str = ""
    zone: str = "UTC"
    from_: date | None = field(default=None, metadata={"toml": "from"})
    until: date | None = None


Per = Literal["all", "source", "listener", "user", "tag", "group", "rule"]


@frozen
class Limit:
    """
    A limit, which has at least one bound besides C{per}.

    All limits that apply hold together. Of several with the same C{per}, C{who} and
    C{from}, the smallest number of each kind counts. Where nothing else is said, one user may have 4096
    associations, and one source 1024 associations and 1024 BINDs; one source may be in
    64 multicast groups, and all together in 1024.

    @ivar per: What is counted together: everybody's sessions, or those of one
        source (an IPv4 address, or an IPv6 /64), listener, user, user with the same
        tag (not those without one), group or rule.
    @ivar who: Only these users count, as in rules: a name, C{"@group"}. Absent: all.
        Not in a rule, which says so itself.
    @ivar from_: Only clients with these addresses count, as in rules.
    @ivar sessions: Sessions at a time, UDP associations among them.
    @ivar associations: UDP associations at a time.
    @ivar new_sessions: Sessions that begin within any second, or within any other
        time up to an hour: C{"10/1m"}.
    @ivar rate: Octets per second in each direction, shared fairly.
    @ivar quota: Octets in both directions together in each window, such as
        C{"500GB/1d"}. Days begin at midnight UTC. Kept over restarts.
    @ivar flows: Destinations of UDP associations at a time.
    @ivar binds: BINDs at a time, before and after their peer has come.
    @ivar groups: Multicast groups at a time, those that are only sent to among them.
    """

    per: Per
    sessions: int | None = None
    associations: int | None = None
    new_sessions: Times | None = None
    rate: Rate | None = None
    quota: Quota | None = None
    flows: int | None = None
    binds: int | None = None
    groups: int | None = None
    who: tuple[str, ...] | None = None
    from_: tuple[str, ...] | None = field(default=None, metadata={"toml": "from"})


@frozen
class RuleTimeouts:
    """
    Time-outs of the sessions that the rule allows.

    @ivar connect: Instead of C{timeouts.connect}.
    @ivar idle: Instead of C{timeouts.idle}.
    """

    connect: Duration | None = None
    idle: Duration | None = None


@frozen
class RuleUDP:
    """
    UDP that the rule allows.

    @ivar replies: From where answers come back. C{"exact"}: from the destination.
        C{"address"}: from any port of its address. C{"any"}: from anywhere.
    """

    replies: Literal["exact", "address", "any"] = "exact"


@frozen
class RuleMulticast:
    """
    Multicast groups that the rule allows; C{to} says which.

    @ivar send: C{true}: clients may send to the groups, too. C{false}: they receive.
    @ivar ttl: The most that the TTL (IPv6: hop limit) of what they send may be, 1 to
        255. With 1 it stays in the network of the interface.
    @ivar sources: Addresses of senders whose datagrams come through: networks, entries
        of C{[networks]}, built-in names. Absent: all.
    @ivar interface: The interface where the groups are joined and sent to, in place of
        the listener's (C{listen.multicast.interface}).
    """

    send: bool = False
    ttl: int = 1
    sources: tuple[str, ...] | None = None
    interface: str = ""


@frozen
class Rule:
    """
    A rule, with either C{allow} or C{deny}.

    Rules are tried in order, and the first that matches decides. What no rule allows
    is denied. An absent field matches everything, an empty list nothing.

    @ivar id: The name of the rule, for the journal and for expectations.
    @ivar allow: Commands that are allowed. C{"any"} is all but
        C{resolve} and C{multicast}.
    @ivar deny: Commands that are denied. C{"any"} is all, C{resolve} included.
    @ivar who: Users: a name, C{"@group"}, C{"anonymous"}, C{"users"} for everybody
        who has logged in, C{"spiffe://corp.example/ci/*"} for all whose names begin so:
        the C{*} stands at the end, behind C{/} or C{:}, for the rest of a name.
    @ivar from_: Addresses of clients: networks, entries of C{[networks]}, built-in
        names.
    @ivar listener: Names of listeners.
    @ivar to: Destinations: networks, C{"*.x"} for names below x, C{".x"} for x and
        names below, C{"=host"} for one name, entries of C{[networks]}, built-in
        names.
    @ivar resolving_to: Addresses that the destination may have, also where the client
        gives the address itself. Absent: in a rule that allows, a name of C{to} covers
        public addresses only; all else is any address.
    @ivar ports: Ports of the destination: numbers and ranges such as
        C{"8000-8099"}; of a BIND, the peer's.
    @ivar services: Entries of C{[services]}, any of them.
    @ivar during: Entries of C{[schedules]}, any of them.
    @ivar until: The moment from which on the rule matches nothing.
    @ivar ticket: A text that is in every record of what the rule has allowed.
    @ivar message: Of a rule that denies: what people are told of it, such as whom to
        ask, in the record, by C{explain}, and in HTTP where C{http.reasons} is set;
        200 characters at most.
    @ivar secured: Levels of protection of the client's side: C{"clear"},
        C{"integrity"}, C{"confidentiality"}; C{"ipsec"}: the connection came in by
        IPsec (C{ipsec_mark} of the listener). Of datagrams it is their own: beside
        TLS they are clear.
    @ivar asked_by: How the client names the destination: C{"name"}, C{"address"}.
    @ivar method: Methods by which the user has logged in.
    @ivar tag: Tags behind the name of the user (C{auth.tag_separator}): a tag,
        C{"job-*"} for those that begin so, or C{"*"} for any.
    @ivar application: What the session carries, as its first octets tell: names of
        inspectors (C{socksgw plugins}) such as C{"tls"}, C{"http"}, C{"ssh"},
        C{"other"} for what no inspector knows, C{"unknown"} for what could not be told.
        A rule that allows does not match that, unless it names it; one that denies
        does. For C{connect}: the session is opened, looked at and judged again.
    @ivar server_name: Names of the server in the first octets of TLS or HTTP: C{"*.x"},
        C{".x"} and C{"=host"}, as in C{to}. For C{connect}, as C{application}.
    @ivar via: Upstreams by which what the rule allows leaves: C{["a", "b"]} is the
        chain of a, then b. In each place there may be several to choose from:
        C{[["a1", "a2"], "b"]}. C{"direct"} as the last one of the only place is the
        last resort: where no upstream works, it leaves from here. Absent: it leaves
        from here.
    @ivar balance: How one of several upstreams in a place is chosen. C{"sessions"}:
        the one with the fewest sessions. C{"random"}: any. C{"user"}: always the same
        one for a user, or, without a login, for an address. One that fails is passed
        over.
    @ivar leave_by: Addresses of this host that what the rule allows leaves by; in place
        of the listener's (C{listen.leave_by}).
    @ivar device: The interface, or the VRF, that it leaves by, in place of the
        listener's.
    @ivar mark: The mark of its sockets, in place of the listener's (C{listen.mark}).
    @ivar proxy_header: The version of the PROXY header that tells each destination
        whose connection it is, before anything else: C{"v1"} or C{"v2"}. For
        C{connect}. The destination has to expect it.
    @ivar report_only: C{true}: what the rule would decide is recorded, and the
        next rules decide.
    @ivar decider: The C{[[decider]]} that is asked about what the rule allows, and may
        deny it.
    """

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
    multicast: RuleMulticast = RuleMulticast()
    services: tuple[str, ...] | None = None
    during: tuple[str, ...] | None = None
    until: Moment | None = None
    ticket: str = ""
    message: str = ""
    secured: Words | None = None
    asked_by: Words | None = None
    method: Words | None = None
    tag: Words | None = None
    application: Words | None = None
    server_name: tuple[str, ...] | None = None
    timeouts: RuleTimeouts = RuleTimeouts()
    limits: Limit | None = None
    via: Via | None = None
    balance: Literal["sessions", "random", "user"] = "sessions"
    leave_by: Words | None = None
    device: str = ""
    mark: int | None = None
    proxy_header: Literal["v1", "v2"] | None = None
    report_only: bool = False
    decider: str = ""
    place: str = field(default="", metadata={"toml": None})


@frozen
class Expect:
    """
    A test of the policy.

    It gives the facts of a request and what has to be decided. A fact that is not
    given must not matter. C{socksgw check}, each start and each reload run it.

    @ivar to: The destination: C{"host:443"}, C{"10.1.2.3:22"}, C{"[2001:db8::1]:22"}.
    @ivar verdict: What has to be decided.
    @ivar command: What is asked for.
    @ivar who: The user.
    @ivar groups: The user's groups in a directory, besides those of C{[groups]}.
        Needed where a rule depends on them.
    @ivar from_: The client's address.
    @ivar listener: The listener that the client comes in on.
    @ivar method: The method by which the user has logged in.
    @ivar secured: The protection of the client's side: C{"clear"}, C{"integrity"},
        C{"confidentiality"}; C{"ipsec"} for what is clear inside IPsec,
        C{"confidentiality+ipsec"} for TLS inside it.
    @ivar tag: The tag behind the user's name; C{""} for none.
    @ivar application: What its first octets tell that the session carries.
    @ivar server_name: The name of the server in them; C{""} for none.
    @ivar at: When it is asked for.
    @ivar resolving_to: The addresses of the destination's name.
    @ivar rule: The rule that has to decide; C{"auth.choose"} for a client that does
        not get in, C{"never"}, or C{"default"} where no rule matches.
    """

    to: str
    verdict: Literal["allow", "deny"]
    command: CommandName = "connect"
    who: str = "anonymous"
    groups: tuple[str, ...] | None = None
    from_: str | None = field(default=None, metadata={"toml": "from"})
    listener: str | None = None
    method: str | None = None
    secured: str | None = None
    tag: str | None = None
    application: str | None = None
    server_name: str | None = None
    at: Moment | None = None
    resolving_to: tuple[str, ...] = ()
    rule: str | None = None
    place: str = field(default="", metadata={"toml": None})
