"""
What building a configuration takes, made ready in a thread.

Modules are imported that few gateways need and that take long; and the system is asked
for the users and groups that own sockets, which a directory may know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

from socksgw.accept.unixport import askOwner
from socksgw.config.schema import Config
from socksgw.login.discovery import findCheckers

__all__ = ["foresee"]


def foresee(config: Config) -> None:
    """
    Make all ready that would hold up the reactor; it may block, as in a thread.

    What is wrong is left to whoever needs it: there it is reported.
    """
    for module in _modules(config):
        # An import can fail with anything: whoever needs the module reports it.
        with suppress(Exception):
            import_module(module)
    if config.auth.checkers or config.auth.checker:
        findCheckers()
    for listen in config.listen:
        askOwner(listen.owner)
    if config.admin is not None:
        askOwner(config.admin.owner)


def _modules(config: Config) -> Iterator[str]:
    """Yield the modules that only some configurations need."""
    if config.admin is not None:
        yield "socksgw.admin.server"
        yield "socksgw.metrics.exposition"
    if config.metrics.otlp is not None:
        yield "socksgw.metrics.otlp"
    if config.audit.signing_key:
        yield "socksgw.audit.checkpoints"
    if config.decider:
        yield "socksgw.gateway.deciders"
    if config.pac is not None:
        yield "socksgw.gateway.pacserver"
    for text in config.auth.checkers:
        kind = text.partition(":")[0]
        yield "socksgw.login.checkers" if kind == "passwd" else f"socksgw.login.{kind}"
    for table in config.auth.checker:
        yield f"socksgw.login.stores.{table.kind}"
