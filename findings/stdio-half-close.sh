#!/bin/sh
# Twisted 26.10.0 (PyPI) on Linux: StandardIO.loseWriteConnection() ends nothing for
# whoever reads our standard output.
#
# The protocol hears writeConnectionLost(), as on a TCP transport that has sent its FIN.
# But the descriptor stays open, so that the program at the other end of the pipe reads
# no end of file while the process goes on reading its standard input. A filter between
# two half-closing peers (OpenSSH's ProxyCommand, say) hangs there. Closing descriptor 1
# in writeConnectionLost() gives the end.
#
# Run on 2026-11-28 with CPython 3.11.7. Exit status 1: it does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check twisted==26.10.0
cat > half.py <<'PYTHON'
import os
import sys

from twisted.internet import reactor, stdio
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)
class Half(Protocol):
    """Says one line, ends its side, and goes on reading."""

    def connectionMade(self):
        self.transport.write(b"line\n")
        self.transport.loseWriteConnection()

    def writeConnectionLost(self):
        os.write(2, b"told\n")
        if "close" in sys.argv:
            os.close(1)

    def readConnectionLost(self):
        reactor.stop()

    def connectionLost(self, reason):
        pass


stdio.StandardIO(Half())
reactor.run()
PYTHON
cat > look.py <<'PYTHON'
import select
import subprocess
import sys

for arguments in ([], ["close"]):
    process = subprocess.Popen(
        [sys.executable, "half.py", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    told = process.stderr.readline().decode().strip()
    line = process.stdout.readline().decode().strip()
    # Its standard input is still open, and it has said that its side is over.
    readable, _, _ = select.select([process.stdout], [], [], 3)
    ended = bool(readable) and process.stdout.read(1) == b""
    process.stdin.close()
    status = process.wait(20)
    print(f"{arguments or ['as it is']}: {told}, {line}, end of file: {ended}, {status}")
PYTHON
venv/bin/python look.py | tee found
cat > expected <<'TABLE'
['as it is']: told, line, end of file: False, 0
['close']: told, line, end of file: True, 0
TABLE
diff expected found
