"""
The configuration table of a plug-in.

Plug-ins import it from L{socksgw.interfaces}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from socksgw.config.convert import duration, kindOf, octets
from socksgw.config.problems import nearest
from socksgw.system.files import FileError, readFile, readSecret, unmarked, unreadable
from socksgw.system.keptsecret import KeptSecret

__all__ = ["Settings"]


@final
class Settings(Mapping[str, Any]):
    """
    The configuration table of a plug-in, with checks of its values.

    @ivar directory: the directory for relative paths.
    @ivar routable: whether other hosts can reach any listener.
    @ivar name: the name of the plug-in in this configuration.
    """

    def __init__(
        self,
        table: Mapping[str, Any],
        directory: Path = Path(),
        routable: bool = False,
        name: str = "",
        wrong: Callable[[str, str], None] | None = None,
        files: dict[str, bytes] | None = None,
    ) -> None:
        """
        Take a table as it is in the file.

        @param wrong: called with the key and the text of each mistake; the
            default is returned then. Without it, a mistake raises
            C{ValueError}.
        @param files: the contents of files that were read before, by their keys; what
            is read is added to it.
        """
        self._table = table
        self._tell = wrong
        self._files = files
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
        Report a mistake in the table.

        @raise ValueError: there is no function that mistakes are reported to.
        """
        if self._tell is None:
            raise ValueError(f"{key}: {text}")
        self._tell(key, text)

    def only(self, *keys: str) -> None:
        """
        Report every other key as a mistake.
        """
        for key in self._table:
            if key not in keys:
                known = ", ".join(keys) or "none"
                self.wrong(key, f"unknown key; there are: {known}{nearest(key, keys)}")

    def word(self, key: str, default: str = "") -> str:
        """Return a string."""
        found = self._table.get(key, default)
        if type(found) is not str:
            self.wrong(key, f"must be a string, not {kindOf(found)}")
            return default
        return found

    def words(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return an array of strings."""
        found = self._table.get(key, default)
        if not isinstance(found, (list, tuple)) or not all(
            type(each) is str for each in found
        ):
            self.wrong(key, "must be an array of strings")
            return default
        return tuple(found)

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a boolean."""
        found = self._table.get(key, default)
        if type(found) is not bool:
            self.wrong(key, f"must be true or false, not {kindOf(found)}")
            return default
        return found

    def number(self, key: str, default: int, least: int, most: int) -> int:
        """Return an integer from C{least} to C{most}, both included."""
        found = self._table.get(key, default)
        if type(found) is not int or not least <= found <= most:
            self.wrong(key, f"must be an integer from {least} to {most}")
            return default
        return found

    def duration(
        self, key: str, default: float, most: float, none: bool = False
    ) -> float:
        """
        Return a duration in seconds, more than 0 and at most C{most}.

        @param none: whether it may be 0, too.
        """
        if key not in self._table:
            return default
        try:
            found = float(duration(self._table[key], None))
        except ValueError as e:
            self.wrong(key, str(e))
            return default
        if none and found == 0:
            return 0.0
        if not 0 < found <= most:
            self.wrong(key, f"must be more than 0s, and at most {most:g}s")
            return default
        return found

    def octets(self, key: str, default: int, least: int) -> int:
        """Return a number of octets, at least C{least}."""
        if key not in self._table:
            return default
        try:
            found = int(octets(self._table[key], None))
        except ValueError as e:
            self.wrong(key, str(e))
            return default
        if found < least:
            self.wrong(key, f"must be at least {least} octets")
            return default
        return found

    def content(self, key: str, secret: bool = False) -> bytes:
        """
        Return the content of a file; empty when it cannot be read.

        @param secret: whether the file is refused if others can read it.
        """
        path = self.path(key)
        if path is None:
            self.wrong(key, "is missing")
            return b""
        if self._files is not None and key in self._files:
            return self._files[key]
        try:
            found = readSecret(path) if secret else readFile(path)
        except OSError as e:
            self.wrong(key, unreadable(path, e))
        except FileError as e:
            self.wrong(key, str(e))
        else:
            if self._files is not None:
                self._files[key] = found
            return found
        return b""

    def secret(self, key: str) -> bytes:
        """
        Return the secret in a file that others cannot read.

        The end of its last line is cut off.

        @return: empty when no file is named, or it cannot be read.
        """
        if self.path(key) is None:
            return b""
        content = self.content(key, secret=True)
        found = unmarked(content).removesuffix(b"\n").removesuffix(b"\r")
        if content and not found:
            self.wrong(key, f"{self.path(key)}: is empty")
        return found

    def kept(self, *keys: str) -> list[KeptSecret]:
        """
        Return the named files of secrets, to be watched while the gateway runs.

        Files that cannot be read are left out.
        """
        found = []
        for path in filter(None, map(self.path, keys)):
            # Errors are reported by secret() and content().
            with suppress(OSError, FileError):
                found.append(KeptSecret.of(path))
        return found

    def path(self, key: str) -> Path | None:
        """
        Return a path, relative to the directory of the configuration file.

        @return: L{None} when the key is missing.
        """
        found = self.word(key)
        return self.directory / found if found else None
