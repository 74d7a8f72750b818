"""
What is said where the system makes no namespaces.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from socksgw.run.forbidden import remedy, tproxyRemedy


def failure(number: int) -> OSError:
    """The error of a call."""
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("kernel/unprivileged_userns_clone", "0",
         "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1",
         "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces="),
        ("user/max_net_namespaces", "0", "sysctl -w user.max_net_namespaces="),
    ],
)  # fmt: skip
def test_setting(tmp_path: Path, name: str, value: str, said: str) -> None:
    """The setting that forbids them is named, with the command that allows them."""
    setting = tmp_path / name
    setting.parent.mkdir()
    setting.write_text(f"{value}\n")
    assert said in remedy(failure(errno.EPERM), tmp_path)
    setting.write_text("7\n")
    assert "sysctl" not in remedy(failure(errno.EPERM), tmp_path)


def test_container(tmp_path: Path) -> None:
    """Where no setting forbids them it is a container, or the kernel."""
    assert "containers and chroot" in remedy(failure(errno.EPERM), tmp_path)
    assert "(Invalid argument)" in remedy(failure(errno.EINVAL), tmp_path)


def test_tproxy() -> None:
    """The modules are named, and the first line of what nft says is repeated."""
    text = tproxyRemedy("\nError: Could not process rule: No such file\nmore\n")
    assert "(Error: Could not process rule: No such file)" in text
    assert text.endswith("modprobe -a nf_tables nft_tproxy")
