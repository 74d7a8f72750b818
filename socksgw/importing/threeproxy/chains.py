"""
Parents of 3proxy as upstreams of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from socksgw.importing.draft import Draft
from socksgw.importing.threeproxy.rules import Ace, Parent

__all__ = ["Way", "upstreams"]

#: Protocols, without and with TLS.
_PROTOCOLS: Final = {
    "socks5": ("socks5", "socks5+tls"),
    "socks4": ("socks4a", "socks4a+tls"),
    "connect": ("http", "https"),
    "http": ("http", "https"),
}
#: Weights of one place of a chain come to this.
_WHOLE: Final = 1000
_ANYWHERE: Final = ("0.0.0.0", "::", "0")


class Way(NamedTuple):
    """
    How what a rule allows leaves.

    @ivar values: keys of C{[[rule]]}.
    @ivar hasDatagrams: whether datagrams go there, too.
    @ivar why: why it cannot be written; empty if it can.
    """

    values: dict[str, Any]
    hasDatagrams: bool
    why: str = ""


def upstreams(rules: Iterable[Ace], isFaking: bool, draft: Draft) -> dict[Ace, Way]:
    """
    Write the upstreams of rules, and return how what each allows leaves.

    @param isFaking: whether names are left to parents.
    """
    found: dict[Ace, Way] = {}
    for rule in rules:
        if rule.chain:
            way = _way(rule, isFaking, draft)
            if way.why:
                why = f"{way.why}: what it would send there is denied"
                draft.leave(rule.chain[0].line, f"parent of {rule.place}", why)
            found[rule] = way
    return found


def _way(rule: Ace, isFaking: bool, draft: Draft) -> Way:
    values: dict[str, Any] = {}
    left: list[Parent] = []
    for each in rule.chain:
        if each.kind == "extip":
            values.setdefault("leave_by", []).append(each.host)
        elif each.kind == "ha" and len(rule.chain) == 1:
            values["proxy_header"] = "v1"
        else:
            left.append(each)
    places: list[list[Parent]] = []
    weight = _WHOLE
    for each in left:
        kind = each.kind.removesuffix("s").removesuffix("+")
        if kind not in _PROTOCOLS:
            return Way({}, False, f"{each.kind}: there is nothing like it")
        if each.host in _ANYWHERE or not each.port or each.host.startswith("unix:"):
            return Way({}, False, f"{each.kind} {each.host}: it is no other gateway")
        if weight >= _WHOLE:
            places.append([])
            weight = 0
        places[-1].append(each)
        weight += each.weight
    if left and weight != _WHOLE:
        why = f"the weights of a place come to {weight}, and not to 1000"
        draft.leave(left[-1].line, "parent", why)
    if any(len({each.weight for each in some}) > 1 for some in places):
        why = "each of several has the same share here"
        draft.leave(left[0].line, "parent: weight", why)
    for each in left:
        _upstream(each, isFaking, draft)
    if places:
        values["via"] = [[_name(each) for each in some] for some in places]
        if any(len(some) > 1 for some in places):
            values["balance"] = "random"
    hasDatagrams = all(each.kind.startswith("socks5") for each in left)
    return Way(values, hasDatagrams)


def _name(parent: Parent) -> str:
    return f"parent-{parent.line}"


def _upstream(parent: Parent, isFaking: bool, draft: Draft) -> None:
    isSecure = parent.kind.endswith("s")
    kind = parent.kind.removesuffix("s")
    protocol = _PROTOCOLS[kind.removesuffix("+")][isSecure]
    host = f"[{parent.host}]" if ":" in parent.host else parent.host
    values: dict[str, Any] = {
        "name": _name(parent),
        "url": f"{protocol}://{host}:{parent.port}",
    }
    if kind.endswith("+"):
        if isFaking:
            values["resolve"] = "there"
        else:
            why = "it is given the address: the gateway looks names up to judge them"
            draft.leave(parent.line, f"parent {parent.kind}", why)
    if parent.user == "*":
        values["pass_through"] = True
    elif parent.user:
        file = f"{_name(parent)}.password"
        draft.hide(file, parent.password + "\n")
        values["login"] = {
            "method": "userpass",
            "user": parent.user,
            "password_file": file,
        }
    if parent.user and not isSecure:
        values["cleartext_passwords"] = True
    if isSecure:
        why = "its certificate is verified here; name its authorities in upstream.ca"
        draft.leave(parent.line, f"parent {parent.kind}", why)
    draft.add("[[upstream]]", values, f"line {parent.line}: parent")
