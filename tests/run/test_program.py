"""
A program that cannot be begun; others run in C{tests/interop/test_run.py}.
"""

from __future__ import annotations

import subprocess
import sys

from tests.live.servers import program

#: The program's network takes one user namespace, and the program another one in it.
ONE = 'echo 1 > /proc/sys/user/max_user_namespaces; exec "$@"'


def test_oneNamespace() -> None:
    """Where its own user namespace is one too many, it is not said of the filter."""
    socksgw = (sys.executable, "-m", "socksgw.console.command", "run", "--isolate")
    done = subprocess.run(
        [program("unshare", "util-linux"), "-Ur", "sh", "-c", ONE, "sh", *socksgw,
         "--proxy", "socks5://127.0.0.1:9", "true"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "socksgw run: namespaces cannot be made here (No space left on device): "
        "socksgw run works without --isolate\n"
    )
