"""
What figures are measured on: interpreter, build, machine; and the options that all
benchmarks have.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import sysconfig
import time
from pathlib import Path

#: The programs of this interpreter's environment: what is measured runs by it.
BIN = Path(sys.executable).parent
#: How the kernel controls congestion of TCP. One that paces sets a timer for what it
#: keeps back: with bbr octets cost twice to three times what they cost with cubic.
_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")


def _optimized() -> str:
    """Return whether the interpreter was built with profile-guided optimization."""
    found = sysconfig.get_config_vars("CONFIG_ARGS", "PY_CORE_CFLAGS")
    said = " ".join(str(each) for each in found)
    if "--enable-optimizations" in said or "-fprofile-use" in said:
        return "built with profile-guided optimization"
    if os.path.realpath(sys.executable).startswith("/usr/bin/"):
        # Debian's rules have make build profile-opt, which leaves no trace there.
        return (
            "of the distribution (Debian's are built with profile-guided optimization)"
        )
    return (
        "built WITHOUT profile-guided optimization, as far as it tells: socksgw takes "
        "15 to 35 % more"
    )


def _loop() -> float:
    """Return milliseconds of CPU that a fixed piece of Python takes."""

    class Counter:
        __slots__ = ("value",)

        def __init__(self, value: int) -> None:
            self.value = value

        def more(self, by: int) -> int:
            return self.value + by

    def piece() -> float:
        began, found, total = time.process_time(), {}, 0
        for number in range(100_000):
            found[number & 255] = number
            total = Counter(number).more(total) & 1023
        return time.process_time() - began

    return min(piece() for _ in range(5)) * 1e3


def described() -> str:
    """Return interpreter and build, the machine, and how busy it is."""
    load = os.getloadavg()[0]
    return (
        f"{platform.python_implementation()} {platform.python_version()} "
        f"({sys.executable}), {_optimized()}; {platform.python_compiler()}\n"
        f"a fixed loop of Python: {_loop():.1f} ms; Linux {platform.release()}, "
        f"{os.cpu_count()} cores, load {load:.1f}, "
        f"congestion control {_CONGESTION.read_text().strip()}"
    )


def parsed(parser: argparse.ArgumentParser, **quick: object) -> argparse.Namespace:
    """
    Parse the options, and say what is measured on.

    @param quick: options as C{--quick} has them.
    """
    parser.add_argument(
        "--quick", action="store_true", help="few short slices: does it run at all?"
    )
    options = parser.parse_args()
    if options.quick:
        for name, value in quick.items():
            setattr(options, name, value)
    return options
