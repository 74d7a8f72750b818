"""
The octets of windows, kept over restarts in a small file.

A thread writes the whole file beside the old one and then puts it in its place. A
process that is killed forgets what has moved since the last time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.limits.counters import Kept, Row
from socksgw.system.files import FileError, readOwn
from socksgw.system.once import Once
from socksgw.system.threads import Pool, inPool
from socksgw.wire.address import Address

__all__ = ["QuotaFile", "QuotasUnreadable"]

_log = Logger()

_VERSION: Final = 1
#: More than the number, the octets and the seconds of any window.
_MOST: Final = 1 << 62
#: The seconds of the shortest window.
_LEAST: Final = 0.001


class QuotasUnreadable(Exception):
    """
    The file cannot be used; the text names the remedy.
    """


@final
class QuotaFile:
    """
    Keep the windows of a gateway in a file.
    """

    def __init__(self, path: Path, counters: Kept, reactor: Any) -> None:
        self._path = path
        self._counters = counters
        self._reactor = reactor
        self._saved = counters.changes
        self._saving: Deferred[None] | None = None
        self._trouble = Once()
        self._pool: Pool | None = None

    def load(self) -> None:
        """
        Go on with the windows of the file, if there is one.

        @raise QuotasUnreadable: it cannot be read, so that it is not known what
            was used up.
        """
        try:
            octets = readOwn(self._path)
            rows = list(_rows(json.loads(octets)))
        except FileNotFoundError:
            return
        except FileError as e:
            raise QuotasUnreadable(str(e)) from None
        except OSError as e:
            raise QuotasUnreadable(
                f"{self._path}: {e.strerror}; make it readable for this user"
            ) from None
        except (ValueError, TypeError, KeyError, RecursionError):
            raise QuotasUnreadable(
                f"{self._path}: not a file of quotas; move it away to begin every "
                "window anew"
            ) from None
        self._counters.restore(rows)

    def save(self) -> None:
        """Begin to write the file, where it is needed and not under way."""
        changes = self._counters.changes
        if changes == self._saved or self._saving is not None:
            return
        self._saved = changes
        if self._pool is None:
            self._pool = Pool(0, 1, "quotas")
            self._pool.start()
        self._saving = inPool(
            self._reactor, self._pool, _write, self._path, self._counters.rows()
        )
        self._saving.addBoth(self._written)

    def _written(self, result: object) -> None:
        """Take note that the file is written, or could not be."""
        self._saving = None
        if isinstance(result, Failure):
            self._saved = -1
            if self._trouble.begins():
                _log.error(
                    "quotas are not kept: {why}; they are counted, and tried again",
                    why=result.getErrorMessage(),
                )
        elif self._trouble.ends():
            _log.info("quotas are kept again")

    def close(self) -> Deferred[None]:
        """
        Write the file if windows have changed.

        @return: fires when it is written, or could not be.
        """
        if self._saving is not None:
            waiting: Deferred[None] = Deferred()
            self._saving.addBoth(lambda _: self.close().chainDeferred(waiting))
            return waiting
        self.save()
        done = self._saving or succeed(None)
        return done.addBoth(self._closed)

    def leave(self) -> Deferred[None]:
        """
        End without writing: another process has the file.

        @return: fires when that which is being written is.
        """
        saving = self._saving or succeed(None)
        return saving.addBoth(self._closed)

    def _closed(self, _: object) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool = None


def _rows(document: Any) -> Iterable[Row]:
    """
    Yield the windows of a document.

    @raise ValueError: it is not a document of ours.
    """
    if document["version"] != _VERSION:
        raise ValueError("another version")
    for per, rule, who, seconds, number, octets in document["windows"]:
        if not (
            all(type(word) is str for word in (per, rule, who))
            and type(seconds) in (int, float)
            and _LEAST <= seconds < _MOST
            and type(number) is type(octets) is int
            and -_MOST < number < _MOST
            and 0 <= octets < _MOST
        ):
            raise ValueError("not a window")
        if per == "source" and not who.startswith("uid:"):
            # An earlier version kept whole IPv6 addresses.
            host, at, network = who.partition("@")
            host = Address.parse(host.removesuffix("/64")).sourceText
            who = f"{host}{at}{network}"
        yield per, rule, who, float(seconds), number, octets


def _write(path: Path, rows: list[Row]) -> None:
    """
    Write the file; runs in a thread.

    @raise OSError: it could not be written, and is as it was.
    """
    new = path.with_suffix(".new")
    # A process that was killed has left it, or another user has put a link there.
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600), "w") as file:
        json.dump({"version": _VERSION, "windows": rows}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
