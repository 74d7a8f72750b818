"""
The files that a gateway writes: its journal and its quotas, in C{state_dir}.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, final

from twisted.internet.defer import Deferred

from socksgw.audit.journal import Elsewhere, Journal, JournalError
from socksgw.config.schema import Config
from socksgw.gateway.role import Role
from socksgw.gateway.starting import CannotStart
from socksgw.limits.counters import Kept, Row
from socksgw.limits.quotafile import QuotaFile, QuotasUnreadable
from socksgw.system.files import FileError, ownDirectory

__all__ = ["State"]


@final
class State:
    """
    Journal and quotas, opened and closed together.

    @ivar directory: where they are.
    @ivar journal: the journal.
    @ivar quotas: the file of used quotas.
    """

    def __init__(
        self,
        config: Config,
        counters: Kept,
        reactor: Any,
        soon: Callable[[Callable[[], None]], object],
        role: Role | None = None,
    ) -> None:
        """
        Open nothing yet.

        @param counters: those whose quotas are kept.
        @param soon: as of L{Journal}.
        @param role: how the journal is opened, and whether quotas are kept.
        """
        self._role = role or Role()
        gateway, self._named = config.gateway, bool(config.file)
        self._shared = gateway.shared_state_dir
        self._counters = counters
        # Whether another process has them.
        self._left = False
        self.directory = config.directory / gateway.state_dir
        self.quotas = QuotaFile(self.directory / "quotas.json", counters, reactor)
        self.journal = Journal(
            self.directory / config.audit.journal,
            config.audit,
            reactor,
            shared=self._shared,
            soon=soon,
            writers=self._role.count,
        )

    def open(self, lock: int = -1, quotas: Iterable[Row] | None = None) -> None:
        """
        Open the journal, and read the quotas.

        @param lock: as of L{Journal.open}.
        @param quotas: what is used of them, where another process tells; by default
            their file is read.
        @raise CannotStart: one of them cannot be used.
        """
        try:
            ownDirectory(self.directory, self._shared)
            self._role.openJournal(self.journal, lock)
            # The journal's lock keeps other processes away from it.
            if quotas is not None:
                self._counters.restore(quotas)
            elif self._role.isWhole:
                self.quotas.load()
        except (JournalError, QuotasUnreadable, FileError) as e:
            raise CannotStart(str(e)) from None
        except OSError as e:
            raise CannotStart(
                f"[gateway] state_dir {self.directory} cannot be used: {e.strerror}; "
                f"{self._remedy(e)}"
            ) from None

    def _remedy(self, error: OSError) -> str:
        remedy = "make it writable for this user"
        if isinstance(error, PermissionError):
            make = f"install -d -m 0700 -o {os.geteuid()} {self.directory}"
            remedy += f" (as root: {make})"
        other = "or name another" if self._named else "or start elsewhere"
        return f"{remedy}, {other}"

    def rows(self) -> list[Row]:
        """Return what is used of quotas."""
        return self._counters.rows()

    def save(self) -> None:
        """Save the quotas, where they have changed."""
        if self._role.isWhole and not self._left:
            self.quotas.save()

    def handOver(self, elsewhere: Elsewhere) -> None:
        """Leave both to another process, which is given the journal's lines."""
        self._left = True
        self.journal.handOver(elsewhere)

    def close(self) -> Deferred[None]:
        """
        Save the quotas, and close the journal.

        @return: fires when all is written.
        """
        if not self._role.isWhole:
            return self.journal.close()
        if self._left:
            return self.quotas.leave().addCallback(lambda _: self.journal.close())
        return self.quotas.close().addCallback(lambda _: self.journal.close())
