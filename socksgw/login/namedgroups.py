"""
The groups of directories that the configuration names.

The directories have names of their own for them, and may have no such group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, final

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from socksgw.interfaces import IGroupCatalogue
from socksgw.login.refusal import Refused
from socksgw.system.upkeep import defect

__all__ = ["NamedGroups"]

_log = Logger()

#: Seconds after which a look is repeated that failed.
_FAILED: Final = 10.0
#: Groups that do not exist, in one reason.
_TOLD: Final = 3
_NONE: Final[frozenset[str]] = frozenset()


@frozen
class _Named:
    """
    A directory's name in one group of the configuration.

    @ivar found: what the sources call it that could have it.
    """

    group: str
    name: str
    found: Mapping[Any, str]

    def isMissing(self, missing: Mapping[Any, frozenset[str]]) -> bool:
        """
        Return whether each source that could have a group has said that it has not.
        """
        return all(
            normal in missing.get(source, _NONE)
            for source, normal in self.found.items()
        )


@final
class NamedGroups:
    """
    Those of one configuration.

    @ivar all: the configuration's names of them.
    @ivar lost: those of which a part does not exist in any directory, so that
        nobody knows who would be in them.
    @ivar doubt: which parts, for the operator.
    """

    def __init__(
        self,
        sources: Sequence[Any],
        groups: Mapping[str, Iterable[str]],
        seconds: float,
        clock: Callable[[], float],
        altered: Callable[[], None],
    ) -> None:
        """
        Make the list, before any directory is asked.

        @param groups: the directories' names of each group.
        @param seconds: between two looks whether they exist.
        @param altered: called when other groups are L{lost} than before.
        """
        self.all = frozenset(groups)
        self.lost = _NONE
        self.doubt = ""
        self._named: list[_Named] = []
        self._byName: dict[str, set[str]] = {}
        for group, names in groups.items():
            for name in names:
                found = dict(_normals(sources, name))
                self._named.append(_Named(group, name, found))
                for normal in found.values():
                    self._byName.setdefault(normal, set()).add(group)
        self._catalogues = [s for s in sources if IGroupCatalogue.providedBy(s)]
        self._missing: dict[Any, frozenset[str]] = {}
        self._seconds = seconds
        self._clock = clock
        self._altered = altered
        self._lookAt = 0.0
        self._looking = False

    def of(self, names: Iterable[str]) -> frozenset[str]:
        """
        Return the configuration's groups that have one of these as a part.

        @param names: the directories' names, in normal form.
        """
        found: set[str] = set()
        for name in names:
            found |= self._byName.get(name, _NONE)
        return frozenset(found)

    def look(self) -> None:
        """
        Look whether they exist, when it is time to.
        """
        if not self._looking and self._clock() >= self._lookAt:
            self._looking = True
            self._lookAt = self._clock() + self._seconds
            Deferred.fromCoroutine(self._look())

    async def _look(self) -> None:
        """Never raises."""
        for source in self._catalogues:
            try:
                self._missing[source] = await maybeDeferred(source.missing)
            except Exception as e:
                # What was known stays. The next question about a user tells the cause.
                self._lookAt = self._clock() + min(self._seconds, _FAILED)
                if not isinstance(e, Refused):
                    defect("the check of groups", e)
        self._looking = False
        self._tell()

    def _tell(self) -> None:
        lost = [each for each in self._named if each.isMissing(self._missing)]
        groups = frozenset(each.group for each in lost)
        if groups == self.lost:
            return
        for each in lost:
            if each.group not in self.lost:
                _log.warn(
                    'group "{group}": no directory has "{name}", or can say who is in '
                    "it; an allow by the group does not match, a deny does",
                    group=each.group,
                    name=each.name,
                )
        for group in self.lost - groups:
            _log.info('group "{group}": its directory has it', group=group)
        self.lost = groups
        self.doubt = "; ".join(f'no directory has "{x.name}"' for x in lost[:_TOLD])
        self._altered()


def _normals(sources: Iterable[Any], name: str) -> Iterator[tuple[Any, str]]:
    """
    Return the sources that may have a group of the configuration.

    @return: each source, with its own name of the group.
    """
    for source in sources:
        try:
            yield source, source.normal(name)
        except ValueError:
            # It is another source's.
            continue
