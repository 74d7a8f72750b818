"""
What each keyword of a Dante server's file has here, or why there is nothing like it.

Of settings and rules alike. What is written of the other keywords is in L{reading},
L{settings} and L{writing}; the manual's chapter C{dante} has all of them.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ELSEWHERE", "NARROWING", "SOCKETS", "WRITTEN"]

#: What is written, or has its own words, of settings and of rules.
WRITTEN: Final = frozenset(
    [
        "bandwidth",
        "clientmethod",
        "command",
        "external",
        "external.protocol",
        "external.rotation",
        "from",
        "group",
        "gssapi.enctype",
        "gssapi.keytab",
        "gssapi.servicename",
        "internal",
        "internal.protocol",
        "libwrap.hosts_access",
        "method",
        "pam.servicename",
        "protocol",
        "proxyprotocol",
        "redirect",
        "session.inheritable",
        "session.max",
        "session.state.key",
        "session.throttle",
        "socksmethod",
        "timeout.connect",
        "timeout.io",
        "timeout.io.tcp",
        "timeout.io.udp",
        "timeout.negotiate",
        "to",
        "user",
        "via",
    ]
)
#: What is the same here without being said, or has another place.
ELSEWHERE: Final = {
    "clientcompatibility": "[auth] gssapi = { nec = true }, of all listeners",
    "compatibility": "ports of clients are not used again; nothing is wanted for UDP",
    "debug": "the journal and socksgw explain tell why",
    "errorlog": "standard error has what goes wrong; [log] says how",
    "extension": "clients that follow RFC 1928 need none",
    "log": "the journal records each decision and each end of every rule",
    "logoutput": "the journal records each decision and each end (socksgw audit)",
    "timeout.tcp_fin_wait": "the kernel's net.ipv4.tcp_fin_timeout",
    "udp.connectdst": "answers come back as rule.udp.replies says; exact by default",
    "udp.portrange": "[listen.udp] ports, of a listener and not of a rule",
    "user.libwrap": "there is no libwrap here",
    "user.notprivileged": "twistd --uid and --gid, or User= of the unit",
    "user.privileged": "started as root, twistd drops its rights by --uid and --gid",
    "user.unprivileged": "twistd --uid and --gid, or User= of the unit",
}
#: What keeps somebody out in Dante, and has nothing here that would.
NARROWING: Final = {
    "bsdauth.stylename": "there is no BSD authentication here",
    "hostid": "host ids of clients are not read",
    "hostindex": "host ids of clients are not read",
    "libwrap": "nothing is run or asked for a rule; from of the rules says who may come",
    "srchost": "names of clients are not looked up",
}
#: Options of sockets, priorities of processes, more lines for errors.
SOCKETS: Final = re.compile(
    r"(internal|external)\.(log|so|socket|tcp|udp|ip)\..+|(cpu|child)\..+"
)
