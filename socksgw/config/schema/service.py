"""
The tables about the process.

These are its name and files, time-outs, memory, the look-up of names, the journal.
"""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from socksgw.config.convert import Duration, Octets
from socksgw.config.schema.values import Sync, Workers

__all__ = [
    "AuditConfig",
    "Family",
    "GatewayConfig",
    "InspectConfig",
    "RelayConfig",
    "ResolverConfig",
    "Sink",
    "Timeouts",
]


@frozen
class GatewayConfig:
    """
    The gateway itself.

    @ivar name: The name in the banner and in the journal's C{start} and C{stop}. A
        change takes effect at the next start.
    @ivar state_dir: The directory of what the gateway writes: the journal and the
        used-up quotas. A relative path starts at this file. The directory, its
        parent and the journal's have to belong to the gateway's user or root, and
        nobody else may write to them; a missing one is made with mode 0700. A change
        takes effect at the next start.
    @ivar shared_state_dir: C{true}: other users may own C{state_dir} and write to
        it, as on a container's volume.
    @ivar trusted_groups: Groups of this machine, names or numbers, whose members may
        read keys and other secrets if the file's mode lets them. The gateway's own
        group may, in any case.
    @ivar netns_dir: The directory of the Unix sockets of brokers, C{NAME.sock} for
        each C{netns} of a listener. A change takes effect at the next start.
    @ivar workers: How many processes serve clients (C{socksgw help workers}): a number,
        or C{"auto"} for one per core that this process may use. With 1 there is one
        process in all. A change takes effect at the next start.
    @ivar enforce: C{"all"}: sessions that are no longer allowed, after a reload, the
        end of a schedule or the removal of a user, end within a second.
        C{"new-only"}: they go on, and only new requests are judged.
    @ivar reload_on_change: C{true}: reload when this file or an included one has
        changed and then stayed the same for a second. SIGHUP always reloads.
    """

    name: str = "socksgw"
    state_dir: str = "var"
    shared_state_dir: bool = False
    trusted_groups: tuple[str, ...] = ()
    netns_dir: str = "/run/socksgw/netns"
    workers: Workers = 1
    enforce: Literal["all", "new-only"] = "all"
    reload_on_change: bool = False


@frozen
class Timeouts:
    """
    How long the gateway waits.

    @ivar handshake: From the client's connection to its request, TLS and login
        included, however slowly it sends.
    @ivar lookup: For the look-up of one name.
    @ivar connect: For a connection to the destination, all its addresses together.
    @ivar idle: How long a session may move no octet in either direction. TCP
        keep-alive is on besides.
    @ivar udp_idle: How long a UDP association, and each flow in it, may move no
        datagram.
    @ivar bind: For the peer that a BIND waits for.
    @ivar drain: How long sessions may go on after SIGTERM.
    """

    handshake: Duration = Duration(10)
    lookup: Duration = Duration(5)
    connect: Duration = Duration(15)
    idle: Duration = Duration(7200)
    udp_idle: Duration = Duration(300)
    bind: Duration = Duration(120)
    drain: Duration = Duration(60)


@frozen
class RelayConfig:
    """
    The relay.

    @ivar memory: Octets that may be held, in all sessions together, for readers
        that do not read and for requests that have no destination yet; at least
        C{"1MiB"}. A change takes effect at the next start.
    """

    memory: Octets = Octets(256_000_000)


@frozen
class InspectConfig:
    """
    What is told of a session by its first octets, both ways.

    With this table every CONNECT is looked at while its octets pass, and the record
    says what was found. Sessions that a rule with C{application} or C{server_name} may
    decide about are looked at in any case, and before the client's octets go on.

    @ivar octets: How many octets of each side are looked at, at most: C{"1KiB"} to
        C{"64KiB"}.
    @ivar timeout: How long after the first octet it may take to tell what it is, at
        most C{"1m"}.
    @ivar mismatch: What happens to a session that asked for one name and whose content
        names another server. C{"cut"}: it ends. C{"record"}: the record says so.
    """

    octets: Octets = Octets(16_384)
    timeout: Duration = Duration(2)
    mismatch: Literal["cut", "record"] = "cut"


