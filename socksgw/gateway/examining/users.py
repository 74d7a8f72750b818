"""
Users and groups that the configuration names, compared with the stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, Final

from twisted.cred.checkers import ICredentialsChecker

from socksgw.config.problems import nearest
from socksgw.config.reserved import isReserved
from socksgw.config.schema import Config
from socksgw.config.userwords import userWord
from socksgw.gateway.examining.methods import Methods
from socksgw.gateway.examining.problems import Problems
from socksgw.interfaces import (
    IBearerToken,
    IChangingStore,
    IGroupSource,
    IReportingStore,
)
from socksgw.login.canonical import folded
from socksgw.login.stores.sids import normalSID
from socksgw.login.userfile import UserFile
from socksgw.system.steps import Steps
from socksgw.wire.address import escaped

__all__ = [
    "examineDirectories",
    "examineSpellings",
    "examineStores",
    "examineTagged",
    "examineUsers",
]

#: Users that are looked at in one step.
_SOME: Final = 100


def examineDirectories(
    config: Config, checkers: Sequence[ICredentialsChecker], problems: Problems
) -> None:
    """
    Report groups of a directory, or of tokens, that no checker can tell.

    That is a warning where no checker knows groups at all, and an error where
    the name is not one of a group for any of them.
    """
    auth = config.auth
    sources: list[Any] = [c for c in checkers if IGroupSource.providedBy(c)]
    if not sources and len(checkers) < len(auth.checkers) + len(auth.checker):
        # A checker that could not be made is an error that is reported already.
        return
    # What a gateway in front calls the groups of its users are words as in tokens.
    bearing = any(each.identity_keys for each in config.listen) or any(
        IBearerToken in c.credentialInterfaces for c in checkers
    )
    for name, group in config.groups.items():
        if group.token and not bearing:
            problems.odd(
                f"groups.{name}.token", "no checker takes tokens: this adds no members"
            )
        named: dict[str, Sequence[str]] = {
            "directory": group.directory,
            "sid": group.sid,
        }
        for key, names in named.items():
            path = f"groups.{name}.{key}"
            if names and not sources:
                problems.odd(path, "no checker knows groups: this adds no members")
                continue
            for i, each in enumerate(names):
                why = _wrongSID(each) if key == "sid" else ""
                others = [_notNormal(source, each) for source in sources]
                if why or all(others):
                    problems.wrong(f"{path}[{i}]", why or others[0])


def _wrongSID(text: str) -> str:
    try:
        normalSID(text)
    except ValueError as e:
        return str(e)
    return ""


def _notNormal(source: Any, name: str) -> str:
    """Return what is wrong with the name of a group, for one source."""
    try:
        source.normal(name)
    except ValueError as e:
        return str(e)
    return ""


def examineStores(checkers: Sequence[ICredentialsChecker], problems: Problems) -> None:
    """
    Warn of lines that are wrong in files of users that can be used otherwise.
    """
    for each in checkers:
        if IReportingStore.providedBy(each):
            for line in each.problems():
                problems.odd("auth.checkers", line)


def examineTagged(
    config: Config, checkers: Sequence[ICredentialsChecker], problems: Problems
) -> Steps[None]:
    """
    Warn of users in files whose names have the separator of tags in them.
    """
    separator = config.auth.tag_separator.encode()
    for each in checkers if separator else ():
        if not isinstance(each, UserFile):
            continue
        for i, name in enumerate(each.users() or ()):
            if i % _SOME == 0:
                yield None
            if separator in name:
                problems.odd(
                    "auth.tag_separator",
                    f'the user "{escaped(name)}" cannot log in: what stands behind '
                    f'the "{config.auth.tag_separator}" is taken for a tag',
                )


def examineUsers(
    config: Config,
    checkers: Sequence[ICredentialsChecker],
    verifies: bool,
    problems: Problems,
) -> Steps[None]:
    """
    Warn of users in rules and groups that no store knows.

    This can only be said if every store answers at once, and no user logs in
    without a store.

    @param verifies: whether a method verifies by itself who the user is.
    """
    stores: list[Any] = [c for c in checkers if IChangingStore.providedBy(c)]
    verifies = verifies or any(IBearerToken in c.credentialInterfaces for c in checkers)
    if verifies or not stores or len(stores) < len(checkers):
        return
    named: list[tuple[str, str]] = []
    yield lambda: named.extend(_named(config))
    unknown: dict[str, bool] = {}
    for path, name in named:
        if name not in unknown:
            yield None
            known = (store.knows(name.encode()) for store in stores)
            unknown[name] = not any(known)
        if unknown[name]:
            meant = nearest(name, ("users",))
            problems.odd(path, f'no checker knows a user "{name}"{meant}')


def examineSpellings(
    config: Config,
    methods: Methods,
    checkers: Sequence[ICredentialsChecker],
    problems: Problems,
) -> None:
    """
    Warn of Kerberos users that are written in upper case, which none has.
    """
    offered = {name for choose in config.auth.choose for name in choose.methods}
    proving = [
        methods.capabilities[name]
        for name in offered
        if name in methods.capabilities and methods.capabilities[name].verifies
    ]
    if (
        checkers
        or not proving
        or any(can.certificate for can in proving)
        or config.auth.kerberos_names == "exact"
    ):
        return
    for path, name in _named(config):
        local = name.partition("@")[0]
        if local != folded(local):
            problems.odd(
                path,
                f'no user is called "{name}": names of Kerberos are in lower '
                'case, unless kerberos_names = "exact"',
            )


def _named(config: Config) -> Iterator[tuple[str, str]]:
    """
    Yield TOML paths of groups and rules with the users that they name.

    Patterns are left out: nobody can say which names there are.
    """
    for path, words in chain(
        ((f"groups.{g}", group.members) for g, group in config.groups.items()),
        (
            (f"{rule.place or f'rule[{i}]'}.who", rule.who or ())
            for i, rule in enumerate(config.rule)
        ),
    ):
        for i, name in enumerate(words):
            # What is no name is reported as an error.
            with suppress(ValueError):
                if not isReserved(name) and not userWord(name).pattern:
                    yield f"{path}[{i}]", userWord(name).text
