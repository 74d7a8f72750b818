"""
Peers of Squid as upstreams of ours.
"""

from __future__ import annotations

from typing import Any, Final

from socksgw.importing.squid.access import falls
from socksgw.importing.squid.reading import Reading

__all__ = ["Peers"]

#: Options of a peer that say how it is used, and mean nothing here.
_IDLE: Final = (
    "no-query",
    "no-digest",
    "default",
    "name",
    "tls",
    "ssl",
    "login",
    "proxy-only",
)


class Peers:
    """
    Where requests are sent on to.

    @ivar via: the value of C{via} for what is sent on; L{None} where nothing is.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._draft = reading.draft
        self._names: list[str] = []
        self._upstreams: list[tuple[dict[str, Any], str]] = []
        for said in reading.of("cache_peer"):
            host, kind, port, _, *options = said.rest
            words = dict(each.partition("=")[::2] for each in options)
            label = f"cache_peer {host}"
            if kind != "parent" or "originserver" in words:
                why = (
                    "left out: it is asked for pages that it keeps, or is a web server"
                )
                self._draft.leave(said.line, label, why)
                continue
            name = words.get("name", host)
            if name in self._names:
                name = f"{name}-{port}"
            isSecure = bool({"tls", "ssl"} & words.keys())
            where = f"[{host}]" if ":" in host else host
            values: dict[str, Any] = {
                "name": name,
                "url": f"{'https' if isSecure else 'http'}://{where}:{port}",
            }
            self._login(values, words.get("login", ""), isSecure)
            for option in words.keys() - {*_IDLE}:
                why = "left out: the upstream with the fewest sessions is taken first"
                self._draft.leave(said.line, f"{label} {option}", why)
            self._names.append(name)
            self._upstreams.append((values, said.place))
        for said in reading.of("cache_peer_access", "cache_peer_domain"):
            why = "left out: rules say by via which upstreams may be taken"
            self._draft.leave(said.line, said.name, why)
        self.via = self._via()

    def write(self) -> None:
        """Write the upstreams."""
        if self.via is not None:
            for values, place in self._upstreams:
                self._draft.add("[[upstream]]", values, f"{place}: cache_peer")

    def _login(self, values: dict[str, Any], login: str, isSecure: bool) -> None:
        if login in ("PASS", "PASSTHRU"):
            values["pass_through"] = True
        elif login.startswith("NEGOTIATE"):
            values["login"] = {"method": "negotiate"}
        elif login:
            user, _, password = login.partition(":")
            file = f"{values['name']}.password"
            self._draft.hide(file, password + "\n")
            values["login"] = {
                "method": "userpass", "user": user, "password_file": file,
            }  # fmt: skip
        if login and not isSecure and not login.startswith("NEGOTIATE"):
            values["cleartext_passwords"] = True

    def _via(self) -> list[Any] | None:
        """Return what C{never_direct} says, for all requests alike."""
        if not self._names:
            return None
        never = self._reading.lists.get("never_direct", [])
        always = self._reading.lists.get("always_direct", [])
        line = never[0].line if never else self._reading.of("cache_peer")[0].line
        isAlways = never and never[0].allows and str(never[0]) == "allow all"
        if isAlways and not any(each.allows for each in always):
            return [self._names]
        if isAlways or (never and (falls(never) or any(e.allows for e in never))):
            why = (
                "everything is sent on: whether a request is sent on by condition is said "
                "by rules with and without via"
            )
            self._draft.leave(line, "never_direct, always_direct", why)
            return [self._names]
        why = "left out: without never_direct tunnels leave from here, and so does all"
        self._draft.leave(line, "cache_peer", why)
        return None
