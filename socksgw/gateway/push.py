"""
Metrics that are sent to a collector, now and then, from a thread of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.config.schema import Config, MetricsOTLP
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.measuring import BEGAN, BUILD, Latest
from socksgw.gateway.parts import Part
from socksgw.gateway.starting import CannotStart
from socksgw.system.files import FileError
from socksgw.system.once import Once
from socksgw.system.secretfile import SecretFile
from socksgw.system.threads import Threads

if TYPE_CHECKING:
    from socksgw.metrics.otlp import Pusher

__all__ = ["MetricsPush"]

_log: Final = Logger()
#: Seconds that sending may take at most.
_PATIENCE: Final = 10.0


@final
class MetricsPush(Part):
    """What sends the metrics, as C{[metrics.otlp]} says."""

    named = "the metrics for a collector"
    alone = True

    def __init__(self, gateway: Gateway, reactor: Any) -> None:
        """
        Send nothing yet.
        """
        self._gateway = gateway
        self._reactor = reactor
        self._threads = Threads(reactor, "otlp", 1, 1, lambda: RuntimeError("busy"))
        self._settings: MetricsOTLP | None = None
        self._pusher: Pusher | None = None
        self._latest = Latest()
        self._next = 0.0
        self._sending = False
        self._failing = Once()

    def change(self, config: Config) -> None:
        """As L{Part.change}."""
        settings = config.metrics.otlp
        if settings == self._settings and (settings is None or not settings.token_file):
            return
        pusher = None
        if settings is not None:
            # It takes long to import, and few gateways want it.
            from socksgw.metrics.otlp import Pusher

            token = b""
            try:
                if settings.token_file:
                    token = SecretFile(config.directory / settings.token_file).read()
            except FileError as e:
                raise CannotStart(f"metrics.otlp.token_file: {e}") from None
            ca = str(config.directory / settings.ca) if settings.ca else ""
            patience = min(_PATIENCE, float(settings.every))
            pusher = Pusher(settings.url, token.decode(), ca, patience)
        self._drop()
        self._settings, self._pusher = settings, pusher
        self._next = 0.0

    def look(self) -> None:
        """As L{Part.look}."""
        settings, pusher = self._settings, self._pusher
        now = self._gateway.clock()
        if settings is None or pusher is None or self._sending or now < self._next:
            return
        self._next = now + settings.every
        self._sending = True
        resource = {
            "service.name": "socksgw",
            "service.instance.id": self._gateway.config.gateway.name,
            "service.version": BUILD[0],
        }
        sent = self._latest.ask(self._gateway, self._reactor).addCallback(
            lambda found: self._threads.do(lambda: pusher.push(found, BEGAN, resource))
        )
        sent.addCallbacks(
            lambda _: self._failing.ends(), self._failed, (), {}, (pusher,)
        )
        sent.addBoth(self._done)

    def _failed(self, failure: Failure, pusher: Pusher) -> None:
        if pusher is self._pusher and self._failing.begins():
            _log.error(
                "metrics.otlp: the collector has not taken the metrics: {why}; this is "
                "tried again",
                why=failure.getErrorMessage(),
            )

    def _done(self, _: object) -> None:
        self._sending = False

    def _drop(self) -> None:
        pusher, self._pusher = self._pusher, None
        if pusher is not None:
            # Not in the thread, which may be sending: that ends by this.
            pusher.close()

    def close(self) -> Deferred[Any] | None:
        """As L{Part.close}."""
        self._drop()
        self._threads.stop()
        return None
