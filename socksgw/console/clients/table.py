"""
What each program takes: where it is told of a proxy, in which words.

Each row was seen to work, with the versions of Debian 12 where nothing else is said.
The rows of one program stand in the order of preference: first those by which the
gateway looks names up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

__all__ = ["TABLE", "Setting"]


class Setting(NamedTuple):
    """
    One way in which a program comes to a gateway.

    @ivar protocol: what it speaks, as in C{listen.protocols}.
    @ivar login: what it shows (L{socksgw.console.clients.reach.LOGINS}).
    @ivar where: the file, or what else takes the lines.
    @ivar lines: the lines, with C{{words}} of a L{Reach}.
    @ivar notes: what people have to know.
    @ivar tls: whether it speaks TLS to the gateway.
    @ivar comment: what begins a comment there.
    """

    protocol: str
    login: str
    where: str
    lines: Sequence[str]
    notes: Sequence[str] = ()
    tls: bool = False
    comment: str = "#"

    def __str__(self) -> str:
        way = f"{self.protocol} over TLS" if self.tls else self.protocol
        return f"{way} with {'no' if self.login == 'none' else self.login} login"


_IGNORANT: Final = (
    "wget, Go, Node, npm, aiohttp, urllib, LWP, mosquitto and apt do not read "
    "ALL_PROXY: they connect directly."
)
_TICKET: Final = "With the ticket that klist shows."
_READABLE: Final = "Whoever reads this file has the password: chmod 600."
_SEEN: Final = "Other users of this machine see the password while the command runs."
_LOCAL: Final = (
    "The program looks names up by itself: rules by name do not match, and the names "
    "have to be known here."
)


def _url(scheme: str, login: str) -> str:
    return f"{scheme}://{_LOGIN[login]}{{at}}"


_LOGIN: Final = {"none": "", "password": "{quoted}:PASSWORD@", "kerberos": ":@"}


def _variables(url: str) -> list[str]:
    return [
        f"export http_proxy={url} https_proxy={url}",
        "export no_proxy=localhost,127.0.0.1,::1",
    ]


def _curl(url: str, *more: str, tls: bool = False) -> list[str]:
    authority = ['proxy-cacert = "ca.pem"'] if tls else []
    return [f'proxy = "{url}"', *authority, *more]


_CURLRC: Final = "~/.curlrc"
_CA: Final = "ca.pem is the authority that has signed the gateway's certificate."
_CURL: Final = (
    Setting("socks5", "none", _CURLRC, _curl("socks5h://{at}")),
    Setting("http", "kerberos", _CURLRC, _curl("http://{at}", "proxy-negotiate", 'proxy-user = ":"'), (_TICKET,)),
    Setting(
        "socks5",
        "kerberos",
        _CURLRC,
        _curl("socks5h://{at}", "socks5-gssapi"),
        (
            _TICKET,
            'curl has no protection: the gateway has to accept "clear". It fails by '
            "itself in 7.88, and works in 8.",
        ),
    ),
    Setting(
        "socks5",
        "password",
        _CURLRC,
        _curl("socks5h://{at}", 'proxy-user = "{user}:PASSWORD"', "socks5-basic"),
        (_READABLE,),
    ),
    Setting("http", "none", _CURLRC, _curl("http://{at}")),
    Setting(
        "http",
        "password",
        _CURLRC,
        _curl("http://{at}", 'proxy-user = "{user}:PASSWORD"', "proxy-basic"),
        (_READABLE,),
    ),
    Setting("http", "none", _CURLRC, _curl("https://{at}", tls=True), (_CA,), tls=True),
    Setting(
        "http",
        "kerberos",
        _CURLRC,
        _curl("https://{at}", "proxy-negotiate", 'proxy-user = ":"', tls=True),
        (_CA, _TICKET),
        tls=True,
    ),
    Setting(
        "http",
        "certificate",
        _CURLRC,
        _curl("https://{at}", 'proxy-cert = "user.pem"', 'proxy-key = "user.key"', tls=True),
        (_CA, "user.pem is your certificate, user.key its key."),
        tls=True,
    ),
    Setting(
        "http",
        "password",
        _CURLRC,
        _curl("https://{at}", 'proxy-user = "{user}:PASSWORD"', "proxy-basic", tls=True),
        (_CA, _READABLE),
        tls=True,
    ),
)  # fmt: skip

_GIT: Final = tuple(
    Setting(
        protocol,
        login,
        "~/.gitconfig",
        ["[http]", f"    proxy = {_url(scheme, login)}", *more],
        [*notes, "git's own protocol and ssh are others: see ssh."],
    )
    for protocol, scheme, login, more, notes in (
        ("socks5", "socks5h", "none", (), ()),
        ("http", "http", "kerberos", ("    proxyAuthMethod = negotiate",), (_TICKET,)),
        ("socks5", "socks5h", "password", (), (_READABLE,)),
        ("http", "http", "none", (), ()),
        ("http", "http", "password", (), (_READABLE,)),
    )
)

_APT: Final = tuple(
    Setting(
        protocol,
        login,
        "/etc/apt/apt.conf.d/80proxy",
        [
            f'Acquire::http::Proxy "{_url(scheme, login)}";',
            f'Acquire::https::Proxy "{_url(scheme, login)}";',
        ],
        (_READABLE,) if login == "password" else (),
        comment="//",
    )
    for protocol, scheme in (("socks5", "socks5h"), ("http", "http"))
    for login in ("none", "password")
)

_PIP: Final = tuple(
    Setting(
        protocol,
        login,
        "~/.config/pip/pip.conf",
        ["[global]", f"proxy = {_url(scheme, login)}"],
        [
            *((_READABLE,) if login == "password" else ()),
            *(("pip needs PySocks for this: pip install pysocks",) if scheme != "http" else ()),
        ],
    )
    for protocol, scheme in (("http", "http"), ("socks5", "socks5h"))
    for login in ("none", "password")
)  # fmt: skip

_NPM: Final = tuple(
    Setting(
        "http",
        login,
        "~/.npmrc",
        [f"proxy={_url('http', login)}", f"https-proxy={_url('http', login)}"],
        (_READABLE,) if login == "password" else (),
    )
    for login in ("none", "password")
)

_WGET: Final = tuple(
    Setting(
        "http",
        login,
        "~/.wgetrc",
        [
            "use_proxy = on",
            f"http_proxy = {_url('http', login)}",
            f"https_proxy = {_url('http', login)}",
        ],
        (_READABLE,) if login == "password" else (),
    )
    for login in ("none", "password")
)

_ENVIRONMENT: Final = (
    Setting("http", "none", "~/.profile", _variables("http://{at}")),
    Setting("http", "password", "~/.profile", _variables(_url("http", "password")), (_READABLE,)),
    Setting("socks5", "none", "~/.profile", ["export ALL_PROXY=socks5h://{at}"], (_IGNORANT,)),
    Setting(
        "socks5",
        "password",
        "~/.profile",
        [f"export ALL_PROXY={_url('socks5h', 'password')}"],
        (_READABLE, _IGNORANT),
    ),
)  # fmt: skip

_GO: Final = tuple(
    Setting(
        protocol,
        login,
        "~/.profile",
        [f"export HTTP_PROXY={_url(scheme, login)} HTTPS_PROXY={_url(scheme, login)}"],
        ("Go knows no socks5h, and lets the gateway look names up all the same.",),
    )
    for protocol, scheme in (("socks5", "socks5"), ("http", "http"))
    for login in ("none", "password")
)

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
        ("~/.ssh/proxy-password holds the password: chmod 600.",),
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

_FIREFOX: Final = (
    Setting(
        "socks5",
        "none",
        "user.js of the profile",
        [
            'user_pref("network.proxy.type", 1);',
            'user_pref("network.proxy.socks", "{host}");',
            'user_pref("network.proxy.socks_port", {port});',
            'user_pref("network.proxy.socks_version", 5);',
            'user_pref("network.proxy.socks5_remote_dns", true);',
            'user_pref("network.proxy.socks_remote_dns", true);',
        ],
        ("Firefox ESR 153; before 128 the last line counts.",),
        comment="//",
    ),
    *(
        Setting(
            "http",
            login,
            "user.js of the profile",
            [
                'user_pref("network.proxy.type", 1);',
                'user_pref("network.proxy.http", "{host}");',
                'user_pref("network.proxy.http_port", {port});',
                'user_pref("network.proxy.ssl", "{host}");',
                'user_pref("network.proxy.ssl_port", {port});',
            ],
            (note,) if note else (),
            comment="//",
        )
        for login, note in (
            ("none", ""),
            ("kerberos", _TICKET),
            ("password", "Firefox asks for user and password."),
        )
    ),
)

_CHROMIUM: Final = (
    Setting(
        "socks5", "none", "command line", ["chromium --proxy-server=socks5://{at}"]
    ),
    *(
        Setting(
            "http",
            login,
            "command line",
            [f"chromium --proxy-server={scheme}://{{at}}"],
            (note,) if note else (),
            tls=scheme == "https",
        )
        for scheme in ("http", "https")
        for login, note in (
            ("none", ""),
            ("kerberos", _TICKET),
            ("password", "Chromium asks for user and password."),
        )
    ),
)

_JAVA_HTTP: Final = (
    "-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} "
    "-Dhttps.proxyHost={host} -Dhttps.proxyPort={port}"
)
_JAVA: Final = (
    Setting(
        "http",
        "none",
        "~/.profile",
        [f'export JAVA_TOOL_OPTIONS="{_JAVA_HTTP}"'],
        ("For URLConnection and HttpClient; a plain Socket does not read it.",),
    ),
    Setting(
        "http",
        "password",
        "~/.profile",
        [
            f'export JAVA_TOOL_OPTIONS="{_JAVA_HTTP}'
            ' -Djdk.http.auth.tunneling.disabledSchemes="'
        ],
        ("The program has to give user and password by Authenticator.setDefault.",),
    ),
    Setting(
        "socks5",
        "none",
        "~/.profile",
        ['export JAVA_TOOL_OPTIONS="-DsocksProxyHost={host} -DsocksProxyPort={port}"'],
        (_LOCAL, "HttpClient does not read it, and connects directly."),
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

_CARGO: Final = tuple(
    Setting(
        protocol,
        login,
        "~/.cargo/config.toml",
        ["[http]", f'proxy = "{_url(scheme, login)}"'],
        (_READABLE,) if login == "password" else (),
    )
    for protocol, scheme in (("socks5", "socks5h"), ("http", "http"))
    for login in ("none", "password")
)

_YTDLP: Final = tuple(
    Setting(
        protocol,
        login,
        "~/.config/yt-dlp/config",
        [f"--proxy {_url(scheme, login)}"],
        ("A wrong password reads: general SOCKS server failure.",),
    )
    for protocol, scheme in (("socks5", "socks5"),)
    for login in ("none", "password")
)

_MOSQUITTO: Final = tuple(
    Setting(
        "socks5",
        login,
        "~/.config/mosquitto_pub, and ~/.config/mosquitto_sub",
        [f"--proxy {_url('socks5h', login)}"],
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
        (_LOCAL,),
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
TABLE: Final[Mapping[str, tuple[str, Sequence[Setting]]]] = {
    "apt": ("apt", _APT),
    "cargo": ("cargo", _CARGO),
    "chromium": ("Chromium", _CHROMIUM),
    "curl": ("curl", _CURL),
    "environment": ("programs that read the environment", _ENVIRONMENT),
    "firefox": ("Firefox", _FIREFOX),
    "git": ("git", _GIT),
    "go": ("programs in Go", _GO),
    "java": ("programs in Java", _JAVA),
    "mosquitto": ("mosquitto_pub and mosquitto_sub", _MOSQUITTO),
    "msmtp": ("msmtp", _MSMTP),
    "nc": ("nc", _NC),
    "ncat": ("ncat", _NCAT),
    "npm": ("npm", _NPM),
    "openvpn": ("OpenVPN", _OPENVPN),
    "pip": ("pip", _PIP),
    "proxychains": ("proxychains4", _PROXYCHAINS),
    "putty": ("PuTTY", _PUTTY),
    "socat": ("socat", _SOCAT),
    "socksify": ("Dante's socksify", _SOCKSIFY),
    "ssh": ("OpenSSH", _SSH),
    "torsocks": ("torsocks", _TORSOCKS),
    "tsocks": ("tsocks", _TSOCKS),
    "weechat": ("WeeChat", _WEECHAT),
    "wget": ("wget", _WGET),
    "yt-dlp": ("yt-dlp", _YTDLP),
}
