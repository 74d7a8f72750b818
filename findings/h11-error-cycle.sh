#!/bin/sh
# h11 0.16.0 (PyPI) on CPython: each parse error leaves a reference cycle.
#
# What Connection.next_event() raises for a malformed head keeps, by its traceback, the
# frame of the method of its own that raised it again; that frame's "self" is the very
# exception. So the exception, the frames of the parser, and the head that was read with
# its fields (a Proxy-Authorization, say) stay in memory until the garbage collector runs,
# also where the caller has dropped all of them. LocalProtocolError, raised for a mistake
# of one's own, leaves none.
#
# Run on 2026-11-27 with CPython 3.11.7. Exit status 1: it does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check h11==0.16.0
cat > look.py <<'PYTHON'
import gc
import weakref

import h11


class Marked(h11.Connection):
    """One that can be looked for."""


def remote():
    """A head with a field line that has no colon."""
    connection = Marked(h11.SERVER)
    connection.receive_data(b"GET / HTTP/1.1\r\nno colon\r\n\r\n")
    try:
        connection.next_event()
    except h11.RemoteProtocolError:
        pass
    return weakref.ref(connection)


def local():
    """A response before there is a request to answer with a body."""
    connection = Marked(h11.CLIENT)
    try:
        connection.send(h11.Data(b"x"))
    except h11.LocalProtocolError:
        pass
    return weakref.ref(connection)


gc.disable()
for name, make in (("remote", remote), ("local", local)):
    gc.collect()
    left = make()
    kept = left() is not None
    found = gc.collect()
    print(f"{name}: kept until collected: {kept}, freed by the collector: {found > 0}")
    assert left() is None
PYTHON
venv/bin/python look.py | tee found
cat > expected <<'TABLE'
remote: kept until collected: True, freed by the collector: True
local: kept until collected: False, freed by the collector: False
TABLE
diff expected found
