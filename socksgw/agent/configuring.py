"""
The configuration that makes a gateway one user's agent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from socksgw.agent.settings import Settings
from socksgw.config.listening import UNIX

__all__ = ["GATEWAY", "PASSED", "PRINTED", "PROGRAMS", "configuration"]

#: The name of the file in errors: the user has not written it.
PRINTED: Final = "the agent's configuration (--print-config)"
#: Stands for the file of a password that is in no file of the user's.
PASSED: Final = "/put/the/password/here"
#: The name of the upstream, in rules and in the journal.
GATEWAY: Final = "gateway"
#: The name of the listener.
PROGRAMS: Final = "programs"

#: How a login is called in a configuration.
_METHODS: Final = {
    "none": "none",
    "kerberos": "gssapi",
    "token": "token",
    "certificate": "certificate",
    "password": "userpass",
}
#: The service's name in Kerberos.
_SERVICES: Final = {"gssapi": "rcmd", "negotiate": "HTTP"}


def quoted(text: str) -> str:
    """Return a text as TOML has it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(texts: tuple[str, ...]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"


def _login(settings: Settings, passwordFile: str) -> str:
    method = _METHODS[settings.method]
    if method == "gssapi" and settings.scheme in ("http", "https"):
        method = "negotiate"
    said = {"method": method}
    if method == "userpass":
        said |= {"user": settings.user, "password_file": passwordFile}
    elif method == "token":
        said["token_file"] = settings.token_file
    elif settings.method == "kerberos":
        if settings.user:
            said["user"] = settings.user
        if settings.server_name:
            # By whatever address it is reached, that is its name in Kerberos, too.
            said["service"] = f"{_SERVICES[method]}@{settings.server_name}"
    if settings.certificate:
        said["certificate"] = settings.certificate
        if settings.key:
            said["key"] = settings.key
    inner = ", ".join(f"{name} = {quoted(value)}" for name, value in said.items())
    return f"{{ {inner} }}"


def _lines(
    settings: Settings, uid: int, state: Path, passwordFile: str
) -> Iterator[str]:
    socks = settings.scheme.startswith("socks")
    commands = ["connect", "bind"] if socks else ["connect"]
    if socks and settings.udp != "off":
        commands.append("udp")
    yield "# An agent: programs of one user go to one gateway, which knows its user."
    yield "[gateway]"
    yield 'name = "agent"'
    yield f"state_dir = {quoted(str(state))}"
    yield ""
    yield "[[listen]]"
    yield f"name = {quoted(PROGRAMS)}"
    yield f"address = {_list(settings.listen)}"
    if any(each.startswith(UNIX) for each in settings.listen):
        yield 'mode = "600"'
    yield 'protocols = ["socks5", "socks4", "http"]'
    if "udp" in commands:
        yield "[listen.udp]"
        yield 'tunnels = ["hev", "gost", "connect-udp"]'
    yield ""
    yield "[http]"
    yield "reasons = true"
    yield ""
    yield "# The kernel says whose a program is; those of others are refused."
    yield "[[auth.choose]]"
    yield 'methods = ["peer"]'
    yield ""
    yield "# The gateway's policy decides, private networks and names included."
    yield "[never]"
    yield 'except = ["0.0.0.0/0", "::/0"]'
    yield ""
    yield "[[upstream]]"
    yield f"name = {quoted(GATEWAY)}"
    yield f"url = {quoted(settings.url)}"
    yield 'resolve = "there"'
    if settings.fast_open:
        yield "fast_open = true"
    if settings.session:
        yield "session = true"
    if settings.method != "none" or settings.certificate:
        yield f"login = {_login(settings, passwordFile)}"
    if settings.ca:
        yield f"ca = {quoted(settings.ca)}"
    if settings.server_name:
        yield f"server_name = {quoted(settings.server_name)}"
    if settings.scheme.startswith("socks5") and settings.udp == "hev":
        yield 'udp = "hev"'
    yield ""
    yield "[[rule]]"
    yield 'id = "own"'
    yield f"allow = {_list(tuple(commands))}"
    yield f"who = {_list((f'uid:{uid}',))}"
    yield f"via = {_list((GATEWAY,))}"
    yield ""
    yield "# The gateway audits. This journal is for its user, and stays small."
    yield "[audit]"
    yield 'on_failure = "count"'
    yield 'sync = "never"'
    yield 'keep = "7d"'
    yield 'max_size = "20MB"'
    yield 'when_full = "drop-oldest"'
    yield ""
    yield "# At the end of the user's session nobody waits for old connections."
    yield "[timeouts]"
    yield 'drain = "5s"'


def configuration(
    settings: Settings, uid: int, state: Path, passwordFile: str = ""
) -> str:
    """
    Return the text of the configuration.

    @param settings: without problems.
    @param uid: the number of the user, whose programs alone are served.
    @param state: the directory of the journal.
    @param passwordFile: where the password is, if it is in no file of the user's.
    """
    file = passwordFile or settings.password_file
    return "\n".join([*_lines(settings, uid, state, file), ""])
