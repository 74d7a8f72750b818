"""
What is told of PAM services in files.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from socksgw.interfaces import ProbeFailed
from socksgw.login.stores.pamprobe import askService, lacking


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with one module, and files that include another."""
    for folder in ("etc/pam.d", "lib/x86_64-linux-gnu/security"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lib/x86_64-linux-gnu/security/pam_there.so").touch()
    services = tmp_path / "etc/pam.d"
    (services / "common").write_text(
        "-auth\t[success=1 default=ignore] pam_there.so a\n"
    )
    (services / "good").write_text("# auth pam_gone.so\n@include common\n"
                                   "account required pam_there.so\n")  # fmt: skip
    (services / "lacking").write_text("auth required \\\n pam_gone.so\n")
    (services / "empty").write_text("session required pam_there.so\n")
    (services / "circle").write_text("auth include circle\n")
    return tmp_path


def test_good(root: Path) -> None:
    """All modules are there."""
    (answer,) = askService("good", root)
    assert answer.state == "ok"
    assert answer.said == "is there, with pam_there.so; no login was tried"


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("lacking", "there is no module pam_gone.so"),
        ("empty", "PAM service empty has no line of auth"),
        ("circle", "circle includes itself"),
        ("absent", "there is no file /etc/pam.d/absent"),
    ],
)
def test_wrong(root: Path, service: str, said: str) -> None:
    """Each mistake is told."""
    with pytest.raises(ProbeFailed) as caught:
        askService(service, root)
    assert str(caught.value).startswith(said)
    assert caught.value.remedy


def test_lacking(root: Path) -> None:
    """A service without a file is told of; on Debian it lets users of the system in."""
    assert lacking("good", root) == []
    (said,) = lacking("absent", root)
    assert said.startswith("there is no file /etc/pam.d/absent: PAM takes")
    assert said.endswith("see socksgw help directories")


def test_blind(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may not read the passwords hears that each would be wrong."""
    (root / "etc/pam.d/unix").write_text("auth required pam_unix.so\n")
    (root / "lib/x86_64-linux-gnu/security/pam_unix.so").touch()
    monkeypatch.setattr(os, "geteuid", lambda: 1080)
    clause = "pam_unix lets user 1080, who may not read /etc/shadow, ask about no other"
    (said,) = lacking("unix", root)
    assert said.startswith(f"PAM service unix: {clause}")
    (answer,) = askService("unix", root)
    assert answer.state == "warning"
    assert clause in answer.said
    assert lacking("good", root) == []
    (root / "etc/shadow").touch()
    assert lacking("unix", root) == []
    (answer,) = askService("unix", root)
    assert answer.state == "ok"
    (said,) = lacking("circle", root)
    assert said.startswith("PAM service circle: circle includes itself; mend")
