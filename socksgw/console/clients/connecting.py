"""
Programs that connect for people, by protocols other than that of the Web.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from socksgw.console.clients.setting import TICKET, Setting, url

__all__ = ["CONNECTING"]

_WORD: Final = "~/.ssh/proxy-password holds the password: chmod 600."
_OURS: Final = "It needs socksgw here: socksgw help client."
_CA: Final = "~/.ssh/proxy-ca.pem has signed the gateway's certificate."


def _ssh(proxy: str) -> list[str]:
    """Return what has our own client connect, for what ncat does not know."""
    return ["Host *", f"    ProxyCommand socksgw connect %h %p --proxy {proxy}"]


_SSH: Final = (
    Setting(
        "socks5",
        "none",
        "~/.ssh/config",
        ["Host *", "    ProxyCommand ncat --proxy-type socks5 --proxy {at} %h %p"],
    ),
    Setting(
        "socks5",
        "password",
        "~/.ssh/config",
        [
            "Host *",
            '    ProxyCommand sh -c "NCAT_PROXY_AUTH={user}:$(cat ~/.ssh/proxy-password)'
            ' exec ncat --proxy-type socks5 --proxy {at} %h %p"',
        ],
        (_WORD,),
    ),
    Setting(
        "http",
        "none",
        "~/.ssh/config",
        ["Host *", "    ProxyCommand ncat --proxy-type http --proxy {at} %h %p"],
    ),
    Setting(
        "socks4",
        "none",
        "~/.ssh/config",
        ["Host *", "    ProxyCommand ncat --proxy-type socks4 --proxy {at} %h %p"],
    ),
    Setting(
        "socks5",
        "kerberos",
        "~/.ssh/config",
        _ssh("socks5://{at} --login gssapi"),
        (TICKET, _OURS),
    ),
    *(
        Setting(
            "socks5",
            login,
            "~/.ssh/config",
            _ssh(f"socks5+tls://{{at}} --ca ~/.ssh/proxy-ca.pem{more}"),
            notes,
            tls=True,
        )
        for login, more, notes in (
            ("none", "", (_OURS, _CA)),
            ("kerberos", " --login gssapi", (TICKET, _OURS, _CA)),
            (
                "certificate",
                " --login certificate --certificate ~/.ssh/proxy.pem",
                ("~/.ssh/proxy.pem holds your certificate and its key.", _OURS, _CA),
            ),
            (
                "password",
                " --user {user} --password-file ~/.ssh/proxy-password",
                (_WORD, _OURS, _CA),
            ),
        )
    ),
)

_NCAT: Final = (
    Setting("socks5", "none", "command", ["ncat --proxy-type socks5 --proxy {at} HOST PORT"]),
    Setting(
        "socks5",
        "password",
        "command",
        ["NCAT_PROXY_AUTH='{user}:PASSWORD' ncat --proxy-type socks5 --proxy {at} HOST PORT"],
        ("-u, for UDP, makes a TCP connection through the proxy.",),
    ),
    Setting("http", "none", "command", ["ncat --proxy-type http --proxy {at} HOST PORT"]),
    Setting("socks4", "none", "command", ["ncat --proxy-type socks4 --proxy {at} HOST PORT"]),
)  # fmt: skip

_NC: Final = (
    Setting(
        "socks5",
        "none",
        "command",
        ["nc -X 5 -x {at} HOST PORT"],
        ("OpenBSD's nc. It knows no login, and with -X 4 it looks names up itself.",),
    ),
    Setting("http", "none", "command", ["nc -X connect -x {at} HOST PORT"]),
)

_SOCAT: Final = (
    Setting(
        "socks4",
        "none",
        "command",
        ["socat - SOCKS4A:{bracketed}:HOST:PORT,socksport={port}"],
        ("socat speaks SOCKS 4a alone: no login, no IPv6 destination.",),
    ),
    Setting(
        "http",
        "none",
        "command",
        ["socat - PROXY:{bracketed}:HOST:PORT,proxyport={port}"],
    ),
)

_OPENVPN: Final = (
    Setting(
        "socks5",
        "none",
        "the client's .ovpn",
        ["socks-proxy {host} {port}"],
        ("With proto udp, a rule has to allow udp, and IPv4 only.",),
    ),
    Setting(
        "socks5",
        "password",
        "the client's .ovpn",
        ["socks-proxy {host} {port} proxy-login"],
        (
            "proxy-login holds the user on one line, the password on the next: chmod 600.",
            "With proto udp, a rule has to allow udp, and IPv4 only.",
        ),
    ),
    Setting(
        "http",
        "none",
        "the client's .ovpn",
        ["proto tcp-client", "http-proxy {host} {port}"],
    ),
    Setting(
        "http",
        "password",
        "the client's .ovpn",
        ["proto tcp-client", "http-proxy {host} {port} proxy-login basic"],
        (
            "proxy-login holds the user on one line, the password on the next: chmod 600.",
        ),
    ),
)

_MOSQUITTO: Final = tuple(
    Setting(
        "socks5",
        login,
        "~/.config/mosquitto_pub, and ~/.config/mosquitto_sub",
        [f"--proxy {url('socks5h', login)}"],
        ("There is no way to write an @ in a user's name.",),
    )
    for login in ("none", "password")
)

_MSMTP: Final = (
    Setting(
        "socks5",
        "none",
        "~/.msmtprc, in the account",
        ["proxy_host {host}", "proxy_port {port}"],
    ),
)

_WEECHAT: Final = (
    Setting("socks5", "none", "WeeChat", ["/proxy add gw socks5 {host} {port}", "/set irc.server_default.proxy gw"]),
    Setting(
        "socks5",
        "password",
        "WeeChat",
        ["/proxy add gw socks5 {host} {port} {user} PASSWORD", "/set irc.server_default.proxy gw"],
    ),
)  # fmt: skip

_PUTTY: Final = tuple(
    Setting(
        protocol,
        login,
        "Connection > Proxy of the session",
        [
            f"ProxyMethod={number}",
            "ProxyHost={host}",
            "ProxyPort={port}",
            "ProxyDNS=1",
            *(("ProxyUsername={user}",) if login != "none" else ()),
        ],
        ("The same words stand in ~/.putty/sessions/NAME.",)
        if login == "none"
        else ("PuTTY asks for the password.",),
    )
    for protocol, number, logins in (
        ("socks5", 2, ("none", "chap", "password")),
        ("http", 3, ("none", "password")),
    )
    for login in logins
)

#: By the word on the command line: what the program is called, and its ways.
CONNECTING: Final[Mapping[str, tuple[str, Sequence[Setting]]]] = {
    "mosquitto": ("mosquitto_pub and mosquitto_sub", _MOSQUITTO),
    "msmtp": ("msmtp", _MSMTP),
    "nc": ("nc", _NC),
    "ncat": ("ncat", _NCAT),
    "openvpn": ("OpenVPN", _OPENVPN),
    "putty": ("PuTTY", _PUTTY),
    "socat": ("socat", _SOCAT),
    "ssh": ("OpenSSH", _SSH),
    "weechat": ("WeeChat", _WEECHAT),
}
