"""
A plug-in's own table of the configuration.

Plug-ins and whoever makes them take it from L{socksgw.interfaces}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from socksgw.config.convert import duration, kindOf
from socksgw.config.problems import nearest
from socksgw.system.files import FileError, readFile, readSecret, unmarked, unreadable
from socksgw.system.keptsecret import KeptSecret

__all__ = ["Settings"]


@final
class Settings(Mapping[str, Any]):
    """
    A plug-in's own table of the configuration, as TOML has it.

    @ivar directory: what its relative paths start from.
    @ivar routable: whether other hosts can reach some listener.
    @ivar name: what the plug-in is called in this configuration.
    """

    def __init__(
        self,
        table: Mapping[str, Any],
        directory: Path = Path(),
        routable: bool = False,
        name: str = "",
        wrong: Callable[[str, str], None] | None = None,
    ) -> None:
        """
        @param wrong: told of each mistake: the key, and what is wrong with it;
            then the default is taken. Without it, a mistake is a
            C{ValueError}.
        """
        self._table = table
        self._tell = wrong
        self.directory = directory
        self.routable = routable
        self.name = name

    def __getitem__(self, key: str) -> Any:
        return self._table[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def wrong(self, key: str, text: str) -> None:
        """
        There is a mistake in the table.

        @raise ValueError: nobody else is to be told.
        """
        if self._tell is None:
            raise ValueError(f"{key}: {text}")
        self._tell(key, text)

    def only(self, *keys: str) -> None:
        """
        Every other key than these is a mistake.
        """
        for key in self._table:
            if key not in keys:
                known = ", ".join(keys) or "none"
                self.wrong(key, f"unknown key; there are: {known}{nearest(key, keys)}")

    def word(self, key: str, default: str = "") -> str:
        """A string."""
        found = self._table.get(key, default)
        if type(found) is not str:
            self.wrong(key, f"must be a string, not {kindOf(found)}")
            return default
        return found

    def words(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """An array of strings."""
        found = self._table.get(key, default)
        if not isinstance(found, (list, tuple)) or not all(
            type(each) is str for each in found
        ):
            self.wrong(key, "must be an array of strings")
            return default
        return tuple(found)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        found = self._table.get(key, default)
        if type(found) is not bool:
            self.wrong(key, f"must be true or false, not {kindOf(found)}")
            return default
        return found

    def number(self, key: str, default: int, least: int, most: int) -> int:
        """An integer, both ends included."""
        found = self._table.get(key, default)
        if type(found) is not int or not least <= found <= most:
            self.wrong(key, f"must be an integer from {least} to {most}")
            return default
        return found

    def duration(self, key: str, default: float, most: float) -> float:
        """Seconds; more than nothing."""
        if key not in self._table:
            return default
        try:
            found = float(duration(self._table[key], None))
        except ValueError as e:
            self.wrong(key, str(e))
            return default
        if not 0 < found <= most:
            self.wrong(key, f"must be longer than nothing, and at most {most:g}s")
            return default
        return found

    def content(self, key: str, secret: bool = False) -> bytes:
        """
        What a file holds; L{path}, read. Nothing when it cannot be.

        @param secret: whether nobody else may be able to read it.
        """
        path = self.path(key)
        if path is None:
            self.wrong(key, "is missing")
            return b""
        try:
            return readSecret(path) if secret else readFile(path)
        except OSError as e:
            self.wrong(key, unreadable(path, e))
        except FileError as e:
            self.wrong(key, str(e))
        return b""

    def secret(self, key: str) -> bytes:
        """
        What the file holds that is named here, and that nobody else may read:
        without the end of its last line. Nothing when none is named, or it
        cannot be read.
        """
        if self.path(key) is None:
            return b""
        octets = self.content(key, secret=True)
        found = unmarked(octets).removesuffix(b"\n").removesuffix(b"\r")
        if octets and not found:
            self.wrong(key, f"{self.path(key)}: is empty")
        return found

    def kept(self, *keys: str) -> list[KeptSecret]:
        """
        The files of secrets that are named here, to be looked at while the
        gateway runs; those that can be read.
        """
        found = []
        for path in filter(None, map(self.path, keys)):
            # What is wrong by now, secret() and content() tell.
            with suppress(OSError, FileError):
                found.append(KeptSecret.of(path))
        return found

    def path(self, key: str) -> Path | None:
        """
        A file; relative to the one that names it. L{None} when not given.
        """
        found = self.word(key)
        return self.directory / found if found else None
