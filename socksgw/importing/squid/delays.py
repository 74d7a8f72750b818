"""
Limits of Squid (C{delay_pools}, C{acl maxconn}) in the words of ours.
"""

from __future__ import annotations

from typing import Final

from socksgw.importing.squid.reading import Reading

__all__ = ["limits"]

#: What each bucket of a class of pools is for; the network of class 3 has no equivalent.
_BUCKETS: Final = {
    "1": ("all",),
    "2": ("all", "source"),
    "3": ("all", "", "source"),
    "4": ("all", "", "source", "user"),
    "5": ("tag",),
}


def limits(reading: Reading) -> None:
    """Write the limits of a file."""
    draft = reading.draft
    classes = {each.rest[0]: each.rest[1] for each in reading.of("delay_class")}
    rates: dict[str, int] = {}
    for said in reading.of("delay_parameters"):
        pool, *words = said.rest
        for per, word in zip(
            _BUCKETS.get(classes.get(pool, ""), ()), words, strict=False
        ):
            number = word.partition("/")[0]
            if not number.isdecimal() or number == "0":
                continue
            if per in ("", "tag"):
                why = "left out: rates are for all, a source or a user"
                draft.leave(said.line, f"{said.name} {word}", why, True)
                continue
            rates[per] = min(int(number), rates.get(per, int(number)))
        why = "a rate holds in each direction, and there is no burst"
        draft.leaveOnce(said.line, "delay_parameters", why)
    for said in reading.of("delay_access"):
        if said.rest[1:] not in (("allow", "all"), ("deny", "all")):
            why = "left out: the limit holds for everybody"
            draft.leave(said.line, f"{said.name} {' '.join(said.rest)}", why)
    for per, rate in rates.items():
        draft.add("[[limit]]", {"per": per, "rate": f"{rate}B/s"}, "delay_parameters")
    for line in reading.lists.get("http_access", ()):
        for term in line.terms:
            if term.acl.kind != "maxconn" or line.allows:
                continue
            most = [each for each in term.acl.values if each.isdecimal()]
            if term.isNot or not most:
                why = f"left out: {term} is no limit that can be written"
                draft.leave(line.line, str(line), why, True)
                continue
            if len(line.terms) > 1:
                why = "the limit holds for each source, whatever it asks for"
                draft.leave(line.line, str(line), why)
            draft.add(
                "[[limit]]",
                {"per": "source", "sessions": int(most[0])},
                f"{line.place}: http_access {line}",
            )
