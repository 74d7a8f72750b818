"""
The agent on a workstation: C{socksgw agent}.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Final

from socksgw.agent.configuring import PASSED, configuration
from socksgw.agent.directories import settingsFile, stateDirectory
from socksgw.agent.settings import LOGINS, Settings, settingsOf
from socksgw.config.problems import ConfigError, Problem
from socksgw.system.program import isUnmapped

__all__ = ["HELP", "DESCRIPTION", "EPILOG", "agentMain", "options"]

HELP: Final = "serve this user's programs, and go to a gateway as the user"
DESCRIPTION: Final = (
    "Serve the programs of this user on a workstation, which need no login, and go to a "
    "gateway with the user's Kerberos ticket, certificate, token or password. Programs "
    "speak SOCKS 5, 4, 4a or HTTP to 127.0.0.1:1080. What keeps the agent from the "
    "gateway is said in one line, and when it is over, in another."
)
EPILOG: Final = (
    "Without options they are read from agent.toml in $XDG_CONFIG_HOME/socksgw "
    "(~/.config/socksgw), as keys with the same names; an option comes before the key. "
    "Exit status of --check: 0 if the gateway takes this user, 1 if it refuses, 2 for "
    "wrong use, 3 if it is not reached. See socksgw help agent."
)
#: Options whose names are those of settings.
_NAMES: Final = (
    "gateway", "listen", "login", "user", "password_file", "keyring", "token_file",
    "certificate", "key", "ca", "server_name", "udp", "fast_open",
    "session",
)  # fmt: skip


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add(
        "gateway",
        nargs="?",
        metavar="GATEWAY",
        help="HOST:PORT, which means socks5+tls://HOST:PORT (https:// for a token); or "
        "https://HOST:PORT; socks5:// and http:// to a gateway on this machine only",
    )
    add(
        "--listen",
        metavar="PLACE",
        action="append",
        help="127.0.0.1:1080 (the default), another port or loopback address, or "
        "unix:/PATH; may be repeated",
    )
    add(
        "--login",
        choices=LOGINS,
        help="default: by the other options; Kerberos if there are none",
    )
    add(
        "--user",
        metavar="USER",
        help="the user's name, for a password; with Kerberos the principal",
    )
    add(
        "--password-file",
        metavar="FILE",
        help="the file of the password, which nobody else may read",
    )
    add(
        "--keyring",
        action="store_true",
        default=None,
        help="take the password from the keyring of the desktop; put it there by: "
        "keyring set socksgw:HOST USER",
    )
    add("--token-file", metavar="FILE", help="the file of a token, such as a JWT")
    add("--certificate", metavar="FILE", help="the user's certificate, in PEM")
    add("--key", metavar="FILE", help="its key; default: in the same file")
    add(
        "--ca",
        metavar="FILE",
        help="who signs the gateway's certificate; default: the system's authorities",
    )
    add(
        "--server-name",
        metavar="NAME",
        help="the name in the gateway's certificate; default: HOST",
    )
    add(
        "--udp",
        choices=["hev", "associate", "off"],
        help="how datagrams go to the gateway: inside the connection (the default), "
        "beside it in clear, or not at all",
    )
    add(
        "--fast-open",
        action="store_true",
        default=None,
        help="TCP Fast Open to the gateway, which saves a round trip (socksgw help "
        "socks6)",
    )
    add(
        "--session",
        action="store_true",
        default=None,
        help="one login for many connections, by socks6:// (socksgw help socks6)",
    )
    add(
        "--config",
        metavar="FILE",
        help="the file of settings; default: agent.toml as below",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--print-config",
        action="store_true",
        help="print the configuration that makes a gateway this agent, and end",
    )
    what.add_argument(
        "--check",
        action="store_true",
        help="log in to the gateway once, tell what came of it, and end",
    )


def agentMain(asked: argparse.Namespace) -> int:
    """
    Run the agent, or do what is asked instead.

    @return: the exit status.
    @raise ConfigError: the settings cannot be used.
    """
    if isUnmapped(os.getuid()):
        why = "no user of this number (nobody) is told from others; be somebody"
        raise ConfigError("socksgw agent", [Problem("", why)])
    try:
        state = stateDirectory(os.environ)
        file = Path(asked.config) if asked.config else settingsFile(os.environ)
    except ValueError as e:
        raise ConfigError("socksgw agent", [Problem("", str(e))]) from None

    def read() -> Settings:
        given: dict[str, Any] = {
            name: value
            for name in _NAMES
            if (value := getattr(asked, name)) not in (None, [])
        }
        if "listen" in given:
            given["listen"] = tuple(given["listen"])
        return settingsOf(file, bool(asked.config), given, Path.cwd())

    settings = read()
    if asked.print_config:
        passed = PASSED if settings.keyring else ""
        print(configuration(settings, os.getuid(), state, passed), end="")
        return 0
    # The reactor and the gateway take a while to import.
    from socksgw.agent.running import check, run

    return check(settings) if asked.check else run(settings, state, read)
