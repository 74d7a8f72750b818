"""
The settings of one program: C{socksgw client-config PROGRAM}.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, final

from socksgw.config.schema import Config
from socksgw.console.clients.reach import LOGINS, Reach, addOptions, reaches
from socksgw.console.clients.setting import Setting
from socksgw.console.clients.table import TABLE

__all__ = ["PROGRAMS", "Program"]

_DESCRIPTION: Final = (
    "Print what to put where, so that {0} comes to this gateway and has it look names "
    "up. Of what the listener speaks and accepts, the way is taken that {0} is known to "
    "manage. Nothing is changed here, and no password is printed: replace PASSWORD."
)


class _Choice(NamedTuple):
    """What is printed."""

    reach: Reach
    login: str
    setting: Setting


@final
class Program:
    """
    One program (L{socksgw.console.clientconfig.Kind}).
    """

    def __init__(self, word: str, about: str, settings: Sequence[Setting]) -> None:
        self.HELP = f"settings: {about}"
        self.DESCRIPTION = _DESCRIPTION.format(about)
        self._word = word
        self._about = about
        self._settings = settings

    def options(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this kind."""
        addOptions(parser)

    def lines(self, config: Config, options: argparse.Namespace) -> Iterator[str]:
        """
        Yield the settings.

        @raise ValueError: there is no way by which the program could come in.
        """
        found = reaches(config, options)
        choice = self._choose(found)
        if choice is None:
            raise ValueError(self._hopeless(found))
        reach, login, setting = choice
        comment = setting.comment
        yield f"{comment} {self._about}, to {reach.at}: {setting.where}"
        for note in setting.notes:
            yield f"{comment} {note}"
        if login == "kerberos" and reach.isAddress:
            yield f"{comment} Tickets are for names, not for addresses: say --host NAME."
        if reach.tls and reach.isAddress:
            yield f"{comment} If the certificate is for a name, say --host NAME."
        words = reach.words
        for line in setting.lines:
            yield line.format_map(words)

    def _choose(self, found: Sequence[Reach]) -> _Choice | None:
        """Return the first listener, its easiest login, and the best way by that."""
        for reach in found:
            for login in LOGINS:
                if login not in reach.logins:
                    continue
                for setting in self._settings:
                    if (
                        setting.login == login
                        and setting.tls == reach.tls
                        and setting.protocol in reach.protocols
                    ):
                        return _Choice(reach, login, setting)
        return None

    def _hopeless(self, found: Sequence[Reach]) -> str:
        """Return why the program cannot come in, and what helps."""
        offered = "; ".join(
            f"{reach} speaks {_listed(reach.protocols)}"
            f"{' inside TLS' if reach.tls else ''} and accepts "
            f"{_listed(reach.logins) or 'no login that is known here'}"
            for reach in found
        )
        able = dict.fromkeys(map(str, self._settings))
        return (
            f"{self._about} manages {', or '.join(able)}; {offered}. Run socksgw agent "
            "beside it, and name that by --proxy 127.0.0.1:1080"
        )


def _listed(words: frozenset[str]) -> str:
    return ", ".join(sorted(words))


#: By the word on the command line.
PROGRAMS: Final[Mapping[str, Program]] = {
    word: Program(word, about, settings) for word, (about, settings) in TABLE.items()
}
