"""
Keep what coverage measured in a process that ends by a signal of its own
sending, as twistd does after SIGTERM: no exit function runs then.
"""

import atexit
import os

_kill = os.kill


def _killAndKeep(pid: int, number: int) -> None:
    if pid == os.getpid():
        atexit._run_exitfuncs()
    _kill(pid, number)


os.kill = _killAndKeep
