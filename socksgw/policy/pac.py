"""
Proxy auto-configuration: the rules as a program that browsers run.

A browser calls C{FindProxyForURL(url, host)} for each URL, and connects as the answer
says. Here it comes to the gateway for what some rule allows to somebody, and goes
directly to the rest. What only the gateway knows (who the client is, what time it is)
counts as it may be: an allow that may match leads to the gateway, and only a deny that
matches every client leads past it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from socksgw.policy.conditions import Addresses, Never
from socksgw.policy.extent import EVERYWHERE, Extent, extentOf, extentOfNetworks
from socksgw.policy.patterns import NamePatterns
from socksgw.policy.rules import Rule
from socksgw.policy.ruleset import Ruleset

__all__ = ["pacOf"]

#: Names and ranges of one rule, at most: the text goes to every browser.
_MOST: Final = 5000

_TEXT: Final = """\
// Made from the rules of the gateway: what none of them allows is reached directly.
var PROXY = %(proxy)s;
var NEVER = %(never)s;
var RULES = %(rules)s;

function within(number, ranges) {
    var low = 0, high = ranges.length - 1;
    while (low <= high) {
        var middle = (low + high) >> 1;
        if (number < ranges[middle][0]) high = middle - 1;
        else if (number > ranges[middle][1]) low = middle + 1;
        else return true;
    }
    return false;
}

function numberOf(address) {
    var parts = /^(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})$/.exec(address);
    return parts === null ? -1
        : ((+parts[1] * 256 + +parts[2]) * 256 + +parts[3]) * 256 + +parts[4];
}

