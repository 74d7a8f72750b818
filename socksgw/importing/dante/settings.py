"""
Write what a Dante server's file says besides its rules: listeners, times, logins.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

from socksgw.importing.dante.keywords import ELSEWHERE, NARROWING, SOCKETS, WRITTEN
from socksgw.importing.dante.limits import limitsOf, seconds
from socksgw.importing.dante.reading import Reading

__all__ = ["writeClientLimits", "writeListeners", "writeLogins", "writeTimes"]

#: Seconds that Dante waits where the file says nothing (danted.conf(5)).
_NEGOTIATE: Final = "30s"
_CONNECT: Final = "30s"


def writeTimes(reading: Reading) -> None:
    """Write the time-outs, and take note of settings that have another place."""
    draft = reading.draft
    for said in reading.file.said:
        if said.keyword in NARROWING:
            draft.leave(said.line, said.keyword, NARROWING[said.keyword], wider=True)
        elif said.keyword == "libwrap.hosts_access":
            if said.values != ("no",):
                why = "hosts.allow and hosts.deny are not read: from of the rules"
                draft.leave(said.line, said.keyword, why, wider=True)
        elif said.keyword in ELSEWHERE:
            reading.elsewhere(said)
        elif SOCKETS.fullmatch(said.keyword):
            draft.leave(said.line, said.keyword, "there is nothing like it")
        elif said.keyword not in WRITTEN:
            why = "this setting is not known"
            draft.leave(said.line, said.keyword, why, wider=True)
    times = {
        "handshake": _time(reading, "timeout.negotiate") or _NEGOTIATE,
        "connect": _time(reading, "timeout.connect") or _CONNECT,
        "idle": _time(reading, "timeout.io.tcp", "timeout.io"),
        "udp_idle": _time(reading, "timeout.io.udp", "timeout.io"),
    }
    if times["idle"] is None:
        draft.leave(0, "timeout.io", "connections idle for two hours end here")
    lines = [
        str(each.line)
        for each in reading.file.said
        if each.keyword.startswith("timeout.") and each.keyword in WRITTEN
    ]
    where = f"lines {', '.join(lines)}" if lines else "as Dante waits by itself"
    draft.add("[timeouts]", times, where)


def _time(reading: Reading, *keywords: str) -> str | None:
    """Return the time that the first of some keywords says."""
    for keyword in keywords:
        said = [*reading.of(keyword)]
        if said:
            return seconds(said[-1].values)
    return None


def writeListeners(reading: Reading) -> None:
    """Write the listeners, with what their clients leave by."""
    leave = _leaveBy(reading)
    lines = ", ".join(f"line {each.line}" for each in reading.of("internal"))
    for name, (address, port) in reading.listeners.items():
        where = f"[{address}]" if ":" in address else address
        reading.draft.add(
            "[[listen]]",
            {
                "name": name,
                "address": [f"{where}:{port}"],
                "protocols": reading.protocols or None,
                "leave_by": leave,
            },
            f"internal and external: {lines}",
        )


def _leaveBy(reading: Reading) -> Any:
    rotation = [each.values for each in reading.of("external.rotation")]
    if rotation and rotation[-1] == ("same-same",):
        return "same"
    if rotation and rotation[-1] == ("route",):
        return None
    found: dict[int, str] = {}
    for each in reading.external:
        # Dante takes the first of a version.
        found.setdefault(ip_address(each).version, each)
    return list(found.values()) or None


def writeLogins(reading: Reading) -> Sequence[str]:
    """
    Write where users are checked.

    @return: our methods.
    """
    draft, line = reading.draft, reading.line
    methods = reading.methods(reading.words, line)
    if "gssapi" in methods:
        keytabs = _every(reading, "gssapi.keytab")
        keytab = (keytabs or ["/etc/danted.keytab"])[0].removeprefix("FILE:")
        if len(keytabs) > 1:
            draft.leave(0, "gssapi.keytab", f"one for all: {keytab}")
        why = "any key of the keytab is accepted, whatever the service is called"
        draft.leave(line, "gssapi", why)
        draft.add(
            "[auth]",
            {"kerberos_names": "exact", "gssapi": {"keytab": keytab}},
            f"line {line}: gssapi; needs the extra gssapi",
        )
    if "userpass" in methods:
        services = _every(reading, "pam.servicename")
        service = "danted" if "pam.username" in reading.words else "login"
        if len(services) > 1:
            why = f"every user is asked for by {services[0]}"
            draft.leave(0, "pam.servicename", why, wider=True)
        draft.add(
            "[[auth.checker]]",
            {"kind": "pam", "service": services[0] if services else service},
            f"line {line}: the system's passwords, as PAM knows them; needs the "
            "extra pam, and the right to read them (group shadow)",
        )
    return methods


def _every(reading: Reading, keyword: str) -> list[str]:
    """Return the values that the rules give a keyword, each once."""
    found: dict[str, None] = {}
    for rule in [*reading.clients, *reading.requests]:
        found |= dict.fromkeys(rule.block.of(keyword) or ())
    return list(found)


def writeClientLimits(reading: Reading) -> None:
    """Write the limits of the rules of clients, where one of them passes all."""
    passing = [each for each in reading.clients if each.passes]
    for rule in passing:
        if len(passing) == 1:
            limits = limitsOf(rule.block, reading.draft, "all")
            if limits:
                where = f"the rule of clients of line {rule.block.line}"
                reading.draft.add("[[limit]]", limits, where)
            continue
        for said in rule.block.said:
            if said.keyword in ("bandwidth", "session.max", "session.throttle"):
                why = "left out: limits of some clients are those of rules of requests"
                reading.draft.leave(said.line, said.keyword, why, wider=True)
