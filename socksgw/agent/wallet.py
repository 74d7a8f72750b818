"""
The user's password from the keyring of the desktop.

It is handed to what logs in as a file in memory: on no disk, and nobody else's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

from socksgw.agent.settings import Account
from socksgw.agent.trouble import Trouble

__all__ = ["Wallet"]

_EXTRA: Final = "install it: pip install 'socksgw[agent]'"
#: Seconds between two questions: each may ask the user to unlock the keyring.
_REST: Final = 60.0


@final
class Wallet:
    """
    One password of one user.

    @ivar account: whose it is, and for what.
    @ivar path: a file that has it, for this process alone.
    """

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        """
        Hold nothing yet.

        @param clock: monotonic seconds.
        """
        self.account = account
        self._clock = clock
        self._file = os.memfd_create("socksgw-password")
        # The mode counts for whoever finds it in /proc.
        os.fchmod(self._file, 0o600)
        self._held = b""
        self._asked: float | None = None
        self._found: Trouble | None = None
        self.path = f"/proc/self/fd/{self._file}"

    def look(self, doubted: bool = False) -> Trouble | None:
        """
        Ask the keyring, unless that was done a moment ago or the password is known.

        It may block for as long as the user is asked to unlock the keyring.

        @param doubted: whether the password may be another by now.
        @return: what is wrong; L{None} if the file has the password.
        """
        rested = self._asked is None or self._clock() - self._asked >= _REST
        if rested and (doubted or not self._held):
            self._found = self._ask()
            self._asked = self._clock()
        return self._found

    def _ask(self) -> Trouble | None:
        try:
            import keyring
            from keyring.errors import NoKeyringError
        except ImportError:
            return Trouble("no-keyring", "the library keyring is not there", _EXTRA)
        try:
            password = keyring.get_password(*self.account)
        except NoKeyringError:
            what = "this session has no keyring"
            return Trouble("no-keyring", what, "start one, or use --password-file")
        # Each kind of keyring raises errors of its own library.
        except Exception as e:
            why = " ".join(str(e).split()) or type(e).__name__
            what = f"the keyring cannot be used ({why})"
            return Trouble("keyring", what, "unlock it, or use --password-file")
        if not password:
            what = f"the keyring has no password of {self.account.user}"
            remedy = f"keyring set {self.account.service} {self.account.user}"
            return Trouble("no-password", what, remedy)
        octets = password.encode()
        if octets != self._held:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, octets, 0)
            self._held = octets
        return None

    def close(self) -> None:
        """Forget the password."""
        self._held = b""
        with suppress(OSError):
            os.close(self._file)
