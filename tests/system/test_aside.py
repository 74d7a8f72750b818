"""
The garbage collector while much is made that stays, and the turns of threads.
"""

from __future__ import annotations

import gc
import sys

import pytest

from socksgw.system.aside import collectorAside, givingWay


def test_itDoesNotRunAndIsNotToLookAgain() -> None:
    """Also where one is within another; afterwards it runs as before."""
    before = gc.get_freeze_count()
    with collectorAside(stays=True):
        assert not gc.isenabled()
        with collectorAside():
            assert not gc.isenabled()
        assert not gc.isenabled()
        assert gc.get_freeze_count() == before
        made = [[number] for number in range(10_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)
    frozen = gc.get_freeze_count()
    with collectorAside():
        made += [[number] for number in range(10_000)]
    # Some that are frozen may have been freed meanwhile.
    assert gc.get_freeze_count() < frozen + 5_000


def test_whatFailsMeanwhileLeavesItRunning() -> None:
    """And nothing is swallowed."""
    with pytest.raises(ValueError, match="why"), collectorAside():
        raise ValueError("why")
    assert gc.isenabled()


def test_threadsGiveWayMeanwhile() -> None:
    """Afterwards as before, also when something fails."""
    before = sys.getswitchinterval()
    with givingWay():
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before
    with pytest.raises(ValueError, match="why"), givingWay():
        raise ValueError("why")
    assert sys.getswitchinterval() == before


def test_severalThatComputeAtOnce() -> None:
    """However they end, the interval is what it was."""
    before = sys.getswitchinterval()
    first, second = givingWay(), givingWay()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() < before
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == before
