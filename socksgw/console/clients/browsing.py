"""
Browsers, and programs in Java.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from socksgw.console.clients.setting import LOCAL, TICKET, Setting

__all__ = ["BROWSING"]

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
            ("kerberos", TICKET),
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
            ("kerberos", TICKET),
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
        (LOCAL, "HttpClient does not read it, and connects directly."),
    ),
)

#: By the word on the command line: what the program is called, and its ways.
BROWSING: Final[Mapping[str, tuple[str, Sequence[Setting]]]] = {
    "chromium": ("Chromium", _CHROMIUM),
    "firefox": ("Firefox", _FIREFOX),
    "java": ("programs in Java", _JAVA),
}
