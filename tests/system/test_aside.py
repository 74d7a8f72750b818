"""
The garbage collector while much is made that stays, and the turns of threads.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from socksgw.system.aside import collectorAside, givingWay


@pytest.fixture
def thawed() -> Iterator[None]:
    """Leaves nothing frozen."""
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
def test_itDoesNotRunAndIsNotToLookAgain() -> None:
    """Also where one is within another; afterwards it runs as before."""
    before = gc.get_freeze_count()
    with collectorAside():
        assert not gc.isenabled()
        with collectorAside():
            assert not gc.isenabled()
        assert not gc.isenabled()
        assert gc.get_freeze_count() == before
        made = [[number] for number in range(10_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)


@pytest.mark.usefixtures("thawed")
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
