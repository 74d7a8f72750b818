"""
Ask for a user's password and set it in a file: C{socksgw passwd}.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from socksgw.login.passwords import setPassword
from socksgw.login.userfile import PasswordFileError

__all__ = ["passwdMain"]


def passwdMain(
    file: str,
    user: str,
    stdin: TextIO,
    err: TextIO,
    ask: Callable[[str], str] = getpass.getpass,
    setIn: Callable[[Path, str, bytes], None] = setPassword,
) -> int:
    """
    Read a password twice from a terminal, or once from a pipe, and set it.

    @param ask: prompts on a terminal.
    @param setIn: sets a user's password in a file.
    @return: the exit status: 0, or 1 when nothing was changed.
    """
    try:
        if stdin.isatty():
            password = ask(f"Password for {user}: ")
            if ask("Once more: ") != password:
                print("socksgw: the two passwords differ; nothing changed", file=err)
                return 1
        else:
            password = stdin.readline().rstrip("\r\n")
        setIn(Path(file), user, password.encode("utf-8", "surrogateescape"))
    except (ValueError, PasswordFileError) as e:
        print(f"socksgw: {e}; nothing changed", file=err)
        return 1
    except OSError as e:
        print(f"socksgw: {file}: {e.strerror}; nothing changed", file=err)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nsocksgw: nothing changed", file=err)
        return 1
    print(f"socksgw: the password of {user} is set in {file}", file=err)
    return 0
