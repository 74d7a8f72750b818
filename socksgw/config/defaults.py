"""
What applies where the user has said nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import AuthConfig, Choose, Config, Listen, Rule

__all__ = ["defaultConfig", "listeningOn", "withoutCheckers"]

_THIS_MACHINE: Final = ("127.0.0.0/8", "::1")


def defaultConfig() -> Config:
    """
    What applies without a configuration file: this machine's own clients,
    on loopback, to everywhere but private and special addresses.
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
    Listen somewhere else. The first endpoint takes the place of the file's
    first listener, under its name, and so on, so that rules go on to mean
    what they meant.

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
    The command line brings the checkers: those of the file do not count, and
    without a file every source is asked for user and password.

    @param cleartext: whether these passwords may cross a network in the clear.
    """
    auth = evolve(config.auth, checkers=(), checker=())
    if not config.file:
        choose = Choose(methods=("userpass",), cleartext_passwords=cleartext)
        auth = evolve(auth, choose=(choose,))
    return evolve(config, auth=auth)
