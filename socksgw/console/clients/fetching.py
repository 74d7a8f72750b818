"""
Programs that fetch: what they take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from socksgw.console.clients.setting import READABLE, TICKET, Setting, url

__all__ = ["FETCHING"]

_IGNORANT: Final = (
    "wget, Go, Node, npm, aiohttp, urllib, LWP, mosquitto, apt and yt-dlp of Debian 12 "
    "do not read ALL_PROXY: they connect directly."
)


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
    Setting("http", "kerberos", _CURLRC, _curl("http://{at}", "proxy-negotiate", 'proxy-user = ":"'), (TICKET,)),
    Setting(
        "socks5",
        "kerberos",
        _CURLRC,
        _curl("socks5h://{at}", "socks5-gssapi"),
        (
            TICKET,
            'curl has no protection: the gateway has to accept "clear". It fails by '
            "itself in 7.88, and works in 8.",
        ),
    ),
    Setting(
        "socks5",
        "password",
        _CURLRC,
        _curl("socks5h://{at}", 'proxy-user = "{user}:PASSWORD"', "socks5-basic"),
        (READABLE,),
    ),
    Setting("http", "none", _CURLRC, _curl("http://{at}")),
    Setting(
        "http",
        "password",
        _CURLRC,
        _curl("http://{at}", 'proxy-user = "{user}:PASSWORD"', "proxy-basic"),
        (READABLE,),
    ),
    Setting("http", "none", _CURLRC, _curl("https://{at}", tls=True), (_CA,), tls=True),
    Setting(
        "http",
        "kerberos",
        _CURLRC,
        _curl("https://{at}", "proxy-negotiate", 'proxy-user = ":"', tls=True),
        (_CA, TICKET),
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
        (_CA, READABLE),
        tls=True,
    ),
)  # fmt: skip

_GIT: Final = tuple(
    Setting(
        protocol,
        login,
        "~/.gitconfig",
        ["[http]", f"    proxy = {url(scheme, login)}", *more],
        [*notes, "git's own protocol and ssh are others: see ssh."],
    )
    for protocol, scheme, login, more, notes in (
        ("socks5", "socks5h", "none", (), ()),
        ("http", "http", "kerberos", ("    proxyAuthMethod = negotiate",), (TICKET,)),
        ("socks5", "socks5h", "password", (), (READABLE,)),
        ("http", "http", "none", (), ()),
        ("http", "http", "password", (), (READABLE,)),
    )
)

_APT: Final = tuple(
    Setting(
        protocol,
        login,
        "/etc/apt/apt.conf.d/80proxy",
        [
            f'Acquire::http::Proxy "{url(scheme, login)}";',
            f'Acquire::https::Proxy "{url(scheme, login)}";',
        ],
        (READABLE,) if login == "password" else (),
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
        ["[global]", f"proxy = {url(scheme, login)}"],
        [
            *((READABLE,) if login == "password" else ()),
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
        [f"proxy={url('http', login)}", f"https-proxy={url('http', login)}"],
        (READABLE,) if login == "password" else (),
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
            f"http_proxy = {url('http', login)}",
            f"https_proxy = {url('http', login)}",
        ],
        (READABLE,) if login == "password" else (),
    )
    for login in ("none", "password")
)

_ENVIRONMENT: Final = (
    Setting("http", "none", "~/.profile", _variables("http://{at}")),
    Setting("http", "password", "~/.profile", _variables(url("http", "password")), (READABLE,)),
    Setting("socks5", "none", "~/.profile", ["export ALL_PROXY=socks5h://{at}"], (_IGNORANT,)),
    Setting(
        "socks5",
        "password",
        "~/.profile",
        [f"export ALL_PROXY={url('socks5h', 'password')}"],
        (READABLE, _IGNORANT),
    ),
)  # fmt: skip

_GO: Final = tuple(
    Setting(
        protocol,
        login,
        "~/.profile",
        [f"export HTTP_PROXY={url(scheme, login)} HTTPS_PROXY={url(scheme, login)}"],
        ("Go knows no socks5h, and lets the gateway look names up all the same.",),
    )
    for protocol, scheme in (("socks5", "socks5"), ("http", "http"))
    for login in ("none", "password")
)

_CARGO: Final = tuple(
    Setting(
        protocol,
        login,
        "~/.cargo/config.toml",
        ["[http]", f'proxy = "{url(scheme, login)}"'],
        (READABLE,) if login == "password" else (),
    )
    for protocol, scheme in (("socks5", "socks5h"), ("http", "http"))
    for login in ("none", "password")
)

_YTDLP: Final = tuple(
    Setting(
        protocol,
        login,
        "~/.config/yt-dlp/config",
        [f"--proxy {url(scheme, login)}"],
        ("A wrong password reads: general SOCKS server failure.",),
    )
    for protocol, scheme in (("socks5", "socks5"),)
    for login in ("none", "password")
)

#: By the word on the command line: what the program is called, and its ways.
FETCHING: Final[Mapping[str, tuple[str, Sequence[Setting]]]] = {
    "apt": ("apt", _APT),
    "cargo": ("cargo", _CARGO),
    "curl": ("curl", _CURL),
    "environment": ("programs that read the environment", _ENVIRONMENT),
    "git": ("git", _GIT),
    "go": ("programs in Go", _GO),
    "npm": ("npm", _NPM),
    "pip": ("pip", _PIP),
    "wget": ("wget", _WGET),
    "yt-dlp": ("yt-dlp", _YTDLP),
}
