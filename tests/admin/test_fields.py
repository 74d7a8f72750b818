"""
Fields are for commands, too.
"""

from __future__ import annotations

import subprocess
import sys

from socksgw.admin.fields import CHOOSING
from socksgw.session.stage import Stage


def test_withoutTheGateway() -> None:
    """Commands that ask a running gateway do not import one."""
    program = (
        "import sys, socksgw.console.operating, socksgw.console.grant\n"
        "sys.exit('socksgw.gateway.gateway' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_choosing() -> None:
    """Each name is there once, and every stage can be chosen."""
    names = [each.name for each in CHOOSING]
    assert len(set(names)) == len(names)
    (stage,) = [each for each in CHOOSING if each.name == "stage"]
    assert stage.one == tuple(each.value for each in Stage)