Family = Literal["prefer6", "prefer4", "only4", "only6"]


@frozen
class ResolverConfig:
    """
    The look-up of names.

    @ivar servers: Name servers: C{"192.0.2.53"}, C{"192.0.2.53:5353"},
        C{"[2001:db8::53]:53"}. C{[]}: this host's hosts file, then the servers of its
        C{resolv.conf}. With servers here, the hosts file is not read.
    @ivar family: Which family of addresses is tried first, or asked for alone.
    """

    servers: tuple[str, ...] = ()
    family: Family = "prefer6"


@frozen
class Sink:
    """
    A sink of the journal with several options.

    Which other keys there are depends on C{kind}: C{socksgw help sinks}.

    @ivar kind: The kind of the sink: C{"stdout"}, C{"file"}, C{"pipe"}, or one of a
        plug-in (C{socksgw plugins}).
    @ivar name: The name in the journal, in commands and of the file that keeps how far
        the sink has come. Absent: its kind.
    @ivar url: What stands behind C{kind:} in C{audit.sinks}.
    @ivar url_file: The same, in a file that others cannot read, since it holds a
        password.
    @ivar format: The format of the lines. Absent: that of the kind.
    @ivar begin: Where a sink begins that has no line yet. C{"first"}: with the first
        line that the journal still has. C{"next"}: with the next one that is written.
    """

    kind: str
    name: str = ""
    url: str = ""
    url_file: str = ""
    format: str = ""
    begin: Literal["first", "next"] = "first"
    #: What else the table holds; the sink's own plug-in says what may be there.
    options: Mapping[str, Any] = field(factory=dict, metadata={"toml": "*"})


@frozen
class AuditConfig:
    """
    The journal.

    @ivar journal: The directory of the journal, in C{state_dir}. A change takes
        effect at the next start.
    @ivar on_failure: What happens to requests whose line cannot be written.
        C{"refuse"}: they are refused. C{"count"}: they are served without a record,
        and their number is reported.
    @ivar sync: How often the disk is asked to keep what was written, against loss of
        power: a duration, or C{"each"} for each decision before it takes effect, or
        C{"never"}. A change takes effect at the next start.
    @ivar keep: Age at which files of the journal are deleted, at most one in twenty
        an hour, since a clock may jump.
    @ivar max_size: Size of the whole journal; at least C{"1MB"}. With C{when_full =
        "refuse"} the last tenth is for users who log in.
    @ivar when_full: What happens at C{max_size}. C{"refuse"}: as C{on_failure} says.
        C{"drop-oldest"}: whole files are deleted, the oldest first.
    @ivar sinks: Where else each line goes: C{"stdout:native"}, C{"file:lines.jsonl"},
        C{"pipe:/run/collector"}, and those of other plug-ins. Relative paths start at
        C{state_dir}. Each follows the journal from its own position; one that takes no
        lines holds up nobody, and the files that it lacks are kept up to C{max_size}.
    @ivar signing_key: The file of a key that signs the journal's head
        (C{socksgw audit key FILE} makes one), as of C{LoadCredential=} of systemd. With
        the public key, C{audit verify --key} finds a journal that was rewritten.
    @ivar checkpoint_lines: The number of lines, at most, between two signatures.
    @ivar checkpoint_every: The time, at most, between two signatures, if there are
        new lines.
    """

    journal: str = "audit"
    on_failure: Literal["refuse", "count"] = "refuse"
    sync: Sync = Duration(1)
    keep: Duration = Duration(90 * 86400)
    max_size: Octets = Octets(20_000_000_000)
    when_full: Literal["refuse", "drop-oldest"] = "refuse"
    signing_key: str = ""
    checkpoint_lines: int = 1000
    checkpoint_every: Duration = Duration(600)
    sinks: tuple[str, ...] = ()
    sink: tuple[Sink, ...] = ()
