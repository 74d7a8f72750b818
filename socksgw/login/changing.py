"""
The stores of the checkers that change while the gateway runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from twisted.cred.checkers import ICredentialsChecker

from socksgw.interfaces import IAlteredStore, IChangingStore, IGroupSource
from socksgw.login.checks import reportFailure
from socksgw.login.groups import DirectoryGroups
from socksgw.login.identities import VerifiedIdentities

__all__ = ["ChangingStores"]


@final
class ChangingStores:
    """
    The stores of one generation.

    @ivar blind: whether some store does not tell its state. No user is let in then
        whom a store has to know.
    @ivar stamps: the state of each store when L{look} was called; empty while
        C{blind}.
    @ivar altered: the users whom the last change concerns; L{None} where that is not
        known.
    @ivar complete: whether all checkers together tell of each user whether they are
        still there.
    """

    def __init__(
        self,
        checkers: Sequence[ICredentialsChecker],
        directory: DirectoryGroups | None,
    ) -> None:
        """
        @param directory: which knows users, too; L{None} where there is none.
        """
        self._stores = [c for c in checkers if IChangingStore.providedBy(c)]
        self._directory = directory
        asked = [c for c in checkers if not isinstance(c, VerifiedIdentities)]
        self.complete = bool(asked) and all(
            IChangingStore.providedBy(c)
            or (directory is not None and IGroupSource.providedBy(c))
            for c in asked
        )
        self.blind = False
        self.altered: frozenset[str] | None = None
        self.stamps = self.current()

    def current(self) -> list[object]:
        """Return the state of each store now; nothing when one cannot be had."""
        try:
            stamps: list[object] = [store.stamp() for store in self._stores]
        except Exception as e:
            if not self.blind:
                reportFailure(e)
            self.blind = True
            return []
        self.blind = False
        return stamps

    def look(self) -> bool:
        """
        Look at every store.

        @return: whether one has changed since this was called before.
        """
        before, self.stamps = self.stamps, self.current()
        if self.stamps == before:
            return False
        self.altered = self._altered(before)
        return True

    def _altered(self, before: list[object]) -> frozenset[str] | None:
        if not before or not self.stamps:
            return None
        names: set[str] = set()
        for store, then, now in zip(self._stores, before, self.stamps, strict=True):
            if then == now:
                continue
            if not IAlteredStore.providedBy(store):
                return None
            altered = store.altered(then)
            if altered is None:
                return None
            names.update(name.decode("utf-8", "backslashreplace") for name in altered)
        return frozenset(names)

    def knows(self, name: str) -> bool:
        """
        Return whether there may be such a user.

        A store that cannot be read does not say that a user is gone.
        """
        octets = name.encode()
        return any(_mayKnow(store, octets) for store in self._stores) or (
            self._directory is not None and self._directory.knows(name)
        )


def _mayKnow(store: Any, name: bytes) -> bool:
    try:
        return bool(store.knows(name))
    except Exception as e:
        reportFailure(e)
        return True
