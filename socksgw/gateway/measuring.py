"""
The values of all metrics, read off a gateway that runs.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from socksgw.gateway.gateway import Gateway
from socksgw.metrics.merging import merged
from socksgw.metrics.meters import Histograms
from socksgw.metrics.snapshot import Snapshot
from socksgw.session.stage import Stage
from twisted import __version__ as twistedVersion

__all__ = ["BEGAN", "BUILD", "Latest", "gather", "measure", "render", "tally"]

#: Seconds for which values are of now.
_FRESH: Final = 1.0
#: So many sessions are looked at in one turn of the reactor.
_AT_ONCE: Final = 1000
_DESCRIPTORS: Final = Path("/proc/self/fd")
_MEMORY: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
#: When this process began, as nearly as it is known.
BEGAN: Final = time.time()
#: The rule of a denial that is no rule's.
_NO_RULE: Final = "none"


def _version() -> str:
    try:
        return version("socksgw")
    except PackageNotFoundError:
        return "unknown"


#: The versions of ours, of Python and of Twisted.
BUILD: Final = (_version(), platform.python_version(), twistedVersion)


def measure(gateway: Gateway) -> Snapshot:
    """Return the values of now, at once."""
    for found in gather(gateway):
        if found is not None:
            return found
    raise AssertionError("nothing was gathered")


def render(gateway: Gateway, accept: str = "") -> tuple[bytes, str]:
    """
    Return the values of now as a text for Prometheus, and its content type.

    @param accept: the Accept header of the request.
    """
    # It takes long to import, and whoever only measures needs it not.
    from socksgw.metrics.exposition import exposition

    return exposition(measure(gateway), accept)


def gather(gateway: Gateway) -> Iterator[Snapshot | None]:
    """
    Yield L{None} after each part of the work, and at last the values.

    A part is short, so that others have their turns between them. What live sessions
    have moved is added to the meters session by session: nothing is counted twice, and
    no counter ever falls.
    """
    meters = gateway.meters
    live: dict[tuple[str, str], int] = {}
    for i, session in enumerate(gateway.sessions, 1):
        record, stage = session.record, session.stage
        if stage is Stage.RELAY and not record.reason:
            meters.living(record, *session.moved)
        key = record.listener, stage.value
        live[key] = live.get(key, 0) + 1
        if i % _AT_ONCE == 0:
            yield None
    for lives in gateway.relief.lives.values():
        for key, count in lives.items():
            live[key] = live.get(key, 0) + count
    snapshot = Snapshot(time.time())
    for (listener, named), count in live.items():
        snapshot.put("socksgw_live_sessions", count, listener, named)
    _sessions(snapshot, gateway)
    _clients(snapshot, gateway)
    _process(snapshot, gateway)
    _journal(snapshot, gateway)
    _limits(snapshot, gateway)
    _upstreams(snapshot, gateway)
    _cluster(snapshot, gateway)
    _configuration(snapshot, gateway)
    yield snapshot


def tally(gateway: Gateway) -> Snapshot:
    """
    Return what has been counted so far, at little cost: no session is looked at.
    """
    snapshot = Snapshot(time.time())
    for put in (_sessions, _clients, _limits, _upstreams):
        put(snapshot, gateway)
    return snapshot


@final
class Latest:
    """
    The values that a gateway had last.

    They are read off in several turns of the reactor, for all that ask at a time.
    """

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._at = 0.0
        self._waiting: list[Deferred[Snapshot]] | None = None

    def ask(self, gateway: Gateway, reactor: Any) -> Deferred[Snapshot]:
        """Return what fires with values that are at most a second old."""
        asked: Deferred[Snapshot] = Deferred()
        fresh = reactor.seconds() - self._at
        if self._snapshot is not None and 0 <= fresh < _FRESH:
            asked.callback(self._snapshot)
        elif self._waiting is not None:
            self._waiting.append(asked)
        else:
            self._waiting = [asked]
            self._go(gateway, gather(gateway), reactor)
        return asked

    def _go(self, gateway: Gateway, gathering: Any, reactor: Any) -> None:
        try:
            found = next(gathering)
        except Exception:
            self._failed(Failure())
            return
        if found is None:
            reactor.callLater(0, self._go, gateway, gathering, reactor)
            return
        role = gateway.role
        if not role.isWhole or role.count == 1:
            self._found(found, reactor)
            return
        measuring: Deferred[Any] = role.measured()
        measuring.addCallback(lambda theirs: merged(found, theirs))
        measuring.addCallbacks(self._found, self._failed, (reactor,))

    def _failed(self, failure: Failure) -> None:
        waiting, self._waiting = self._waiting or [], None
        for each in waiting:
            each.errback(failure)

    def _found(self, found: Snapshot, reactor: Any) -> None:
        self._snapshot, self._at = found, reactor.seconds()
        waiting, self._waiting = self._waiting or [], None
        for each in waiting:
            each.callback(found)


def _sessions(snapshot: Snapshot, gateway: Gateway) -> None:
    meters, put = gateway.meters, snapshot.put
    meters.fold()
    for way, count in meters.sessions.items():
        put("socksgw_sessions_total", count, *way)
    for reason, count in meters.ends.items():
        put("socksgw_session_ends_total", count, reason)
    for rule, count in meters.denials.items():
        put("socksgw_denials_total", count, rule or _NO_RULE)
    for listener, (sent, received) in meters.octets.items():
        put("socksgw_octets_total", sent, listener, "sent")
        put("socksgw_octets_total", received, listener, "received")
    _histograms(snapshot, "socksgw_handshake_seconds", meters.handshakes)
    _histograms(snapshot, "socksgw_login_seconds", meters.logins)
    _histograms(snapshot, "socksgw_lookup_seconds", meters.lookUps)
    _histograms(snapshot, "socksgw_decider_seconds", meters.deciders)
    _histograms(snapshot, "socksgw_connect_seconds", meters.connects)
    put("socksgw_policy_seconds", meters.policies.copy())
    put("socksgw_record_seconds", meters.records.copy())
    put("socksgw_reactor_lag_seconds", meters.lag.copy())


def _histograms(snapshot: Snapshot, name: str, histograms: Histograms) -> None:
    for key, histogram in histograms.items():
        labels = key if isinstance(key, tuple) else (key,)
        snapshot.put(name, histogram.copy(), *labels)


def _clients(snapshot: Snapshot, gateway: Gateway) -> None:
    census, put = gateway.census, snapshot.put
    put("socksgw_clients", census.clients)
    put("socksgw_clients_limit", census.most)
    put("socksgw_refused_clients_total", census.refused)
    put("socksgw_health_checks_total", census.checks)
    put("socksgw_paused", census.paused)
    put("socksgw_pauses_total", census.pauses)
    for name, listener in gateway.listeners.items():
        put("socksgw_half_open_clients", listener.admission.halfOpen, name)


def _process(snapshot: Snapshot, gateway: Gateway) -> None:
    put = snapshot.put
    memory = gateway.memory
    put("socksgw_held_bytes", memory.held)
    put("socksgw_held_limit_bytes", memory.limit)
    for name, running, most, waiting in gateway.pools():
        put("socksgw_pool_threads", running, name)
        put("socksgw_pool_threads_limit", most, name)
        put("socksgw_pool_waiting", waiting, name)
    times = os.times()
    put("socksgw_cpu_seconds_total", times.user + times.system)
    put("socksgw_start_time_seconds", BEGAN)
    put("socksgw_build_info", 1, *BUILD)
    put("socksgw_descriptors_limit", gateway.descriptors)
    try:
        put("socksgw_open_descriptors", _opened())
        put("socksgw_resident_memory_bytes", _resident())
    except OSError:
        # A sandbox without /proc.
        pass


def _opened() -> int:
    """
    Return how many descriptors are open.

    @raise OSError: there is no C{/proc}.
    """
    # Since Linux 6.2 it is the size; to list 15,000 takes 4 ms.
    return _DESCRIPTORS.stat().st_size or len(os.listdir(_DESCRIPTORS)) - 1


def _resident() -> int:
    """
    Return the octets of memory that the process has.

    @raise OSError: there is no C{/proc}.
    """
    return int(_MEMORY.read_bytes().split()[1]) * _PAGE


def _journal(snapshot: Snapshot, gateway: Gateway) -> None:
    journal, put = gateway.journal, snapshot.put
    put("socksgw_journal_position", journal.number)
    put("socksgw_journal_bytes", journal.octets)
    put("socksgw_journal_limit_bytes", gateway.config.audit.max_size)
    put("socksgw_journal_waiting_lines", journal.waiting)
    put("socksgw_journal_failing", journal.failing)
    put("socksgw_journal_refused_total", journal.refusedInAll)
    put("socksgw_journal_lost_lines_total", journal.lostInAll)
    for standing in gateway.sinks.standings.values():
        labels = standing.name, standing.kind
        put("socksgw_sink_up", standing.state == "following", *labels)
        put("socksgw_sink_position", standing.position, *labels)
        put("socksgw_sink_behind_lines", gateway.sinks.behind(standing), *labels)
        put("socksgw_sink_delivered_total", standing.delivered, *labels)
        put("socksgw_sink_failures_total", standing.failures, *labels)
        put("socksgw_sink_missed_total", standing.missed, *labels)
        put("socksgw_sink_aside_total", standing.aside, *labels)


def _limits(snapshot: Snapshot, gateway: Gateway) -> None:
    limits, throttle, put = gateway.limits, gateway.throttle, snapshot.put
    put("socksgw_limited_sessions", limits.live)
    put("socksgw_limit_refusals_total", limits.refused)
    put("socksgw_throttle_refusals_total", throttle.refused)
    put("socksgw_throttle_failures", len(throttle.past))
    put("socksgw_throttle_blocked", throttle.blocked)


def _cluster(snapshot: Snapshot, gateway: Gateway) -> None:
    cluster, put = gateway.cluster, snapshot.put
    if cluster is not None:
        members = cluster.counters.members
        put("socksgw_cluster_alone", cluster.isAlone)
        put("socksgw_cluster_members", len(members.all) - len(cluster.absent))
        put("socksgw_cluster_exchanges_total", cluster.exchanges)
        put("socksgw_cluster_failures_total", cluster.failures)


def _upstreams(snapshot: Snapshot, gateway: Gateway) -> None:
    put = snapshot.put
    for domain, standing in gateway.upstreams:
        labels = standing.name, domain.tag
        health = standing.health
        put("socksgw_upstream_up", not health.out, *labels)
        put("socksgw_upstream_sessions", standing.sessions, *labels)
        put("socksgw_upstream_opened_total", standing.opened, *labels)
        put("socksgw_upstream_ejections_total", health.ejections, *labels)
        put("socksgw_upstream_checks_total", health.passed, *labels, "passed")
        put("socksgw_upstream_checks_total", health.missed, *labels, "failed")
        for reason, count in standing.failed.items():
            put("socksgw_upstream_failed_total", count, *labels, reason)


def _configuration(snapshot: Snapshot, gateway: Gateway) -> None:
    put, reloads = snapshot.put, gateway.reloads
    put("socksgw_reloads_total", reloads.succeeded, "done")
    put("socksgw_reloads_total", reloads.failures, "failed")
    put("socksgw_configuration_since_seconds", gateway.since)
    put("socksgw_configuration_info", 1, gateway.config.digest)
    put("socksgw_rules", len(gateway.generation.policy.ruleset.rules))
    for name, tls in gateway.generation.secured.items():
        put("socksgw_certificate_expiry_seconds", tls.expires, name)
