"""
The configuration without a file, and the changes that the command line makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from socksgw.config.listening import UNIX, parseListenAddress
from socksgw.config.schema import AuthConfig, Choose, Config, Listen, Rule

__all__ = ["defaultConfig", "listeningOn", "withoutCheckers"]

_THIS_MACHINE: Final = ("127.0.0.0/8", "::1")


def defaultConfig() -> Config:
    """
    Return the configuration that is used without a file.

    It serves clients of this machine, on loopback addresses, and denies private
    and special addresses.
    """
    return Config(
        listen=(Listen(name="local", address=("127.0.0.1:1080", "[::1]:1080")),),
        auth=AuthConfig(choose=(Choose(methods=("none",), from_=_THIS_MACHINE),)),
        rule=(
            Rule(id="no-private", deny="any", to=("private",)),
            Rule(id="everywhere-else", allow=("connect", "udp")),
        ),
    )


def listeningOn(config: Config, endpoints: Sequence[str]) -> Config:
    """
    Return the configuration with other listeners (C{--listen}).

    Each endpoint takes the place of a listener of the file, in order and under
    its name, so that rules which name listeners still apply.

    @param endpoints: addresses with ports, or Twisted endpoint strings.
    """
    listeners = []
    for i, text in enumerate(endpoints):
        listen = (
            config.listen[i]
            if i < len(config.listen)
            else Listen(name=f"listen-{i + 1}")
        )
        try:
            if not text.startswith(UNIX) or ":" in text.removeprefix(UNIX):
                parseListenAddress(text)
        except ValueError:
            listen = evolve(listen, address=(), endpoint=text)
        else:
            listen = evolve(listen, address=(text,), endpoint="")
        listeners.append(listen)
    return evolve(
        config,
        listen=tuple(listeners),
        unused=tuple(each.name for each in config.listen[len(endpoints) :]),
    )


def withoutCheckers(config: Config, cleartext: bool = False) -> Config:
    """
    Return the configuration without checkers: the command line has its own.

    Without a file, all clients are then asked for user and password.

    @param cleartext: whether these passwords may cross a network in the clear.
    """
    auth = evolve(config.auth, checkers=(), checker=())
    if not config.file:
        choose = Choose(methods=("userpass",), cleartext_passwords=cleartext)
        auth = evolve(auth, choose=(choose,))
    return evolve(config, auth=auth)
