"""
What a file of Squid says of ports, conditions, access, peers and settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from socksgw.importing.draft import Draft
from socksgw.importing.host import Host, Said, Unreadable
from socksgw.importing.squid.access import Line, Term
from socksgw.importing.squid.acls import BUILT_IN, Acl, added
from socksgw.importing.squid.file import valuesOf
from socksgw.importing.values import needed, port

__all__ = ["CACHING", "ELSEWHERE", "KEPT", "NARROWING", "NOTHING", "Port", "Reading"]

#: What is here by another name, or needs nothing, by directive.
ELSEWHERE: Final = {
    "access_log": "the journal records each decision and each end (socksgw audit)",
    "cache_log": "standard error has what goes wrong; [log] says how",
    "debug_options": "[log] level, and socksgw explain",
    "logformat": "the journal has all fields; [[audit.sink]] has other formats",
    "logfile_rotate": "[audit] keep",
    "deny_info": "http.reasons, and message of a rule",
    "forwarded_for": "no header is added",
    "via": "no header is added",
    "visible_hostname": "the gateway's name is in no answer",
    "unique_hostname": "the gateway's name is in no answer",
    "pid_filename": "twistd --pidfile",
    "cache_effective_user": "twistd --uid, or User= of the unit",
    "cache_effective_group": "twistd --gid, or Group= of the unit",
    "chroot": "the unit's sandbox (etc/socksgw.service)",
    "coredump_dir": "nothing of it is needed",
    "workers": "[gateway] workers",
    "max_filedescriptors": "LimitNOFILE= of the unit",
    "shutdown_lifetime": "[timeouts] drain",
    "dns_v4_first": 'resolver.family = "prefer4"',
    "snmp_port": "metrics are served by [admin] (socksgw help metrics)",
    "icp_port": "no other cache is asked",
    "htcp_port": "no other cache is asked",
    "mcast_groups": "no other cache is asked",
    "follow_x_forwarded_for": "listen.proxy_protocol_from names load balancers",
    "hosts_file": "the resolver reads the hosts file of this host",
    "half_closed_clients": "each direction ends by itself",
    "client_db": "sessions are counted by source always",
    "check_hostnames": "names are letters, digits, -, _ and dots",
    "allow_underscore": "names may have underscores",
    "auth_schemes": "[[auth.choose]] methods",
    "error_directory": "answers are one line of text",
    "cache_mgr": "answers name nobody",
    "httpd_suppress_version_string": "answers name no version",
    "pipeline_prefetch": "requests that come at once are answered in turn",
}
#: What begins so is about keeping pages, which is not done here.
CACHING: Final = (
    "acl_uses", "broken_vary", "buffered_logs", "cache", "collapsed_", "digest_",
    "fqdncache", "hierarchy_stoplist", "hopeless", "htcp_", "icp_", "ie_refresh",
    "ipcache", "max_stale", "maximum_object", "memory_", "minimum_icp",
    "minimum_object", "negative_", "netdb", "offline_mode", "pinger_", "positive_",
    "query_icmp", "quick_abort", "range_offset", "read_ahead", "refresh_",
    "reload_into", "send_hit", "store_", "strip_query", "vary_",
)  # fmt: skip
#: What keeps something out there, and nothing here would.
NARROWING: Final = {
    "http_access2": "requests that were changed are not judged again",
    "adapted_http_access": "requests that were changed are not judged again",
    "http_reply_access": "answers are not judged",
    "reply_body_max_size": "answers have no largest size; [[limit]] has quotas",
    "request_body_max_size": "requests have no largest size; [[limit]] has quotas",
    "url_rewrite_program": "no program is asked about addresses of pages",
    "url_rewrite_access": "no program is asked about addresses of pages",
    "icap_service": "contents are not looked into by other servers",
    "icap_enable": "contents are not looked into by other servers",
    "ecap_service": "contents are not looked into by other servers",
    "adaptation_access": "contents are not looked into by other servers",
    "miss_access": "what is allowed is fetched",
    "redirect_program": "no program is asked about addresses of pages",
    "client_ip_max_connections": "[[limit]] has sessions for each source",
    "response_delay_pool": "[[limit]] has rates",
    "client_delay_pools": "[[limit]] has rates",
    "authenticate_ip_ttl": "an account may be used from several addresses",
}
#: What begins so says nothing that could be said here.
NOTHING: Final = (
    "accept_filter", "adaptation_", "announce_", "append_domain", "as_whois",
    "authenticate_", "background_ping", "balance_", "broken_posts", "chunked_",
    "client_", "clientside_", "configuration_", "connect_", "cpu_affinity",
    "dead_peer", "delay_", "detect_broken", "diskd", "dns_", "ecap_", "email_err",
    "emulate_", "err_", "error_", "esi_", "eui_lookup", "extension_", "external_",
    "force_request", "forward_", "ftp_", "global_internal", "happy_eyeballs",
    "header_", "high_", "host_", "hostname_", "http_accel", "http_upgrade",
    "httpd_", "icap_", "icon_", "ident_", "ignore_", "incoming_", "loadable_",
    "location_rewrite", "log_", "logfile_", "mail_", "mark_", "max_open",
    "maximum_", "mcast_", "mime_table", "min_", "minimum_", "neighbor_", "note",
    "on_unsupported", "pconn_", "peer_", "persistent_", "proxy_protocol",
    "qos_flows", "referer_", "relaxed_header", "reply_header_", "request_",
    "response_", "retry_", "server_", "shared_", "short_icon", "sleep_", "snmp_",
    "spoof_client", "ssl_", "sslcrt", "sslpassword", "sslproxy_", "stats_", "tcp_",
    "test_reachability", "tls_outgoing", "tproxy_", "udp_", "umask", "unlinkd",
    "update_headers", "upgrade_", "uri_whitespace", "url_rewrite_", "useragent_",
    "wais_", "wccp", "windows_", "write_", "zero_", "zph_",
)  # fmt: skip


class Port(NamedTuple):
    """
    A port that clients connect to.

    @ivar name: by which conditions know it (C{name=}).
    @ivar addresses: where it is, with the port.
    @ivar divert: how the kernel brings clients here; empty if they know the proxy.
    @ivar tls: certificate and key.
    """

    line: int
    place: str
    name: str
    number: int
    addresses: tuple[str, ...]
    divert: str
    tls: tuple[str, str] | None


class Reading:
    """
    What a file says.

    @ivar acls: conditions by their names.
    @ivar lists: lines of access lists by their directives.
    @ivar said: directives with a meaning, by their names, in order.
    """

    def __init__(self, said: Iterable[Said], host: Host, draft: Draft) -> None:
        """
        Read the directives.

        @raise Unreadable: Squid does not start with one.
        """
        self.host = host
        self.draft = draft
        self.acls: dict[str, Acl] = dict(BUILT_IN)
        self.lists: dict[str, list[Line]] = {}
        self.said: dict[str, list[Said]] = {}
        self.ports: list[Port] = []
        for each in said:
            try:
                self._read(each)
            except ValueError as e:
                raise Unreadable(f"{each.place}: {each.name}: {e}") from None

    def of(self, *names: str) -> list[Said]:
        """Return the places of some directives."""
        return [each for name in names for each in self.said.get(name, ())]

    def last(self, name: str) -> str:
        """Return the first value of a directive, where it is said last; or nothing."""
        found = self.said.get(name)
        return found[-1].rest[0] if found and found[-1].rest else ""

    def _read(self, said: Said) -> None:
        name, rest = said.name, said.rest
        if name == "acl":
            needed(rest, "NAME", "TYPE")
            acl = self.acls.get(rest[0])
            if acl is None or not acl.line:
                acl = Acl(rest[0], said.line, rest[1])
            if acl.kind != rest[1]:
                raise ValueError(f"{rest[0]} is of the type {acl.kind} already")
            values = valuesOf(said, rest[2:], self.host.text)
            self.acls[rest[0]] = added(acl, values)
        elif name in ("http_access", "always_direct", "never_direct"):
            if rest[:1] not in (("allow",), ("deny",)):
                raise ValueError("allow or deny has to follow")
            terms = tuple(map(self._term, self._plain(rest[1:])))
            line = Line(said.line, said.place, rest[0] == "allow", terms)
            self.lists.setdefault(name, []).append(line)
        elif name in ("http_port", "https_port"):
            self._port(said)
        elif name in KEPT:
            needed(rest, *KEPT[name])
            self.said.setdefault(name, []).append(said)
        else:
            self._other(said)

    @staticmethod
    def _plain(words: Iterable[str]) -> list[str]:
        """Return conditions; a lone ! belongs to what follows."""
        return " ".join(words).replace("! ", "!").split()

    def _term(self, word: str) -> Term:
        acl = self.acls.get(word.removeprefix("!"))
        if acl is None:
            raise ValueError(f"no acl has the name {word.removeprefix('!')}")
        return Term(acl, word.startswith("!"))

    def _other(self, said: Said) -> None:
        name = said.name
        if name == "configuration_includes_quoted_values" and said.rest[:1] == ("on",):
            raise ValueError("quotes are not read so: write the values without them")
        if name in ELSEWHERE:
            self.draft.leaveOnce(said.line, name, ELSEWHERE[name])
        elif name in NARROWING:
            isOff = said.rest[:1] in (("off",), ("none",), ("0",), ("-1",))
            why = f"left out: {NARROWING[name]}"
            isWider = not isOff and said.rest[:1] != ("allow",)
            self.draft.leave(said.line, name, why, wider=isWider)
        elif name == "ssl_bump":
            why = "left out: TLS is not opened; [[rule]] names what is denied"
            isWider = said.rest[:1] in (("terminate",), ("reset",), ("err",))
            self.draft.leave(said.line, " ".join(said.words), why, isWider)
        elif name.startswith(CACHING):
            self.draft.leaveOnce(said.line, name, "nothing is cached here")
        elif name.startswith(NOTHING):
            self.draft.leaveOnce(said.line, name, "left out: there is nothing like it")
        else:
            why = "left out: this is no directive of Squid 5 that is known"
            self.draft.leave(said.line, name, why)

    def _port(self, said: Said) -> None:
        needed(said.rest, "PORT")
        where, *options = said.rest
        host, colon, word = where.rpartition(":")
        number = port(word)
        words = dict(each.partition("=")[::2] for each in options)
        if {"accel", "vhost", "defaultsite"} & words.keys():
            why = "left out: the gateway stands before no web servers"
            self.draft.leave(said.line, f"{said.name} {where}", why)
            return
        known = {"intercept", "transparent", "tproxy", "name", "tls-cert", "tls-key"}
        for option in words.keys() - known - {"cert", "key"}:
            wider = option in ("tls-clientca", "clientca")
            why = "left out: there is nothing like it"
            self.draft.leave(said.line, f"{said.name} {option}", why, wider)
        divert = "redirect" if {"intercept", "transparent"} & words.keys() else ""
        addresses = (
            (f"{host}:{number}",) if colon else (f"0.0.0.0:{number}", f"[::]:{number}")
        )
        certificate = words.get("tls-cert") or words.get("cert", "")
        key = words.get("tls-key") or words.get("key", "")
        self.ports.append(
            Port(
                said.line,
                said.place,
                words.get("name", where),
                number,
                addresses,
                "tproxy" if "tproxy" in words else divert,
                (certificate, key) if said.name == "https_port" else None,
            )
        )


_TIME: Final = ("TIME",)
#: Directives that L{writing}, L{logins} and L{peers} look at, with the values without
#: which Squid does not start.
KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    "auth_param": ("SCHEME", "PARAMETER"),
    "cache_peer": ("HOST", "TYPE", "PORT", "ICP-PORT"),
    "cache_peer_access": (),
    "cache_peer_domain": (),
    "dns_nameservers": (),
    "connect_timeout": _TIME,
    "read_timeout": _TIME,
    "request_timeout": _TIME,
    "client_lifetime": (),
    "dns_timeout": _TIME,
    "tcp_outgoing_address": ("ADDRESS",),
    "delay_pools": (),
    "delay_class": ("POOL", "CLASS"),
    "delay_parameters": ("POOL",),
    "delay_access": (),
    "delay_initial_bucket_level": (),
    "nonhierarchical_direct": (),
    "prefer_direct": (),
}
