"""
The names of all metrics: what each means, and its labels.

The manual's chapter C{metrics} has the same table; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from attrs import frozen

__all__ = ["CATALOGUE", "Kind", "Metric"]

Kind = Literal["counter", "gauge", "histogram"]


@frozen
class Metric:
    """
    One metric.

    @ivar name: as Prometheus has it: that of a counter ends in C{_total}.
    @ivar kind: what it is.
    @ivar help: what it means, one sentence.
    @ivar labels: the names of its labels.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_SESSION = ("listener", "protocol", "command", "method", "verdict", "reply")
_SINK = ("sink", "kind")
_UPSTREAM = ("upstream", "network")

_ALL: Final = (
    # Sessions.
    Metric(
        "socksgw_sessions_total", "counter",
        "Sessions that have ended, or that relay.", _SESSION,
    ),
    Metric(
        "socksgw_live_sessions", "gauge",
        "Sessions that live, by the stage that they are in.", ("listener", "stage"),
    ),
    Metric(
        "socksgw_session_ends_total", "counter",
        "Sessions that have ended, by the word for that in the journal.", ("reason",),
    ),
    Metric(
        "socksgw_denials_total", "counter",
        "Requests that were denied, by the rule that did.", ("rule",),
    ),
    Metric(
        "socksgw_octets_total", "counter",
        "Octets that sessions moved: sent to destinations, received from them.",
        ("listener", "direction"),
    ),
    # How long it takes.
    Metric(
        "socksgw_handshake_seconds", "histogram",
        "From a client's connection to its request, TLS and login included.",
        ("listener",),
    ),
    Metric(
        "socksgw_login_seconds", "histogram",
        "To find credentials right.", ("method",),
    ),
    Metric(
        "socksgw_lookup_seconds", "histogram",
        "To look up a name for the rules, remembered answers included.", ("result",),
    ),
    Metric(
        "socksgw_decider_seconds", "histogram",
        "To ask the services that may deny what rules allow.", ("decider",),
    ),
    Metric(
        "socksgw_policy_seconds", "histogram",
        "To decide a request by the rules, without look-ups and deciders.",
    ),
    Metric(
        "socksgw_record_seconds", "histogram",
        "Until the line of an allowed request is written to the journal.",
    ),
    Metric(
        "socksgw_connect_seconds", "histogram",
        "Until the destination of a CONNECT is reached.", ("listener", "way"),
    ),
    # Clients.
    Metric("socksgw_clients", "gauge", "Clients that are connected."),
    Metric(
        "socksgw_clients_limit", "gauge",
        "Clients that the limit of descriptors has room for.",
    ),
    Metric(
        "socksgw_half_open_clients", "gauge",
        "Clients that have not made their request yet.", ("listener",),
    ),
    Metric(
        "socksgw_refused_clients_total", "counter",
        "Connections that were closed at once because of a limit.",
    ),
    Metric(
        "socksgw_health_checks_total", "counter",
        "Connections of load balancers that asked for nothing.",
    ),
    Metric("socksgw_paused", "gauge", "Whether listeners pause: 1 if so."),
    Metric(
        "socksgw_pauses_total", "counter",
        "How often listeners paused for want of descriptors or memory.",
    ),
    # The gateway itself.
    Metric(
        "socksgw_reactor_lag_seconds", "histogram",
        "By how much work of the reactor is late, looked at four times a second.",
    ),
    Metric(
        "socksgw_pool_threads", "gauge",
        "Threads that are at work, by what they do.", ("pool",),
    ),
    Metric(
        "socksgw_pool_threads_limit", "gauge",
        "Threads that may be at work.", ("pool",),
    ),
    Metric(
        "socksgw_pool_waiting", "gauge",
        "Calls that wait for a thread.", ("pool",),
    ),
    Metric(
        "socksgw_held_bytes", "gauge",
        "Octets that are held for readers that do not read.",
    ),
    Metric(
        "socksgw_held_limit_bytes", "gauge",
        "Octets that may be held so, as relay.memory says.",
    ),
    Metric("socksgw_open_descriptors", "gauge", "Descriptors that are open."),
    Metric("socksgw_descriptors_limit", "gauge", "Descriptors that may be open."),
    Metric("socksgw_cpu_seconds_total", "counter", "CPU time of the process."),
    Metric("socksgw_resident_memory_bytes", "gauge", "Memory of the process."),
    Metric(
        "socksgw_start_time_seconds", "gauge",
        "When the process began, in seconds since 1970.",
    ),
    Metric(
        "socksgw_build_info", "gauge", "Always 1; the labels say what runs.",
        ("version", "python", "twisted"),
    ),
    # Journal.
    Metric(
        "socksgw_journal_position", "gauge", "The number of the journal's last line."
    ),
    Metric("socksgw_journal_bytes", "gauge", "Octets of the whole journal."),
    Metric(
        "socksgw_journal_limit_bytes", "gauge",
        "Octets that it may have, as audit.max_size says.",
    ),
    Metric(
        "socksgw_journal_waiting_lines", "gauge", "Lines that are not written yet."
    ),
    Metric(
        "socksgw_journal_failing", "gauge",
        "Whether lines cannot be written: 1 if so.",
    ),
    Metric(
        "socksgw_journal_refused_total", "counter",
        "Decisions whose line could not be written.",
    ),
    Metric(
        "socksgw_journal_lost_lines_total", "counter",
        "Lines that no request waited for, and that could not be kept.",
    ),
    # Sinks.
    Metric(
        "socksgw_sink_up", "gauge",
        "Whether a sink follows the journal: 0 while it starts or fails.", _SINK,
    ),
    Metric(
        "socksgw_sink_position", "gauge",
        "The number of the last line that a sink has.", _SINK,
    ),
    Metric(
        "socksgw_sink_behind_lines", "gauge",
        "Lines of the journal that a sink does not have yet.", _SINK,
    ),
    Metric(
        "socksgw_sink_delivered_total", "counter",
        "Lines that a sink got.", _SINK,
    ),
    Metric(
        "socksgw_sink_failures_total", "counter", "How often a sink failed.", _SINK,
    ),
    Metric(
        "socksgw_sink_missed_total", "counter",
        "Lines that a sink will never get, since they were dropped before.", _SINK,
    ),
    Metric(
        "socksgw_sink_aside_total", "counter",
        "Lines that were put aside, since whoever takes a sink's lines refused them.",
        _SINK,
    ),
    # Limits.
    Metric(
        "socksgw_limited_sessions", "gauge",
        "Sessions that are counted by limits.",
    ),
    Metric(
        "socksgw_limit_refusals_total", "counter",
        "Sessions and flows that limits refused.",
    ),
    Metric(
        "socksgw_throttle_refusals_total", "counter",
        "Logins that were refused unchecked, after too many failures.",
    ),
    Metric(
        "socksgw_throttle_failures", "gauge",
        "Failed logins that count still.",
    ),
    Metric(
        "socksgw_throttle_blocked", "gauge",
        "Sources, and names of a source, that are refused now.",
    ),
    # A cluster.
    Metric(
        "socksgw_cluster_alone", "gauge",
        "Whether limits are divided by members, since Redis is out of reach.",
    ),
    Metric(
        "socksgw_cluster_members", "gauge",
        "Members of the cluster that Redis hears of.",
    ),
    Metric(
        "socksgw_cluster_exchanges_total", "counter",
        "Exchanges with the Redis of the cluster.",
    ),
    Metric(
        "socksgw_cluster_failures_total", "counter",
        "Exchanges with Redis that have failed.",
    ),
    # Upstreams.
    Metric(
        "socksgw_upstream_up", "gauge",
        "Whether an upstream is used: 1 if so, 0 while it is ejected.", _UPSTREAM,
    ),
    Metric(
        "socksgw_upstream_sessions", "gauge",
        "Sessions that use an upstream, or are being opened there.", _UPSTREAM,
    ),
    Metric(
        "socksgw_upstream_opened_total", "counter",
        "Connections that an upstream has opened.", _UPSTREAM,
    ),
    Metric(
        "socksgw_upstream_failed_total", "counter",
        "Failures of an upstream, by the word for them in the journal.",
        (*_UPSTREAM, "reason"),
    ),
    Metric(
        "socksgw_upstream_checks_total", "counter",
        "Checks of an upstream.", (*_UPSTREAM, "result"),
    ),
    Metric(
        "socksgw_upstream_ejections_total", "counter",
        "How often an upstream was ejected.", _UPSTREAM,
    ),
    # Configuration.
    Metric(
        "socksgw_reloads_total", "counter",
        "Reloads of the configuration.", ("result",),
    ),
    Metric(
        "socksgw_configuration_since_seconds", "gauge",
        "When the configuration in force was read, in seconds since 1970.",
    ),
    Metric(
        "socksgw_configuration_info", "gauge",
        "Always 1; the digest is the SHA-256 of the files.", ("digest",),
    ),
    Metric("socksgw_rules", "gauge", "Rules of the configuration in force."),
    Metric(
        "socksgw_certificate_expiry_seconds", "gauge",
        "When the certificate of a listener expires, in seconds since 1970.",
        ("listener",),
    ),
)  # fmt: skip

#: All metrics by name.
CATALOGUE: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _ALL}