function portOf(url) {
    var port = /^[a-z]+:\\/\\/(?:[^\\/?#]*@)?(?:\\[[^\\]]*\\]|[^:\\/?#]*):(\\d+)(?:[\\/?#]|$)/i.exec(url);
    if (port !== null) return +port[1];
    return { http: 80, ws: 80, ftp: 21 }[url.split(":")[0].toLowerCase()] || 443;
}

function named(host, rule) {
    if (rule.exact.indexOf(host) >= 0) return true;
    for (var dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1))
        if (rule.below.indexOf(host.substring(dot + 1)) >= 0) return true;
    return false;
}

function FindProxyForURL(url, host) {
    host = host.toLowerCase().replace(/\\.$/, "");
    var port = portOf(url), six = host.indexOf(":") >= 0, number = numberOf(host), asked = six;
    if (number >= 0 && within(number, NEVER)) return "DIRECT";

    // 1: yes; 0: no; -1: that is not known here.
    function at(ranges, whether6) {
        if (six) return whether6 ? -1 : 0;
        if (number < 0 && !asked) {
            asked = true;
            number = numberOf(dnsResolve(host) || "");
        }
        return number < 0 ? -1 : within(number, ranges) ? 1 : 0;
    }

    for (var i = 0; i < RULES.length; i++) {
        var rule = RULES[i];
        if (rule.ports !== null && !within(port, rule.ports)) continue;
        var answer = rule.everywhere || (!six && number < 0 && named(host, rule)) ? 1
            : rule.four.length || rule.six ? at(rule.four, rule.six) : 0;
        if (answer !== 0 && rule.resolving !== null) {
            var leads = at(rule.resolving, rule.resolving6);
            answer = leads === 1 ? answer : leads;
        }
        if (answer === 1 || (answer === -1 && rule.allow))
            return rule.allow ? PROXY : "DIRECT";
    }
    return "DIRECT";
}
"""


def pacOf(ruleset: Ruleset, listener: str, proxy: str) -> str:
    """
    Return the program.

    @param listener: the name of the one that browsers come to.
    @param proxy: what the program answers for what goes to the gateway, such as
        C{PROXY gw.corp.example:1080}.
    """
    rules = list(_rules(ruleset.rules, listener))
    return _TEXT % {
        "proxy": _literal(proxy),
        "never": _literal(_ranges(_banned(ruleset.never).four)),
        "rules": "[\n    " + ",\n    ".join(map(_literal, rules)) + "\n]",
    }


def _rules(rules: Iterable[Rule], listener: str) -> Iterator[dict[str, Any]]:
    """Yield what browsers have to know of the rules that may concern them."""
    for rule in rules:
        if rule.reportOnly or rule.isEmpty:
            continue
        if rule.commands is not None and "connect" not in rule.commands:
            continue
        if rule.listeners is not None and listener not in rule.listeners:
            continue
        if not rule.allow and _depends(rule):
            # The gateway has to be asked.
            continue
        found = _destinations(rule)
        if found is None:
            if not rule.allow:
                continue
            found = {**_NOWHERE, "everywhere": True}
        yield {"allow": rule.allow, "ports": _portsOf(rule), **found}


_NOWHERE: Final = {
    "everywhere": False,
    "exact": [],
    "below": [],
    "four": [],
    "six": False,
    "resolving": None,
    "resolving6": False,
}


def _depends(rule: Rule) -> bool:
    """Tell whether a rule depends on more than the destination."""
    return rule.timed or any(
        each is not None
        for each in (
            rule.who,
            rule.sources,
            rule.secured,
            rule.methods,
            rule.askedBy,
            rule.tags,
            rule.applications,
            rule.serverNames,
        )
    )


def _destinations(rule: Rule) -> dict[str, Any] | None:
    """
    Return where a rule leads to.

    @return: L{None} where that is too much to be told.
    """
    found: dict[str, Any] = dict(_NOWHERE)
    to = rule.to
    found["everywhere"] = to is None
    if to is not None and to.addresses is not None:
        if _moving(to.addresses) and not rule.allow:
            return None
        extent = extentOf(to.addresses)
        # Words for this host's own addresses may change.
        found["everywhere"] = not EVERYWHERE - extent or _moving(to.addresses)
        found["four"], found["six"] = _ranges(extent.four), bool(extent.six)
    if to is not None and to.names is not None:
        found["exact"], found["below"] = _names(to.names)
    if rule.resolving is not None and not rule.resolving.everything:
        if _moving(rule.resolving):
            return None
        extent = extentOf(rule.resolving)
        found["resolving"] = _ranges(extent.four)
        found["resolving6"] = bool(extent.six)
    size = sum(len(each) for each in found.values() if isinstance(each, list))
    return None if size > _MOST else found


def _moving(addresses: Addresses) -> bool:
    """Tell whether it is this host that says which addresses are meant."""
    return bool(addresses.words & {"self", "listeners"})


def _names(patterns: NamePatterns) -> tuple[list[str], list[str]]:
    exact = {name for names in patterns.exact for name in names}
    below = {name for names in patterns.below for name in names}
    return sorted(exact), sorted(below)


def _portsOf(rule: Rule) -> list[list[int]] | None:
    """
    Return the ranges of ports that a rule is for.

    @return: L{None} for all.
    """
    if rule.ports is None and rule.services is None:
        return None
    found = [(1, 65535)] if rule.ports is None else rule.ports.ranges()
    if rule.services is not None:
        tcp = rule.services.byProtocol.get("tcp")
        others = [] if tcp is None else tcp.ranges()
        found = [
            (max(a, c), min(b, d))
            for a, b in found
            for c, d in others
            if max(a, c) <= min(b, d)
        ]
    # Those of a rule may overlap.
    return _ranges(Extent(found).four)


def _banned(never: Never) -> Extent:
    """Return the addresses that are never reached, whatever the port."""
    if never.banned is None:
        return Extent()
    lifted = Extent(
        (_number(place), _number(place))
        for place, _ in never.places
        if place.version == 4
    )
    return extentOf(never.banned) - extentOfNetworks(never.lifted) - lifted


def _number(address: Any) -> int:
    return int.from_bytes(address.packed, "big")


def _ranges(ranges: Iterable[tuple[int, int]]) -> list[list[int]]:
    return [[first, last] for first, last in ranges]


def _literal(value: object) -> str:
    """Return a value in JavaScript, and such as HTML cannot misread."""
    return json.dumps(value).replace("<", "\\u003c")
