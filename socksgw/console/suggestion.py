"""
Suggested rules as TOML, with what they rest on, and as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from attrs import Attribute, fields

from socksgw.config.schema import Expect, Moment, Rule
from socksgw.policy.suggesting import PUBLIC, Suggestion

__all__ = ["asJson", "asToml", "tableOf"]

#: How many numbers of lines are told.
_SHOWN: Final = 5
_HEAD: Final = """\
# Suggested by socksgw suggest: each rule allows what was asked for and denied, and no
# more. Read them before you use them: a denial may have been meant.
"""


def asToml(
    found: Sequence[Suggestion],
    others: Mapping[str, int],
    before: int | None,
    out: TextIO,
) -> None:
    """
    Print suggestions as a part of a configuration.

    @param others: what nothing is suggested for, each with its number of requests.
    @param before: before which rule they have to stand; L{None} for behind all.
    """
    if found:
        print(_HEAD, end="", file=out)
    if found and before is not None:
        print(
            f"# They have to stand before rule {before + 1} of the configuration.",
            file=out,
        )
    for text, count in others.items():
        print(_comment(f"not suggested: {count:,} × {text}"), file=out)
    for each in found:
        print(file=out)
        for line in _evidence(each):
            print(_comment(line), file=out)
        print("[[rule]]", file=out)
        for key, value in tableOf(each.rule).items():
            print(f"{key} = {_toml(value)}", file=out)
        for expect in each.expects:
            print("[[expect]]", file=out)
            for key, value in tableOf(expect).items():
                print(f"{key} = {_toml(value)}", file=out)


def asJson(
    found: Sequence[Suggestion],
    others: Mapping[str, int],
    before: int | None,
    out: TextIO,
) -> None:
    """Print the same for programs."""
    document = {
        "suggestions": [
            {
                "rule": _plain(tableOf(each.rule)),
                "expect": [_plain(tableOf(one)) for one in each.expects],
                "requests": len(each.seen),
                "first": each.seen[0].time,
                "last": each.seen[-1].time,
                "records": [one.number for one in each.seen],
            }
            for each in found
        ],
        "before": before,
        "not_suggested": [
            {"why": text, "requests": count} for text, count in others.items()
        ],
    }
    print(json.dumps(document), file=out)


def _evidence(each: Suggestion) -> Iterator[str]:
    """Yield what a suggestion rests on."""
    numbers = ", ".join(str(one.number) for one in each.seen[:_SHOWN])
    more = len(each.seen) - _SHOWN
    if more > 0:
        numbers += f" and {more:,} more"
    first, last = each.seen[0].time, each.seen[-1].time
    when = f"at {first}" if first == last else f"from {first} to {last}"
    noun = "request" if len(each.seen) == 1 else "requests"
    line = "record" if len(each.seen) == 1 else "records"
    yield f"{len(each.seen):,} {noun} {when}; {line} {numbers}"
    if any(one.facts.name is not None and not one.facts.addresses for one in each.seen):
        yield (
            f"no address of a name was looked up; {PUBLIC.text} stands for a public one"
        )

    if any(one.application is not None for one in each.expects):
        yield "what it carries is not known; what no rule names is supposed"


def _comment(text: str) -> str:
    return "# " + "".join(each if each.isprintable() else "?" for each in text)


def tableOf(table: Rule | Expect) -> dict[str, Any]:
    """Return what is said in a table, by the keys of TOML."""
    found: dict[str, Any] = {}
    each: Attribute[Any]
    for each in fields(type(table)):
        key = each.metadata.get("toml", each.name)
        value = getattr(table, each.name)
        if key is not None and (value != each.default or key in ("command", "who")):
            found[key] = value
    return found


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _moment(value) if isinstance(value, float) else value
        for key, value in table.items()
    }


def _moment(value: float) -> str:
    return datetime.fromtimestamp(value, UTC).isoformat()


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return _moment(Moment(value))
    if isinstance(value, str):
        # TOML has JSON's escapes, without pairs of surrogates; DEL has one, too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return str(value)
