"""
The journal's lines about the process, its configuration and its stores of users.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted

__all__ = [
    "adminLine",
    "grantLine",
    "groupsFailedLine",
    "handoverLine",
    "leavingLine",
    "networkLine",
    "reloadFailedLine",
    "reloadedLine",
    "sinkLine",
    "startLine",
    "stopLine",
    "storesLine",
    "tlsFailedLine",
    "tlsReadLine",
    "upstreamLine",
    "workerLine",
]


def _policy(digest: str) -> str:
    """Return the member that tells the configuration, if that is a file's."""
    return f',"policy":"{digest}"' if digest else ""


def startLine(gateway: str, digest: str = "") -> str:
    """
    Return the line that says that the gateway starts.

    @param digest: that of its configuration.
    """
    name = quoted(gateway)
    return f'"event":"start","gateway":{name},"pid":{os.getpid()}{_policy(digest)}'


def handoverLine(gateway: str, before: int, sessions: int, digest: str = "") -> str:
    """
    Return the line that says that another process serves, in place of the one before.

    @param before: the number of that process.
    @param sessions: how many sessions it had, which move or end there.
    @param digest: that of its configuration.
    """
    return (
        f'"event":"handover","gateway":{quoted(gateway)},"pid":{os.getpid()},'
        f'"before":{before},"sessions":{sessions}{_policy(digest)}'
    )


def stopLine(gateway: str) -> str:
    """Return the line that says that the gateway has stopped."""
    return f'"event":"stop","gateway":{quoted(gateway)}'


def workerLine(state: str, pid: int, why: str = "", worker: int = 0) -> str:
    """
    Return the line about a worker.

    @param state: C{started}, C{stopped}, C{died} or C{storm}.
    @param why: why it died.
    @param worker: which one; 0 where the line is its own, and says so anyway.
    """
    because = f',"why":{quoted(why)}' if why else ""
    which = f',"worker":{worker}' if worker else ""
    return f'"event":"worker","state":"{state}","pid":{pid}{because}{which}'


def reloadedLine(rules: int, ended: int, digest: str = "") -> str:
    """
    Return the line that says that a new configuration is in force.

    @param digest: its own.
    """
    return f'"event":"reloaded","rules":{rules},"ended":{ended}{_policy(digest)}'


def reloadFailedLine(problems: Sequence[str]) -> str:
    """Return the line that says why a new configuration is not in force."""
    return f'"event":"reload-failed","problems":[{",".join(map(quoted, problems))}]'


def adminLine(who: str, act: str, what: str, result: str) -> str:
    """
    Return the line of an act by the admin interface.

    @param who: C{uid:0} or C{token:noc}.
    @param what: what it is about; empty where that is the gateway itself.
    """
    about = f'"what":{quoted(what)},' if what else ""
    return (
        f'"event":"admin","who":{quoted(who)},"act":"{act}",{about}'
        f'"result":{quoted(result)}'
    )


def tlsReadLine(listener: str, files: Sequence[str]) -> str:
    """Return the line that says that files of a listener's TLS were read again."""
    return (
        f'"event":"tls-read","listener":{quoted(listener)},'
        f'"files":[{",".join(map(quoted, files))}]'
    )


def tlsFailedLine(listener: str, problems: Sequence[str]) -> str:
    """Return the line that says what is wrong with files of a listener's TLS."""
    return (
        f'"event":"tls-failed","listener":{quoted(listener)},'
        f'"problems":[{",".join(map(quoted, problems))}]'
    )


def storesLine(problems: Sequence[str]) -> str:
    """Return the line that says what is wrong with the files of users now."""
    return f'"event":"stores","problems":[{",".join(map(quoted, problems))}]'


def groupsFailedLine(checker: str, user: str, reason: str) -> str:
    """Return the line of a user whose groups a directory could not be asked for."""
    return (
        f'"event":"groups-failed","checker":{quoted(checker)},'
        f'"user":{quoted(user)},"reason":{quoted(reason)}'
    )


def leavingLine(address: str, state: str) -> str:
    """
    Return the line that says what has become of an address that sessions leave by.

    @param state: C{lost} and C{found}.
    """
    return f'"event":"leave-by","address":{quoted(address)},"state":"{state}"'


def networkLine(network: str, state: str, why: str = "") -> str:
    """
    Return the line that says what has become of a device or a network namespace.

    @param state: C{joined} and C{left} by a reload; C{lost}, C{found} and C{replaced}
        of itself.
    """
    text = f'"event":"network","network":{quoted(network)},"state":"{state}"'
    return f'{text},"why":{quoted(why)}' if why else text


def grantLine(
    grant: int, act: str, by: str, ticket: str, allows: str, until: float, why: str
) -> str:
    """
    Return the line that says what has become of a grant.

    @param act: C{requested}, C{approved}, C{revoked}, C{ended} or C{lapsed}.
    @param by: who did it; empty for nobody.
    @param allows: what it allows, in words.
    @param until: its end in seconds since the epoch; 0 where it has none yet.
    @param why: the reason; may be empty.
    """
    line = f'"event":"grant","grant":{grant},"act":"{act}",'
    if by:
        line += f'"by":{quoted(by)},'
    line += f'"ticket":{quoted(ticket)},"allows":{quoted(allows)}'
    if until:
        moment = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
        line += f',"until":"{moment}"'
    return f'{line},"why":{quoted(why)}' if why else line


def upstreamLine(
    upstream: str,
    network: str,
    state: str,
    why: str,
    sessions: int,
    opened: int,
    failed: Mapping[str, int],
) -> str:
    """
    Return the line that says whether sessions are led to an upstream.

    @param network: the device or network namespace that it is reached from; empty
        for none.
    @param state: C{ejected} or C{returned}.
    @param sessions: how many it has now.
    @param opened: how many it has opened since the gateway knows it.
    @param failed: how many it has failed since then, by reason.
    """
    reasons = ",".join(f"{quoted(each)}:{n}" for each, n in failed.items())
    within = f'"network":{quoted(network)},' if network else ""
    return (
        f'"event":"upstream","upstream":{quoted(upstream)},{within}"state":"{state}",'
        f'"why":{quoted(why)},"sessions":{sessions},"opened":{opened},'
        f'"failed":{{{reasons}}}'
    )


def sinkLine(
    sink: str,
    kind: str,
    state: str,
    position: int,
    behind: int,
    why: str = "",
    missed: int = 0,
    aside: int = 0,
) -> str:
    """
    Return the line that says what has become of a sink.

    @param state: C{failing}, C{following}, C{missed} or C{aside}.
    @param position: the number of the last line that it has.
    @param behind: how many lines it does not have yet.
    @param missed: how many lines were dropped before it had them.
    @param aside: how many lines were put aside.
    """
    text = (
        f'"event":"sink","sink":{quoted(sink)},"kind":{quoted(kind)},'
        f'"state":"{state}","position":{position},"behind":{behind}'
    )
    if missed:
        text += f',"missed":{missed}'
    if aside:
        text += f',"aside":{aside}'
    return f'{text},"why":{quoted(why)}' if why else text
