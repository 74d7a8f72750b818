"""
Options that say which lines of the journal are wanted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from socksgw.audit.catalogue import CATALOGUE, COMMON
from socksgw.config.problems import nearest
from socksgw.records.criteria import Criteria
from socksgw.records.times import momentOf

__all__ = ["TIMES", "WrongUse", "criteriaOf", "filters", "spanOf", "times"]

TIMES: Final = (
    "Times are in UTC, as the journal's: 2026-03-02, 2026-03-02T10:00, also with an "
    "offset (+01:00), 10:30 (of today), now, today, yesterday, monday; or back from now: "
    "-2h, -90m, -1d12h."
)
#: Criteria that take a word, each with its help.
_WORDS: Final = (
    ("user", "U", "the user, or the name that a failed login has claimed"),
    ("group", "G", "a group of the user's"),
    ("client", "IP", "the client's address or network; uid:N on a Unix socket"),
    ("listener", "L", "the listener"),
    ("to", "HOST", "the destination: a host, *.example, an address, a network; also "
     "with a port: HOST:443, :22"),
    ("rule", "ID", "the rule that decided"),
    ("policy", "DIGEST", "the configuration that decided: its first 12 digits"),
    ("fingerprint", "SHA256", "the client's certificate"),
    ("serial", "HEX", "the serial number of the client's certificate"),
    ("tag", "TAG", "what the client has written behind its name"),
    ("ticket", "T", "the ticket of the rule"),
    ("grant", "ID", "the grant that allowed"),
    ("command", "C", "connect, bind, udp or resolve"),
    ("protocol", "P", "socks5, socks4, socks4a, http, transparent"),
    ("method", "M", "the login method"),
    ("reason", "R", "the fixed word for a denial, a failed login or an end"),
    ("upstream", "NAME", "an upstream of the way"),
    ("application", "A", "what inspection has found, such as tls"),
    ("server-name", "NAME", "the server name that inspection has found"),
)  # fmt: skip


class WrongUse(Exception):
    """Options that cannot be; the text says why."""


def times(parser: argparse.ArgumentParser) -> None:
    """Add the options of a span of time."""
    parser.add_argument(
        "--since", metavar="TIME", help="from then on; default: the first line"
    )
    parser.add_argument(
        "--until", metavar="TIME", help="before that; default: the last line"
    )


def filters(parser: argparse.ArgumentParser, lines: bool = True) -> None:
    """
    Add the options that say what is wanted.

    @param lines: whether lines of any event are meant, and not only requests.
    """
    group = parser.add_argument_group(
        "filters",
        "A line has to meet each of these. One that is repeated is met by any of its "
        "values; * in a value stands for any text.",
    )
    for name, metavar, text in _WORDS:
        group.add_argument(
            f"--{name}", metavar=metavar, action="append", default=[], help=text
        )
    verdict = group.add_mutually_exclusive_group()
    verdict.add_argument(
        "--denied",
        dest="verdict",
        action="store_const",
        const="deny",
        default="",
        help="denied requests, failed logins and other refusals",
    )
    verdict.add_argument(
        "--allowed",
        dest="verdict",
        action="store_const",
        const="allow",
        help="allowed requests",
    )
    verdict.add_argument(
        "--verdict", choices=["allow", "deny"], help="the same as these two"
    )
    if not lines:
        return
    group.add_argument(
        "--event",
        metavar="EVENT",
        action="append",
        default=[],
        help="the event, such as login-failed: socksgw help records",
    )
    group.add_argument(
        "--session", metavar="N", type=int, help="all lines of the session N"
    )
    group.add_argument(
        "--text", metavar="TEXT", default="", help="some value has this text"
    )
    group.add_argument(
        "--where",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="a field of the line has this value; may be repeated, and all must hold",
    )


def criteriaOf(options: argparse.Namespace) -> Criteria:
    """
    Return what the options want.

    @raise WrongUse: an option's value cannot be.
    """
    now = datetime.now(UTC)
    given: dict[str, object] = {}
    for name in chain((each[0] for each in _WORDS), ["event"]):
        key = name.replace("-", "_")
        given[key] = tuple(getattr(options, key, ()))
    since, until = getattr(options, "since", None), getattr(options, "until", None)
    given["since"], given["until"] = spanOf(since, until, now)
    _known("event", getattr(options, "event", ()), CATALOGUE)
    criteria = Criteria(
        **given,  # type: ignore[arg-type]
        verdict=options.verdict or "",
        session=getattr(options, "session", None),
        text=getattr(options, "text", ""),
        where=tuple(_where(getattr(options, "where", ()))),
    )
    try:
        criteria.matcher()
    except ValueError as e:
        raise WrongUse(f"--{e}") from None
    return criteria


def spanOf(
    since: str | None, until: str | None, now: datetime | None = None
) -> tuple[str, str]:
    """
    Return the stamps of a span of time; empty for no bound.

    @param now: what times are counted back from; L{None} for the clock's.
    @raise WrongUse: one is no time, or they are the wrong way round.
    """
    now = now or datetime.now(UTC)
    found: list[str] = []
    for name, text in (("since", since), ("until", until)):
        try:
            found.append("" if text is None else momentOf(text, now))
        except ValueError as e:
            raise WrongUse(f"--{name}: {e}") from None
    if all(found) and found[1] <= found[0]:
        raise WrongUse(f"--until {until} is not after --since {since}")
    return found[0], found[1]


def _known(option: str, values: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for value in values:
        if value not in known and "*" not in value:
            raise WrongUse(
                f'--{option} "{value}": there is none{nearest(value, known)} '
                "(socksgw help records)"
            )


def _where(values: Iterable[str]) -> Iterable[tuple[str, str]]:
    fields = {*COMMON, *chain.from_iterable(CATALOGUE.values())}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals:
            raise WrongUse(f'--where "{text}": write FIELD=VALUE')
        _known("where", [name], fields)
        yield name, value
