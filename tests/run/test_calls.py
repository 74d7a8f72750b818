"""
The numbers of system calls are those of the kernel's own headers.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from socksgw.run.calls import ARCHITECTURES, callsHere

#: Where Debian's linux-libc-dev has the numbers of each architecture. Those of aarch64
#: are the generic ones.
HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}
AUDIT = Path("/usr/include/linux/audit.h")


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_numbers(machine: str) -> None:
    """Each number is what the header has under the call's name."""
    header = Path(HEADERS[machine])
    if not header.exists():
        pytest.skip(f"{header} is of another architecture's headers")
    defined = dict(re.findall(r"#define __NR3?_?(\w+)\s+(\d+)", header.read_text()))
    known = ARCHITECTURES[machine]._asdict()
    for name in ("audit", "other"):
        del known[name]
    assert {name: int(defined[name]) for name in known} == known


def test_audit() -> None:
    """An architecture is EM_X86_64 or EM_AARCH64, of 64 bits, little-endian."""
    text = AUDIT.read_text()
    bits = [int(re.findall(rf"#define __AUDIT_ARCH_{each}\s+(0x\w+)", text)[0], 16)
            for each in ("64BIT", "LE")]  # fmt: skip
    numbers = Path("/usr/include/linux/elf-em.h").read_text()
    for machine, name in (("x86_64", "EM_X86_64"), ("aarch64", "EM_AARCH64")):
        number = int(re.findall(rf"#define {name}\s+(\d+)", numbers)[0])
        assert ARCHITECTURES[machine].audit == number | bits[0] | bits[1]


def test_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """On any other machine it is said which ones are known."""
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(OSError, match="riscv64: programs are run on x86_64, aarch64"):
        callsHere()
