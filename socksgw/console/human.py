"""
Turn lines of the journal into text for people.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, final

from socksgw.system.output import printable
from socksgw.wire.codes import DATAGRAMS

__all__ = ["Human", "ending", "humanLine", "plainLine"]

#: What a line has as the rule where none of the configuration's rules decided.
_OWN: Final = (None, "never", "default", "limit")
#: How many decisions are remembered until their sessions end.
_REMEMBERED: Final = 10_000

#: Members of every line.
_FRAME: Final = frozenset({"v", "n", "time", "hash", "event"})

_RED: Final = "31"
_GREEN: Final = "32"
_YELLOW: Final = "33"

_ESCAPES: Final = re.compile("\x1b\\[[0-9;]*m")
_ENDED: Final = re.compile(rb'"event":"end","session":(\d+)')


def _paint(text: str, colour: str, on: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if on else text


def _target(line: Mapping[str, Any]) -> str:
    host = line.get("name") or line.get("asked") or "?"
    if ":" in host:
        host = f"[{host}]"
    # CONNECT is the usual command, and not named.
    command = line.get("command", "connect")
    what = "" if command == "connect" else f"{command} "
    if line["event"] == "decision" and command in DATAGRAMS:
        return str(command)
    return f"{what}{host}:{line.get('port')}"


def _from(line: Mapping[str, Any]) -> str:
    return f" · from {_client(line)}" if "client" in line else ""


def _client(line: Mapping[str, Any]) -> str:
    """Return where a client comes from: an address, or a program of this machine."""
    if "uid" not in line:
        client: str = line["client"]
        return client
    process = f", process {line['pid']}" if "pid" in line else ""
    return f"uid {line['uid']}{process}"


def _because(line: Mapping[str, Any]) -> str:
    """Return why and reason, where the line has them."""
    why, reason = line.get("why", ""), line.get("reason", "")
    if not why or not reason or reason in why:
        return f": {why or reason}" if why or reason else ""
    return f": {why} ({reason})"


def _hint(line: Mapping[str, Any]) -> str:
    hint = line.get("hint")
    return f" ({hint})" if hint else ""


def _decision(line: Mapping[str, Any], colour: bool) -> str:
    user, target = line["user"], _target(line)
    if "tag" in line:
        user += f" [{line['tag']}]"
    if line["verdict"] == "allow":
        addresses = line["addresses"]
        if line.get("judged") == "name":
            addresses = ["no address judged"]
        at = f" ({', '.join(addresses)})" if line.get("name") else ""
        word = _paint("ALLOW", _GREEN, colour)
        rule = f' by rule "{line["rule"]}"'
        if "via" in line:
            rule += f" via {line['via']}"
        return f"{word} {user} → {target}{at}{rule}{_hint(line)}{_from(line)}"
    word = _paint("DENY", _RED, colour)
    rule = f' by rule "{line["rule"]}"' if line["rule"] else ""
    # The id of a rule of the configuration says why.
    because = _because(line) if line["rule"] in _OWN else ""
    return f"{word} {user} → {target}{rule}{because}{_hint(line)}{_from(line)}"


def _refused(line: Mapping[str, Any], colour: bool) -> str:
    word = _paint("REFUSE", _YELLOW, colour)
    return f"{word} {_client(line)} on {line['listener']}{_because(line)}"


def _refusals(line: Mapping[str, Any], colour: bool) -> str:
    word = _paint("REFUSE", _YELLOW, colour)
    source = line["source"] or "many sources"
    user = f" {line['user']}" if line.get("user") else ""
    return f"{word}{user} {source}: {_more(line)}"


def _denials(line: Mapping[str, Any], colour: bool) -> str:
    word = _paint("DENY", _RED, colour)
    user, source = line.get("user", "many"), line["source"] or "many sources"
    rule = f' by rule "{line["rule"]}"' if line.get("rule") else ""
    span = f"{line['first']} … {line['last']}"
    return f"{word} {user} → {span}{rule}: {_more(line)} · from {source}"


def _more(line: Mapping[str, Any]) -> str:
    """Return how many refusals a sum counts, by reason."""
    reasons = ", ".join(f"{printable(r)} {n}" for r, n in line["reasons"].items())
    return f"{line['count']:,} more within a second ({reasons})"


def _loginFailed(line: Mapping[str, Any], colour: bool) -> str:
    throttled = line.get("reason") == "throttled"
    # A throttled login is refused before the password is checked.
    text = "THROTTLED" if throttled else "LOGIN FAILED"
    word = _paint(text, _YELLOW if throttled else _RED, colour)
    return (
        f"{word} {line['claimed']!r} from {_client(line)} by {line['method']}"
        f"{_because(line)}"
    )


def _groupsFailed(line: Mapping[str, Any], colour: bool) -> str:
    word = _paint("GROUPS UNKNOWN", _YELLOW, colour)
    return f"{word} of {line['user']!r}: {line['checker']}: {line['reason']}"


def _trouble(line: Mapping[str, Any], colour: bool) -> str:
    word = _paint("JOURNAL", _YELLOW, colour)
    if line["event"] == "missing":
        return f"{word} lines {line['from']} to {line['to']} were moved, deleted or cut"
    if line["event"] == "recovered":
        return f"{word} a torn last line of {line['octets']} octets was cut off"
    return f"{word} written again; {line['refused']} requests were refused meanwhile"


def _upstream(line: Mapping[str, Any], colour: bool) -> str:
    ejected = line["state"] == "ejected"
    word = _paint("UPSTREAM", _RED if ejected else _GREEN, colour)
    network = f" from {line['network']}" if "network" in line else ""
    return f"{word} {line['upstream']}{network} {line['state']}: {line['why']}"


def _leaveBy(line: Mapping[str, Any], colour: bool) -> str:
    lost = line["state"] == "lost"
    word = _paint("LEAVE BY", _RED if lost else _GREEN, colour)
    now = "is no address of this host" if lost else "is there again"
    return f"{word} {line['address']} {now}"


_HUMAN: Final[Mapping[str, Callable[[Mapping[str, Any], bool], str]]] = {
    "decision": _decision,
    "flow": _decision,
    "flows-refused": _refused,
    "refused": _refused,
    "refusals": _refusals,
    "denials": _denials,
    "groups-failed": _groupsFailed,
    "login-failed": _loginFailed,
    "missing": _trouble,
    "recovered": _trouble,
    "resumed": _trouble,
    "upstream": _upstream,
    "leave-by": _leaveBy,
}


def humanLine(
    line: Mapping[str, Any], colour: bool, config: str = "", width: int = 0
) -> str | None:
    """
    Return the text of a line, or L{None} for events that are not shown.

    @param config: the configuration's file, for the commands to try.
    @param width: columns of the terminal; 0 for no limit. Where they are too few, the
        command to try is left out.
    """
    human = _HUMAN.get(line["event"])
    if human is None:
        return None
    text = _time(line) + human(_safe(line), colour)
    if human is _decision:
        why = f" · why: socksgw explain --record {line['n']}"
        if config:
            why += f" --config {printable(config)}"
        short = f" · record {line['n']}"
        plain = len(_ESCAPES.sub("", text))
        text += why if not width or plain + len(why) <= width else short
    return text


def plainLine(line: Mapping[str, Any]) -> str:
    """Return the text of a line of any event: its members."""
    members = [
        f"{printable(key)} {printable(value if isinstance(value, str) else json.dumps(value))}"
        for key, value in line.items()
        if key not in _FRAME and value not in ("", None, [])
    ]
    word = printable(line["event"].upper().replace("-", " "))
    return f"{_time(line)}{word} {', '.join(members)} · record {line['n']}"


def ending(line: Mapping[str, Any]) -> str:
    """Return how a grant ended, in one line."""
    why = f": {line['why']}" if line.get("why") else ""
    # Where an upstream has looked the name up, the address is not known: path tells.
    if line["event"] == "end" and line["address"] is None and "path" not in line:
        return f"nothing was connected: {line['reason']}{why}, reply {line['reply']}"
    octets = f"{line['sent']:,} octets out, {line['received']:,} back"
    met = f" with {line['address']}" if line.get("address") else ""
    by = f", by {line['path']}" if line.get("path") else ""
    return f"{line['reason']}{why} after {line['seconds']} s{met}{by}; {octets}"


def _safe(line: Mapping[str, Any]) -> dict[str, Any]:
    """Escape what a terminal would take for a control sequence."""
    return {k: _safely(v) for k, v in line.items()}


def _safely(value: Any) -> Any:
    if isinstance(value, list):
        return [_safely(each) for each in value]
    return printable(value) if isinstance(value, str) else value


def _time(line: Mapping[str, Any]) -> str:
    """Return the time of day, in UTC as in the journal."""
    time = line.get("time", "")
    return f"{printable(time[11:19])}Z " if time else ""


@final
class Human:
    """
    Turns the lines of a journal into text, one after the other.

    It remembers the grants, so that the end of a session which failed can say whose it
    was and where it led.
    """

    def __init__(
        self, colour: bool, config: str = "", width: int = 0, whole: bool = False
    ) -> None:
        """
        Take the parameters of L{humanLine}.

        @param whole: whether every line is shown, whatever its event.
        """
        self._whole = whole
        self._colour = colour
        self._config = config
        self._width = width
        # By session; their numbers begin with 1 at every start of the gateway.
        self._allowed: OrderedDict[int, str] = OrderedDict()

    def read(self, line: Mapping[str, Any]) -> str | None:
        """
        Return the text of the next line, or L{None} where it is not shown.
        """
        event = line["event"]
        if event == "end":
            return self._ended(line)
        if event == "flow-end" and self._whole:
            return f"{_time(line)}END flow of session {line['session']}: " + (
                printable(ending(line))
            )
        if event == "start":
            self._allowed.clear()
        elif event == "decision" and line["verdict"] == "allow":
            safe = _safe(line)
            self._allowed[line["session"]] = f"{safe['user']} → {_target(safe)}" + (
                _from(safe)
            )
            if len(self._allowed) > _REMEMBERED:
                self._allowed.popitem(last=False)
        text = humanLine(line, self._colour, self._config, self._width)
        return plainLine(line) if text is None and self._whole else text

    def passOver(self, lines: bytes, start: int) -> None:
        """
        Forget the sessions that end in lines which are not read.

        @param start: the index of the first of these lines.
        """
        if self._allowed:
            for ended in _ENDED.finditer(lines, start):
                self._allowed.pop(int(ended[1]), None)

    def _ended(self, line: Mapping[str, Any]) -> str | None:
        """Return how a grant ended, or L{None} for an orderly end."""
        of = self._allowed.pop(line["session"], f"session {line['session']}")
        safe = _safe(line)
        if not line.get("reply") and not safe.get("why"):
            if not self._whole:
                return None
            return f"{_time(line)}END {of}: {printable(ending(line))}"
        word = _paint("FAILED" if line.get("reply") else "ENDED", _RED, self._colour)
        reply = f", reply {line['reply']:02x}" if line.get("reply") else ""
        address = f" at {safe['address']}" if safe.get("address") else ""
        return f"{_time(line)}{word} {of}{address}{_because(safe)}{reply}"
