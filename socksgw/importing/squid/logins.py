"""
Logins of Squid (C{auth_param}) in the words of ours.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any, Final

from socksgw.importing.host import Said
from socksgw.importing.squid.reading import Reading
from socksgw.login.passwords import parseHash

__all__ = ["Logins"]

#: Options of basic_ldap_auth with a value, by ours; the rest is told.
_LDAP: Final = {"-b": "base", "-D": "bind_dn", "-W": "bind_password_file"}
#: The file of the directory's password, where the command line has it.
_BESIDE: Final = "squid-ldap.secret"
_REALM: Final = re.compile(r"[ !#-\[\]-~]+\Z")


class Logins:
    """
    What users log in by.

    @ivar methods: ours, in order.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._draft = reading.draft
        self.methods: list[str] = []
        self._auth: dict[str, Any] = {}
        self._checkers: list[dict[str, Any]] = []
        self._realm = ""
        for said in reading.of("auth_param"):
            scheme, option, *values = said.rest
            if option == "program":
                self._program(said, scheme, values)
            elif option == "realm":
                self._realm = " ".join(values).strip('"')
                if not _REALM.match(self._realm):
                    self._realm = ""
                    why = 'left out: a realm is ASCII without " and \\'
                    self._draft.leave(said.line, f"auth_param {scheme} realm", why)
            elif option == "credentialsttl":
                self._ttl(said, values)
            else:
                why = "nothing like it is needed"
                self._draft.leaveOnce(said.line, f"auth_param {scheme} {option}", why)

    def write(self) -> None:
        """Write the stores of users."""
        if self._realm:
            self._draft.add("[http]", {"realm": self._realm}, "auth_param basic realm")
        if self._auth:
            self._draft.add("[auth]", self._auth, "auth_param")
        for each in self._checkers:
            self._draft.add("[[auth.checker]]", each, "auth_param basic program")

    def _program(self, said: Said, scheme: str, values: Sequence[str]) -> None:
        words = shlex.split(" ".join(values))
        name = words[0].rpartition("/")[2] if words else ""
        if scheme == "negotiate" and name.startswith("negotiate_"):
            self._kerberos(said, words)
        elif scheme == "basic" and name == "basic_ncsa_auth" and len(words) > 1:
            self._auth.setdefault("checkers", []).append(f"passwd:{words[1]}")
            self._method("userpass")
            self._hashes(said, words[1])
        elif scheme == "basic" and name == "basic_pam_auth":
            service = words[words.index("-n") + 1] if "-n" in words else "squid"
            self._checkers.append({"kind": "pam", "service": service})
            self._method("userpass")
            why = 'it needs pip install "socksgw[pam]"'
            self._draft.leave(said.line, name, why)
        elif scheme == "basic" and name == "basic_ldap_auth":
            self._ldap(said, words)
        else:
            why = "left out: there is no such login here, so nobody logs in so"
            self._draft.leave(said.line, f"auth_param {scheme} {name}", why)

    def _method(self, method: str) -> None:
        if method not in self.methods:
            self.methods.append(method)

    def _kerberos(self, said: Said, words: Sequence[str]) -> None:
        keytab = words[words.index("-k") + 1] if "-k" in words else "/etc/krb5.keytab"
        self._auth["gssapi"] = {"keytab": keytab}
        self._method("gssapi")
        why = (
            'it needs pip install "socksgw[gssapi]"; users are alice@REALM, and '
            "[auth] strip_realms cuts a realm off"
        )
        self._draft.leave(said.line, "auth_param negotiate", why)

    def _hashes(self, said: Said, file: str) -> None:
        """Tell how many passwords of a file are of a kind that is not taken."""
        text = self._reading.host.text(file)
        if text is None:
            why = f"{file} cannot be read: its hashes have to be bcrypt (htpasswd -B)"
            self._draft.leave(said.line, "basic_ncsa_auth", why)
            return
        wrong = 0
        for line in text.splitlines():
            try:
                if line.strip() and not line.startswith("#"):
                    parseHash(line.partition(":")[2].strip())
            except ValueError:
                wrong += 1
        if wrong:
            why = (
                f"{wrong} of its passwords have a kind of hash that is not taken: "
                f"set them anew (socksgw passwd {file} USER)"
            )
            self._draft.leave(said.line, "basic_ncsa_auth", why)

    def _ldap(self, said: Said, words: Sequence[str]) -> None:
        checker: dict[str, Any] = {"kind": "ldap"}
        rest = [*words[1:]]
        urls: list[str] = []
        while rest:
            option = rest.pop(0)
            if option in _LDAP and rest:
                checker[_LDAP[option]] = rest.pop(0)
            elif option == "-f" and rest:
                wanted = rest.pop(0).replace("%s", "{user}")
                checker["user_filter"] = wanted if wanted[:1] == "(" else f"({wanted})"
            elif option in ("-H", "-h") and rest:
                url = rest.pop(0)
                urls.append(url if "://" in url else f"ldap://{url}")
            elif option == "-Z":
                checker["start_tls"] = True
            elif option == "-w" and rest:
                checker["bind_password_file"] = _BESIDE
                self._draft.hide(_BESIDE, rest.pop(0) + "\n")
            elif not option.startswith("-"):
                urls.append(f"ldap://{option}")
            else:
                why = "left out: there is nothing like it, or it is so always"
                self._draft.leave(said.line, f"basic_ldap_auth {option}", why)
                if option in ("-u", "-s", "-v", "-p", "-c", "-t", "-a") and rest:
                    rest.pop(0)
        checker.setdefault("user_filter", "(uid={user})")
        self._checkers.append({**checker, "url": urls})
        self._method("userpass")
        why = 'it needs pip install "socksgw[ldap]", and TLS or cleartext = true'
        self._draft.leave(said.line, "basic_ldap_auth", why)

    def _ttl(self, said: Said, values: Sequence[str]) -> None:
        units = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
        unit = values[1].removesuffix("s") if len(values) > 1 else "second"
        if values and values[0].isdecimal() and unit in units:
            self._auth["cache"] = f"{int(values[0]) * units[unit]}s"
        else:
            self._draft.leave(said.line, "credentialsttl", "left out: it is no time")
