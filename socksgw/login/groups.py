"""
The groups that directories say a user is in.

A directory is asked once, its answer is remembered for a while, and it is asked
again for users with open sessions.

While a directory cannot be asked, what it said last holds for a time. After
that the groups are not known: an allow by one does not match, a deny does.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, final

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.python.failure import Failure

from socksgw.interfaces import SetDeadline, User
from socksgw.login.namedgroups import NamedGroups
from socksgw.login.realm import SocksUser
from socksgw.login.refusal import Barred, Refused
from socksgw.login.stores.remote import Unavailable

__all__ = ["NOWHERE", "Answer", "DirectoryGroups", "Membership"]

#: Users remembered, and those asked about at a time because somebody logs in,
#: or because they live.
_REMEMBERED: Final = 50_000
_ASKED: Final = 1024
_REFRESHED: Final = 16
#: Seconds that a failure counts; after that the next login asks again.
_FAILED: Final = 10.0
_NONE: Final[frozenset[str]] = frozenset()

#: Told of a look-up that failed: the checker, the user, and why.
Failed = Callable[[str, str, str], None]


@frozen
class Membership:
    """
    The groups of a user, by the configuration's names.

    @ivar groups: those that a directory has said.
    @ivar unsure: those of which none can say whether the user is in them.
    @ivar doubt: why there are such, for the operator.
    """

    groups: frozenset[str]
    unsure: frozenset[str] = frozenset()
    doubt: str = ""

    def joined(self, user: SocksUser) -> SocksUser:
        """
        Return the user with these groups beside those of the configuration.
        """
        if not self.groups and not self.unsure:
            return user
        groups = user.groups | self.groups
        unsure = self.unsure - groups
        doubt = self.doubt if unsure else ""
        return evolve(user, groups=groups, unsure=unsure, doubt=doubt)


#: In no group, for certain.
NOWHERE: Final = Membership(_NONE)


@frozen
class Answer:
    """
    An answer of the directories about one user.

    @ivar names: the directories' names of their groups.
    @ivar known: whether some directory knows the user, or could not say.
    @ivar barred: why the user may not log in, where a directory has the account, and it
        is not C{known} for that reason.
    @ivar until: when it is to be asked again, in monotonic seconds.
    @ivar said: when directories said this; L{None} when they never did.
    @ivar doubt: why C{names} are not what directories say now; empty while they
        are, or hold.
    @ivar told: when it was last told that it failed.
    """

    names: frozenset[str]
    known: bool
    until: float
    said: float | None = None
    doubt: str = ""
    told: float | None = None
    barred: str = ""


class _Failed(Exception):
    """
    A look-up failed; the text is for the journal.

    @ivar source: which checker it is about.
    """

    def __init__(self, source: str, why: str) -> None:
        super().__init__(why)
        self.source = source


class _Question:
    """A look-up under way, and who waits for it."""

    __slots__ = ("live", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Deferred[Answer]] = []
        self.live = False


@final
class DirectoryGroups:
    """
    The groups that are a directory's.

    @ivar changed: users who live and whose groups are others than they were;
        the caller that has looked clears it.
    """

    def __init__(
        self,
        sources: Sequence[Any],
        groups: Mapping[str, Iterable[str]],
        seconds: float,
        hold: float,
        patience: float,
        clock: Callable[[], float],
        setDeadline: SetDeadline,
        failed: Failed,
    ) -> None:
        """
        Make a memory without any users.

        @param sources: the L{IGroupSource<socksgw.interfaces.IGroupSource>}s.
        @param groups: the directories' names of each group.
        @param seconds: how long an answer is good.
        @param hold: how long the last answer counts while there is no new one, in
            seconds.
        @param patience: seconds after which a question is given up.
        """
        self._sources = tuple(sources)
        self._groups = NamedGroups(sources, groups, seconds, clock, self._alter)
        self._seconds = seconds
        self._hold = hold
        self._patience = patience
        self._clock = clock
        self._setDeadline = setDeadline
        self._failed = failed
        self._known: OrderedDict[str, Answer] = OrderedDict()
        self._asked: dict[str, _Question] = {}
        self._due: deque[str] = deque()
        self._refreshing = 0
        self._starting = False
        self.changed: set[str] = set()

    def follow(self, before: DirectoryGroups) -> None:
        """
        Start with what an earlier one knew.

        That is good enough for users with open sessions, until the directory is asked
        about them again.
        """
        for name, answer in before._known.items():
            self._known[name] = evolve(answer, until=0)

    # For a login.

    async def of(self, name: str) -> Membership:
        """Return the groups of a user."""
        if not self._groups.all:
            # There is nothing to wait for; whether there are such users is looked
            # at for open sessions.
            return NOWHERE
        return await self.again(name)

    async def again(self, name: str) -> Membership:
        """
        Return the groups of a user who goes on with an earlier login.

        Nobody else has asked whether there is such a user still: L{knows} tells of now
        then.
        """
        self._groups.look()
        answer = self._known.get(name)
        if answer is None or self._isDue(name):
            answer = await self._wait(name)
        return self._membership(answer)

    def _wait(self, name: str) -> Deferred[Answer]:
        question = self._asked.get(name)
        fresh = question is None
        if question is None:
            question = self._asked[name] = _Question()
        waiting = question.waiting
        answer: Deferred[Answer] = Deferred(waiting.remove)
        waiting.append(answer)
        if fresh and len(self._asked) <= _ASKED:
            self._ask(name)
        elif fresh:
            self._settled(Failure(_Failed("", "busy")), name)
        return answer

    # For an open session.

    def lately(self, user: User) -> Membership:
        """
        Return what is known now, however old.

        @param user: returned with the groups that they had when nothing is known.
        """
        answer = self._known.get(user.name)
        if answer is None:
            return Membership(
                user.groups & self._groups.all,
                user.unsure & self._groups.all,
                user.doubt,
            )
        return self._membership(answer)

    def knows(self, name: str) -> bool:
        """
        Return whether there may be such a user.

        @return: L{False} if a directory that was asked said that there is none.
        """
        answer = self._known.get(name)
        return answer is None or answer.known

    def barred(self, name: str) -> str:
        """Return why a user may not log in any more whom no directory knows, if told."""
        answer = self._known.get(name)
        return "" if answer is None else answer.barred

    def refresh(self, names: Iterable[str]) -> None:
        """Ask again about users whose answer is no longer good, a few at a time."""
        self._groups.look()
        due = filter(self._isDue, names)
        self._due = deque(sorted(due, key=self._until))
        self._next()

    def _until(self, name: str) -> float:
        answer = self._known.get(name)
        return 0.0 if answer is None else answer.until

    def _isDue(self, name: str) -> bool:
        return self._until(name) <= self._clock()

    def _next(self) -> None:
        if self._starting:
            # An answer that came at once: the loop below goes on by itself.
            return
        self._starting = True
        try:
            self._start()
        finally:
            self._starting = False

    def _start(self) -> None:
        while self._due and self._refreshing < _REFRESHED:
            name = self._due.popleft()
            if not self._isDue(name):
                # Answered while it waited for its turn.
                continue
            question = self._asked.get(name)
            if question is None:
                question = self._asked[name] = _Question()
                question.live = True
                self._refreshing += 1
                self._ask(name)
            elif not question.live:
                question.live = True
                self._refreshing += 1

    # Asking.

    def _ask(self, name: str) -> None:
        asking: Deferred[Any] = Deferred.fromCoroutine(self._union(name))
        timer = self._setDeadline(self._patience, asking.cancel)

        def settled(result: Any) -> None:
            timer.clear()
            self._settled(result, name)

        asking.addBoth(settled)

    async def _union(self, name: str) -> tuple[frozenset[str], bool, str]:
        """
        Return a user's groups, whether there is such a user, and if not, why not.

        @raise _Failed: one of the directories does not say: then none counts.
        """
        found: set[str] = set()
        known, barred = False, ""
        for source in self._sources:
            try:
                groups = await maybeDeferred(source.groupsOf, name)
                if groups is not None:
                    found.update(groups)
                    known = True
            except Barred as e:
                barred = barred or e.why
            except CancelledError:
                raise _Failed(source.name, "no answer in time") from None
            except Unavailable as e:
                raise _Failed(source.name, e.why) from None
            except Refused as e:
                raise _Failed(source.name, e.reason) from None
            except Exception as e:
                # Not its text: a plug-in may have put a secret into it.
                raise _Failed(source.name, type(e).__name__) from None
        return frozenset(found), known, "" if known else barred

    def _settled(self, result: Any, name: str) -> None:
        before = self._known.get(name)
        now = self._clock()
        if isinstance(result, Failure):
            answer = self._failedAnswer(result.value, name, before, now)
        else:
            names, known, barred = result
            answer = Answer(names, known, now + self._seconds, said=now, barred=barred)
        self._known[name] = answer
        self._known.move_to_end(name)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        question = self._asked.pop(name)
        # Nothing was judged yet of a user who is just logging in.
        if (before is not None or question.live) and self._differ(before, answer):
            self.changed.add(name)
        while question.waiting:
            question.waiting.pop(0).callback(answer)
        if question.live:
            self._refreshing -= 1
            self._next()

    def _failedAnswer(
        self, error: BaseException | None, name: str, before: Answer | None, now: float
    ) -> Answer:
        told = None if before is None else before.told
        source, why = "", type(error).__name__
        if isinstance(error, _Failed):
            source, why = error.source, str(error)
        if told is None or now - told >= self._seconds:
            told = now
            self._failed(source, name, why)
        until = now + min(self._seconds, _FAILED)
        said = None if before is None else before.said
        if before is not None and said is not None and now - said <= self._hold:
            return evolve(before, until=until, told=told)
        asked = f'"{source}" cannot be asked' if source else "none can be asked"
        doubt = f"which groups the user is in is not known: {asked}: {why}"
        return Answer(_NONE, True, until, said, doubt, told)

    def _differ(self, before: Answer | None, now: Answer) -> bool:
        return (
            before is None
            or before.known != now.known
            or self._membership(before) != self._membership(now)
        )

    def _membership(self, answer: Answer) -> Membership:
        """Translate an answer into the configuration's names of the groups."""
        if answer.doubt:
            return Membership(_NONE, self._groups.all, answer.doubt)
        if not answer.known:
            return NOWHERE
        groups, lost = self._groups.of(answer.names), self._groups.lost
        if lost:
            return Membership(groups, lost - groups, self._groups.doubt)
        return Membership(groups) if groups else NOWHERE

    def _alter(self) -> None:
        """Have every user asked about again: other groups exist than before."""
        self.changed.update(self._known)
