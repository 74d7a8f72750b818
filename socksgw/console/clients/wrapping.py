"""
Programs that bring others to a gateway which know of none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from socksgw.console.clients.setting import LOCAL, Setting

__all__ = ["WRAPPING"]

_TORSOCKS: Final = tuple(
    Setting(
        "socks5",
        login,
        "/etc/tor/torsocks.conf, or the file that TORSOCKS_CONF_FILE names",
        [
            "TorAddress {host}",
            "TorPort {port}",
            "OnionAddrRange 127.42.42.0/24",
            *(
                ("SOCKS5Username {user}", "SOCKS5Password PASSWORD")
                if login == "password"
                else ()
            ),
        ],
        (
            "torsocks asks the gateway for addresses: a rule has to allow resolve.",
            "UDP and IPv6 are refused by torsocks itself.",
        ),
    )
    for login in ("none", "password")
)

_PROXYCHAINS: Final = tuple(
    Setting(
        protocol,
        login,
        "~/.proxychains/proxychains.conf",
        [
            "strict_chain",
            "proxy_dns",
            "[ProxyList]",
            f"{protocol} {{host}} {{port}}"
            + (" {user} PASSWORD" if login == "password" else ""),
        ],
        (
            "The gateway has to be named by its address.",
            "UDP goes past it, directly.",
        ),
    )
    for protocol in ("socks5", "http")
    for login in ("none", "password")
)

_TSOCKS: Final = tuple(
    Setting(
        "socks5",
        login,
        "/etc/tsocks.conf",
        [
            "server = {host}",
            "server_port = {port}",
            "server_type = 5",
            *(
                ("default_user = {user}", "default_pass = PASSWORD")
                if login == "password"
                else ()
            ),
        ],
        (LOCAL,),
    )
    for login in ("none", "password")
)

_SOCKSIFY: Final = tuple(
    Setting(
        "socks5",
        login,
        "the file that SOCKS_CONF names, by default /etc/dante.conf",
        [
            "resolveprotocol: fake",
            "route {{",
            "    from: 0.0.0.0/0 to: 0.0.0.0/0 via: {host} port = {port}",
            "    command: connect udpassociate bind",
            "    protocol: tcp udp",
            "    proxyprotocol: socks_v5",
            f"    method: {method}",
            "}}",
        ],
        ("SOCKS_USERNAME and SOCKS_PASSWORD hold the login.",)
        if login == "password"
        else (),
    )
    for login, method in (("none", "none"), ("password", "username"))
)

#: By the word on the command line: what the program is called, and its ways.
WRAPPING: Final[Mapping[str, tuple[str, Sequence[Setting]]]] = {
    "proxychains": ("proxychains4", _PROXYCHAINS),
    "socksify": ("Dante's socksify", _SOCKSIFY),
    "torsocks": ("torsocks", _TORSOCKS),
    "tsocks": ("tsocks", _TSOCKS),
}
