"""
The catalogue of the journal's events.

Every line is a JSON object in ASCII. All have C{v} (1), C{n} (the line's
number), C{time} (UTC), C{event} and, last, C{hash} (see
L{socksgw.audit.chain}). Lines about a client (marked with an asterisk) have
C{session} (its number in this process), C{listener}, C{client} (address and port)
and C{protocol} (C{socks5}, C{socks4} or C{socks4a}; empty before it is known). The
events, and what they hold besides (L{CATALOGUE}; what says nothing is left out):

  - C{start}: C{gateway}, C{pid}; the journal was opened.
  - C{stop}: C{gateway}; everything has ended, in order.
  - C{decision}*: what was asked and what the policy said, before anything was
    dialled or refused: C{user}, C{groups}, C{method}, C{command}, C{asked} (the
    host as the client spelled it, escaped), C{name} (its normal form, or null),
    C{port}, C{verdict} (C{allow} or C{deny}), C{rule} (null when no rule was the
    reason; C{limit} when a limit was), C{why} (then which), C{addresses} (what
    may be dialled), C{rules} (that allow each of these, where they differ;
    C{rule} is the first's, of a flow the used one's), C{struck} (what DNS gave
    and policy struck out, each with the reason), C{reply} (what a denied client
    is told) and C{reason} (a fixed word for it), C{secured} (when the client's
    side is), C{ticket} (of the rule), C{reports} (what rules that only report
    would have said), C{hint} (that the client had the address from RESOLVE of a
    name of which the rules say something else), C{user_id} (of SOCKS 4, escaped: a
    claim that nobody checks).
  - C{refused}*: a client refused before the policy was asked: C{reason}, C{why},
    C{offered} (the first 16) and C{wanted} methods, C{method} (the one chosen, if
    it came so far), C{user} (of one who has logged in), C{command}, C{asked}
    (cut after 128 octets), C{port}, C{user_id} (cut as well), C{reply}.
  - C{refusals}: refusals and failed logins that have no lines of their own,
    since they were too many within a second: C{source} (an address, an IPv6 /64,
    or null for many clients together), C{user} (of those who have logged in),
    C{count}, C{reasons} (how many of each).
  - C{denials}: the same of decisions and flows that were denied: C{source},
    C{user}, C{rule}, C{count}, C{reasons}, C{first} and C{last} (what was asked
    for, cut after 128 octets).
  - C{login-failed}*: C{method}, C{claimed} (the name given, escaped, cut
    after 128 octets), C{reason}, C{why}.
  - C{groups-failed}: no directory could say which groups a user is in; what was
    said last holds for C{auth.groups_hold}: C{checker}, C{user}, C{reason}; one
    line for each user and C{auth.groups_refresh}.
  - C{end}: an allowed session is over: C{session}, C{address} (dialled),
    C{bound}, C{sent} and C{received} (octets, from the client's side),
    C{seconds}, C{reason}, C{reply}, C{strangers} (connections to a BIND's listener
    that were not its peer's, or datagrams of an association from where they
    should not come), C{why} (of a session that was revoked, that turned out to
    lead here, or whose quota was used up: the reason is C{quota} then), C{rule}
    (that it lived by, where that is not the decision's: the one that allows the
    address, or after a reload), C{ticket}.
  - C{peer}*: somebody connected to a BIND's listener, and is let in: C{user},
    C{address}, C{bound}, C{rule} (as of C{end}), C{ticket}.
  - C{flow}*: as C{decision}, of one destination of a UDP association.
  - C{flow-end}: an allowed flow is over: C{session}, C{address}, C{sent},
    C{received} (octets), C{sent_datagrams}, C{received_datagrams}, C{seconds},
    C{reason}, C{limited} (datagrams, both ways, that were more than the rate or
    the quota lets through), C{why} (of a flow that was revoked, or the quota,
    when that is the reason), C{ticket}.
  - C{flows-refused}*: an association wants more flows than it may have: C{why};
    told again only when one of its flows has begun or ended since.
  - C{reloaded}: a new configuration is in force: C{rules} (how many),
    C{ended} (sessions that it does not allow).
  - C{reload-failed}: it is not, and the old one serves on: C{problems}.
  - C{tls-read}: files of a listener's TLS have changed and are in force:
    C{listener}, C{files} (their keys).
  - C{tls-failed}: they cannot be used, or are stale: C{listener},
    C{problems}.
  - C{stores}: what is wrong with files of users now: C{problems}, each with
    file, line and remedy; none when all is well again. Whoever is in stays.
  - C{recovered}: at the start a torn last line was cut off: C{octets}.
  - C{missing}: lines that somebody moved, deleted or cut: C{from}, C{to}.
  - C{resumed}: lines could not be written for a while: C{refused}, C{lost}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["CATALOGUE", "COMMON", "EVENTS"]

#: Fields of every line, and of every line about a client.
COMMON: Final = ("v", "n", "time", "event", "hash")
_CLIENT: Final = ("session", "listener", "client", "protocol")
_DECISION: Final = (
    *_CLIENT, "user", "method", "command", "asked", "name", "port", "verdict", "rule",
    "why", "addresses", "groups", "rules", "struck", "user_id", "secured", "ticket",
    "reports", "hint", "reply", "reason",
)  # fmt: skip

#: The fields that the lines of each event may have.
CATALOGUE: Final[Mapping[str, Sequence[str]]] = {
    "start": ("gateway", "pid"),
    "stop": ("gateway",),
    "decision": _DECISION,
    "refused": (
        *_CLIENT, "reason", "why", "wanted", "offered", "user", "method", "command",
        "asked", "port", "user_id", "reply",
    ),
    "refusals": ("source", "user", "count", "reasons"),
    "denials": ("source", "user", "rule", "count", "reasons", "first", "last"),
    "login-failed": (*_CLIENT, "method", "claimed", "reason", "why"),
    "groups-failed": ("checker", "user", "reason"),
    "end": (
        "session", "address", "bound", "sent", "received", "seconds", "reason", "reply",
        "strangers", "rule", "why", "ticket",
    ),
    "peer": (*_CLIENT, "user", "address", "bound", "rule", "ticket"),
    "flow": _DECISION,
    "flow-end": (
        "session", "address", "sent", "sent_datagrams", "received",
        "received_datagrams", "seconds", "reason", "limited", "why", "ticket",
    ),
    "flows-refused": (*_CLIENT, "why"),
    "reloaded": ("rules", "ended"),
    "reload-failed": ("problems",),
    "tls-read": ("listener", "files"),
    "tls-failed": ("listener", "problems"),
    "stores": ("problems",),
    "recovered": ("octets",),
    "missing": ("from", "to"),
    "resumed": ("refused", "lost"),
}  # fmt: skip
EVENTS: Final = frozenset(CATALOGUE)
