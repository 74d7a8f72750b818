"""
Have the journal signed: C{[audit] signing_key}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

from socksgw.audit.journal import Journal
from socksgw.config.schema import Config
from socksgw.gateway.parts import Part
from socksgw.gateway.starting import CannotStart
from socksgw.system.files import FileError

if TYPE_CHECKING:
    from socksgw.audit.checkpoints import Checkpoints

__all__ = ["SignedJournal"]


class Service(Protocol):
    """What the signing uses of the gateway."""

    @property
    def journal(self) -> Journal: ...


@final
class SignedJournal(Part):
    """Has the journal signed as the configuration says."""

    named = "the signing of the journal"

    def __init__(self, gateway: Service) -> None:
        self._gateway = gateway
        self._before: tuple[Config, Checkpoints | None] | None = None
        self._config: Config | None = None

    def change(self, config: Config) -> None:
        """As L{Part.change}."""
        journal = self._gateway.journal
        if self._before is not None and self._before[0] is config:
            signs = self._before[1]
        else:
            signs = self._made(config)
        if self._config is not None:
            self._before = self._config, journal.checkpoints
        self._config, journal.checkpoints = config, signs

    def _made(self, config: Config) -> Checkpoints | None:
        audit = config.audit
        if not audit.signing_key:
            return None
        # Few gateways sign.
        from socksgw.audit.checkpoints import Checkpoints

        try:
            return Checkpoints(
                config.directory / audit.signing_key,
                config.gateway.name,
                audit.checkpoint_lines,
                audit.checkpoint_every,
            )
        except FileError as e:
            raise CannotStart(f"[audit] signing_key: {e}") from None
