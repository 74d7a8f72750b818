"""
A keeper that does not answer for a while; programs have theirs in
C{tests/interop/test_run.py}.
"""

from __future__ import annotations

import subprocess
import sys

LATE = """
import os, signal, socket
from socksgw.run import keeper as keepers
from socksgw.run.memory import Place
from socksgw.wire.address import Address

keepers._SECONDS = 0.2
keeper = keepers.Keeper()
told, go = os.pipe()

def become(first):
    os.read(told, 1)
    os._exit(7)

process = os.fork()
if not process:
    os.close(go)
    keeper.keep((told,), become)
os.close(told)
keeper.begun()
for each in keeper.doors():
    each.close()

def opened(port):
    place = Place(socket.AF_INET, Address.parse("203.0.113.1"), port)
    with keeper.open(socket.AF_INET, place, ("192.0.0.8", 4000)) as made:
        return made.getsockname()

os.kill(process, signal.SIGSTOP)
os.waitpid(process, os.WUNTRACED)
try:
    opened(1001)
except TimeoutError:
    print("late")
os.kill(process, signal.SIGCONT)
while True:
    try:
        print(opened(1002))
        break
    except TimeoutError:
        # A busy machine.
        pass
os.close(go)
print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


def test_late() -> None:
    """What is answered too late is not the answer to the next question."""
    done = subprocess.run(
        [sys.executable, "-c", LATE],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["late", "('203.0.113.1', 1002)", "7"]
