"""
The services that a file of 3proxy starts, each with what the file has set until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from socksgw.importing.draft import Draft
from socksgw.importing.host import Said, Unreadable
from socksgw.importing.threeproxy.rules import Ace, Parent, aceOf
from socksgw.importing.values import needed, number, port

__all__ = [
    "ELSEWHERE", "LIMITS", "NOWHERE", "OTHERS", "PORTS", "Script", "Service",
]  # fmt: skip

#: What is here by another name, or needs nothing, by command.
ELSEWHERE: Final = {
    "log": "the journal records each decision and each end (socksgw audit)",
    "logformat": "the journal has all fields; [[audit.sink]] has other formats",
    "logdump": "socksgw sessions tells what live sessions have moved",
    "rotate": "[audit] keep",
    "archiver": "[audit] keep; segments of the journal are closed files",
    "nolog": "each decision is in the journal",
    "monitor": "[gateway] reload_on_change; SIGHUP reloads always",
    "nscache": "answers of name servers are kept as long as they say",
    "nscache6": "answers of name servers are kept as long as they say",
    "pidfile": "twistd --pidfile",
    "daemon": "twistd without --nodaemon, or the unit",
    "service": "it means nothing on this system",
    "setuid": "twistd --uid, or User= of the unit",
    "setgid": "twistd --gid, or Group= of the unit",
    "chroot": "the unit's sandbox (etc/socksgw.service)",
    "config": "twistd --config",
    "writable": "the configuration is not written by the gateway",
    "stacksize": "there are no threads for sessions",
    "backlog": "the listening queue is as long as the kernel lets it be",
    "maxseg": "ip route … advmss",
    "noforce": '[gateway] enforce = "new-only"',
    "force": "sessions that are no longer allowed end within a second",
    "parentretries": "what comes next is tried by the order of via",
    "authcache": "[auth] cache: name and password are remembered, never the address",
    "authnserver": "nobody is known by a name of DNS here",
    "delimchar": "it is about protocols that are not here",
    "filtermaxsize": "there are no filters of contents",
    "counter": "quotas are kept in [gateway] state_dir",
}
#: What is not here at all.
NOWHERE: Final = {
    "system": "no commands are run",
    "dialer": "no commands are run",
    "plugin": "plug-ins of 3proxy are not loaded (socksgw help plugins)",
    "radius": "there is no RADIUS: a checker of kind http or pam can ask a server",
    "weight": "rules have no weight",
}
#: Services that are not here, with what can stand for them.
OTHERS: Final = {
    "pop3p": "no proxy of POP3 is here",
    "imapp": "no proxy of IMAP is here",
    "smtpp": "no proxy of SMTP is here",
    "ftppr": "no proxy of FTP is here; FTP programs speak SOCKS",
    "admin": "[admin] is the interface of this gateway (socksgw help admin)",
    "dnspr": "no proxy of DNS is here; clients of SOCKS give names to the gateway",
    "tcppm": "ports are not mapped here; socksgw connect -L maps one by this gateway",
    "udppm": "ports are not mapped here",
    "tlspr": 'a listener with transparent = "redirect" reads the server\'s name',
}
_COUNT: Final = ("COUNTER", "TYPE", "MEGABYTES")
#: Limits, with the arguments before the condition.
LIMITS: Final[Mapping[str, tuple[str, ...]]] = {
    "bandlimin": ("BITS",), "bandlimout": ("BITS",), "nobandlimin": (),
    "nobandlimout": (), "countin": _COUNT, "countout": _COUNT, "countall": _COUNT,
    "nocountin": (), "nocountout": (), "nocountall": (),
    "connlim": ("CONNECTIONS", "SECONDS"), "noconnlim": (),
}  # fmt: skip
#: Those of the arguments that are numbers.
_NUMBERS: Final = ("BITS", "MEGABYTES", "CONNECTIONS", "SECONDS")
PORTS: Final = {"socks": 1080, "proxy": 3128, "auto": 8080}
_FAMILIES: Final = {"-4": "only4", "-6": "only6", "-46": "prefer4", "-64": "prefer6"}
#: Options that change nothing that counts here.
_IDLE: Final = ("-a", "-l", "-s", "-S", "-b", "-g", "-t", "-n", "-C", "-o", "-U", "-T")


class Service(NamedTuple):
    """
    A service that takes SOCKS or HTTP.

    @ivar kind: C{socks}, C{proxy} or C{auto}.
    @ivar address: where it listens; empty for everywhere.
    @ivar external: the addresses that it leaves by.
    @ivar methods: of C{auth}: C{none}, C{iponly}, C{strong}; empty: nobody gets in.
    @ivar rules: its list.
    @ivar most: connections at a time.
    @ivar tls: certificate and key, where clients speak TLS.
    """

    line: int
    place: str
    kind: str
    address: str
    port: int
    external: tuple[str, ...]
    methods: tuple[str, ...]
    rules: tuple[Ace, ...]
    most: int
    device: str = ""
    family: str = ""
    tls: tuple[str, str] | None = None

    @property
    def asked(self) -> tuple[object, ...]:
        """What has to be equal for services to share rules."""
        return self.kind == "proxy", self.kind == "auto", self.methods, self.rules


class Script:
    """
    What the commands of a file come to.

    @ivar services: those that have an equivalent.
    @ivar limits: limits of all services, in order.
    @ivar users: entries of C{users}: line and text.
    @ivar servers: name servers, with their ports.
    @ivar hidden: names that lead nowhere (C{nsrecord NAME 0.0.0.0}), with their lines.
    @ivar timeouts: by 3proxy's order.
    @ivar isFaking: whether names are left to parents (C{fakeresolve}).
    """

    def __init__(self, commands: Iterable[Said], draft: Draft) -> None:
        """
        Follow the commands.

        @raise Unreadable: 3proxy does not start with one.
        """
        self.draft = draft
        self.services: list[Service] = []
        self.limits: list[Ace] = []
        self.users: list[tuple[int, str]] = []
        self.servers: list[str] = []
        self.hidden: list[tuple[int, str]] = []
        self.timeouts = [1, 5, 30, 60, 180, 1800, 15, 60, 15, 5, 5]
        self.isFaking = False
        self._rules: list[Ace] = []
        self._methods: tuple[str, ...] = ("iponly",)
        self._internal = ""
        self._external: dict[int, str] = {}
        self._most = 100
        self._isTls = False
        self._tls = {"cert": "", "key": ""}
        for each in commands:
            try:
                self._follow(each)
            except ValueError as e:
                raise Unreadable(f"{each.place}: {each.name}: {e}") from None

    def _follow(self, command: Said) -> None:
        name, rest = command.name, command.rest
        line = command.line
        if name in ("allow", "deny"):
            self._rules.append(aceOf(line, command.place, name, rest))
        elif name == "redirect":
            needed(rest, "HOST", "PORT")
            rule = aceOf(line, command.place, "allow", rest[2:])
            there = Parent(line, 1000, "redirect", rest[0], port(rest[1]), "", "")
            self._rules.append(rule._replace(chain=(there,)))
        elif name == "parent":
            self._parent(line, rest)
        elif name == "flush":
            self._rules = []
        elif name == "auth":
            self._methods = self._auth(line, rest)
        elif name == "users":
            self.users += [(line, each) for each in rest]
        elif name in LIMITS:
            names = LIMITS[name]
            needed(rest, *names)
            for what, word in zip(names, rest, strict=False):
                if what in _NUMBERS:
                    number(word)
            limit = aceOf(line, command.place, name, rest[len(names) :])
            self.limits.append(limit._replace(limit=rest[: len(names)]))
        elif name in PORTS:
            self._service(command)
        elif name in OTHERS:
            self.draft.leave(line, name, f"left out: {OTHERS[name]}")
        elif name == "internal":
            needed(rest, "ADDRESS")
            self._internal = rest[0]
        elif name == "external":
            needed(rest, "ADDRESS")
            self._external[6 if ":" in rest[0] else 4] = rest[0]
        elif name == "maxconn":
            needed(rest, "CONNECTIONS")
            self._most = number(rest[0])
        elif name == "timeouts":
            for at, word in enumerate(rest[: len(self.timeouts)]):
                self.timeouts[at] = number(word)
        elif name == "nserver":
            needed(rest, "ADDRESS")
            self._server(line, rest[0])
        elif name == "nsrecord":
            needed(rest, "NAME", "ADDRESS")
            self._record(line, rest)
        elif name == "fakeresolve":
            self.isFaking = True
        else:
            self._other(command)

    def _other(self, command: Said) -> None:
        name, line = command.name, command.line
        if name in ELSEWHERE:
            self.draft.leaveOnce(line, name, ELSEWHERE[name])
        elif name in NOWHERE:
            self.draft.leave(line, name, f"left out: {NOWHERE[name]}")
        elif name in ("ssl_serv", "ssl_server"):
            self._isTls = True
        elif name in ("ssl_noserv", "ssl_noserver"):
            self._isTls = False
        elif name in ("ssl_server_cert", "ssl_server_key"):
            self._tls[name[11:]] = command.rest[0] if command.rest else ""
        elif name in ("ssl_server_verify", "ssl_server_ca_file", "ssl_server_ca_dir"):
            why = "left out: name the authorities in listen.tls client_ca"
            self.draft.leave(line, name, why, wider=name.endswith("verify"))
        elif name.startswith("ssl_"):
            why = "left out: TLS is not opened, and parents have upstream.ca"
            self.draft.leave(line, name, why)
        elif name.startswith("pcre"):
            why = "left out: contents are not looked into by expressions"
            self.draft.leave(line, name, why, wider="deny" in command.rest)
        else:
            raise ValueError("this is no command of 3proxy 1.0")

    def _parent(self, line: int, rest: tuple[str, ...]) -> None:
        if not self._rules or self._rules[-1].action != "allow":
            raise ValueError("it has to follow allow")
        needed(rest, "WEIGHT", "TYPE", "HOST", "PORT")
        word, kind, host, there, user, password = (*rest[:6], "", "")[:6]
        weight = number(word)
        if not 0 < weight <= 1000:
            raise ValueError(f"{weight} is no weight from 1 to 1000")
        parent = Parent(line, weight, kind, host, port(there), user, password)
        rule = self._rules[-1]
        self._rules[-1] = rule._replace(chain=(*rule.chain, parent))

    def _auth(self, line: int, kinds: tuple[str, ...]) -> tuple[str, ...]:
        found: list[str] = []
        for kind in kinds:
            if kind in ("none", "iponly", "strong"):
                found.append(kind)
            elif kind in ("cache", "cacheacl"):
                why = (
                    "[auth] cache: name and password are remembered, never the address"
                )
                self.draft.leaveOnce(line, f"auth {kind}", why)
            elif kind in ("useronly", "dnsname", "nbname"):
                why = "left out: nobody is believed without a password here"
                self.draft.leave(line, f"auth {kind}", why)
            elif kind == "radius":
                why = "left out: a checker of kind http or pam can ask a server"
                self.draft.leave(line, "auth radius", why)
            else:
                raise ValueError(f"{kind!r} is no kind of 3proxy's own")
        return tuple(found)

    def _server(self, line: int, word: str) -> None:
        address, _, protocol = word.partition("/")
        if protocol:
            why = "names are asked for by UDP, and by TCP where an answer is long"
            self.draft.leave(line, f"nserver {word}", why)
        self.servers.append(address)

    def _record(self, line: int, rest: tuple[str, ...]) -> None:
        if rest[1] in ("0.0.0.0", "::"):
            self.hidden.append((line, rest[0].lower()))
        else:
            why = "left out: the hosts file, or a name server, can say where it leads"
            self.draft.leave(line, f"nsrecord {rest[0]}", why)

    def _service(self, command: Said) -> None:
        """Take note of a service with what holds now."""
        line, name = command.line, command.name
        where, address, device, family = PORTS[name], self._internal, "", ""
        external = dict(self._external)
        methods = self._methods
        for option in command.rest:
            if option in _FAMILIES:
                family = _FAMILIES[option]
            elif option.startswith("-p"):
                where = port(option[2:])
            elif option.startswith("-i"):
                address = option[2:]
            elif option.startswith("-e"):
                external[6 if ":" in option else 4] = option[2:]
            elif option == "-u2":
                methods = tuple(each for each in methods if each == "strong")
            elif option == "-u":
                methods = tuple(each for each in methods if each != "strong")
            elif option.startswith("-De"):
                device = option[3:]
            elif option[:3] in ("-Di", "-Ne", "-Ni") or option[:3] in ("-ni", "-ne"):
                why = "left out: see device, netns and udp.advertise of the listener"
                self.draft.leave(line, f"{name} {option}", why)
            elif option == "-H":
                why = "left out: say from whom in listen.proxy_protocol_from"
                self.draft.leave(line, f"{name} {option}", why)
            elif option[:2] in ("-R", "-r"):
                why = "left out: the gateway does not connect to its clients"
                self.draft.leave(line, f"{name} {option}", why)
                return
            elif option.startswith(_IDLE):
                self.draft.leave(line, f"{name} {option}", "nothing like it is needed")
            else:
                raise ValueError(f"{option} is no option that is known")
        tls = (self._tls["cert"], self._tls["key"]) if self._isTls else None
        if name == "auto":
            why = "the name in TLS says nothing here: SOCKS and HTTP are told apart"
            self.draft.leave(line, "auto", why)
        self.services.append(
            Service(
                line, command.place, name, address, where,
                tuple(each for each in external.values() if each not in ("0.0.0.0", "::")),
                methods, tuple(self._rules), self._most, device, family, tls,
            )
        )  # fmt: skip
