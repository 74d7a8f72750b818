"""
A virtual machine with Debian's own kernel, for what the kernel of this machine lacks.

C{python -m tests.kernel.machine} boots it, without privilege of hardware (QEMU's TCG);
runs L{tests.kernel.ipsec} in it, and tells what came of it. The machine has no devices
but a serial line: all that it needs is in the files that its kernel starts with.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from socksgw.config.loading import loads
from socksgw.gateway.examining.ipsec import firewall
from tests.live.running import ROOT
from tests.live.servers import program

__all__ = ["main"]

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
KEPT = CACHE / "socksgw-tests" / "kernel"
#: What the kernel would ask for one by one, each time by several processes. It finds
#: nothing else: this machine has no modprobe.
MODULES = (
    *("veth", "xfrm_user", "esp4", "authenc", "echainiv", "nf_tables", "nft_ct"),
    *("nf_conntrack", "sha512_generic", "drbg", "ctr"),
)
#: Of whose rules the firewall gets.
LISTEN = """
[[listen]]
name = "lan"
address = ["10.9.1.1:1080"]
ipsec_mark = 0x1000000
"""
MEMORY = "384M"
#: What the kernel does not try: its ciphers, by two ways, which costs a second and more;
#: whether its timer ticks, which it does not in time where this machine is busy; and
#: events of kprobes, which nobody wants.
UNTESTED = (
    "cryptomgr.notests no_timer_check "
    "initcall_blacklist=crypto_kdf108_init,init_kprobe_trace"
)
#: Seconds that a machine may run.
PATIENCE = 120
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
$B mount -t tmpfs run /run; $B mkdir /run/netns
for m in /m/*.ko; do $B insmod $m; done
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=@ROOT@
@PYTHON@ -S -c 'from tests.kernel.ipsec import run; run("/rules.nft")'
echo "status $?"
$B reboot -f
"""
#: What imports the modules that the machine needs, and tells where they are, compiled if
#: they are kept so.
_IMPORTING = """
import os, sys, tests.kernel.ipsec
print(os.__file__)
for module in list(sys.modules.values()):
    found = getattr(module, "__cached__", None)
    if not (found and os.path.exists(found)):
        found = getattr(module, "__file__", None)
    print(found or "")
"""


def _kernel() -> tuple[Path, str]:
    """Return where Debian's newest cloud kernel is unpacked, and its version."""
    depends = subprocess.run(
        ["apt-cache", "depends", "linux-image-cloud-amd64"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = re.search(r"Depends: (linux-image-(\S+))", depends)
    assert found, "linux-image-cloud-amd64 is in no list: apt-get update"
    package, version = found[1], found[2]
    place = KEPT / version
    if not (place / "lib/modules" / version / "modules.dep").exists():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run(
                ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package],
                cwd=scratch, check=True, stdout=sys.stderr,
            )  # fmt: skip
            (archive,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", archive, place], check=True)
        subprocess.run([program("depmod", "kmod"), "-b", place, version], check=True)
    return place, version


def _asked(*command: str | Path, env: dict[str, str] | None = None) -> str:
    return subprocess.run(
        command, env=env, capture_output=True, text=True, check=True
    ).stdout


def _put(folder: Path, *files: str | Path) -> None:
    """Copy files to the same places below a folder; a library is there once."""
    for file in files:
        there = folder / str(file).lstrip("/")
        if there.parent.name == "__pycache__":
            # Taken without its source: nothing has to be compared.
            there = there.parent.parent / f"{there.name.partition('.')[0]}.pyc"
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, there)


def _putPrograms(folder: Path, python: Path) -> None:
    """Copy what is run and imported, with the libraries that it is linked to."""
    programs: list[str | Path] = [python]
    programs += [program("ip", "iproute2"), program("nft", "nftables")]
    told = _asked(python, "-S", "-c", _IMPORTING, env={"PYTHONPATH": str(ROOT)})
    modules = told.split()
    _put(folder, *programs, *modules)
    linked: list[str | Path] = [
        *programs,
        *(each for each in modules if each.endswith(".so")),
    ]
    _put(folder, *set(re.findall(r"(/\S+) \(0x", _asked("ldd", *linked))))


def _initramfs(folder: Path, kernel: Path, version: str) -> Path:
    """Make what the kernel starts with: all that the machine has."""
    for each in ("bin", "proc", "sys", "dev", "m", "run"):
        (folder / each).mkdir(parents=True)
    shutil.copy(program("busybox", "busybox-static"), folder / "bin")
    modprobe = program("modprobe", "kmod")
    # An order in which each comes behind what it needs.
    shown = _asked(
        modprobe, "-d", kernel, "-S", version, "--show-depends", "-a", *MODULES
    )
    wanted = dict.fromkeys(re.findall(r"^insmod (\S+)", shown, re.MULTILINE))
    for number, module in enumerate(wanted):
        shutil.copy(module, folder / "m" / f"{number:02}-{Path(module).name}")
    python = Path(sys.executable).resolve()
    _putPrograms(folder, python)
    # ip knows protocols by their names from this file.
    _put(folder, "/etc/protocols")
    (folder / "rules.nft").write_text("\n".join(firewall(loads(LISTEN, "gw.toml"))))
    init = folder / "init"
    init.write_text(INIT.replace("@ROOT@", str(ROOT)).replace("@PYTHON@", str(python)))
    init.chmod(0o755)
    made = folder.with_suffix(".cpio")
    with made.open("wb") as out:
        names = subprocess.run(
            ["find", "."], cwd=folder, capture_output=True, check=True
        ).stdout
        subprocess.run(
            [program("cpio", "cpio"), "-o", "-H", "newc", "--quiet"],
            cwd=folder, input=names, stdout=out, check=True,
        )  # fmt: skip
    return made


def _used() -> float:
    """Return the seconds of processors that processes have used which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Boot, and print what the machine says."""
    kernel, version = _kernel()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        initramfs = _initramfs(Path(scratch) / "root", kernel, version)
        booted, before = time.monotonic(), _used()
        said = subprocess.run(
            [program("qemu-system-x86_64", "qemu-system-x86"),
             # No buses, and no tables that describe them.
             "-M", "microvm,acpi=off", "-accel", "tcg", "-cpu", "max", "-m", MEMORY,
             "-kernel", kernel / f"boot/vmlinuz-{version}", "-initrd", initramfs,
             "-append", f"console=ttyS0 panic=-1 reboot=t loglevel=3 edd=off random.trust_cpu=on {UNTESTED}",
             "-nographic", "-no-reboot", "-nodefaults",
             "-serial", "stdio", "-monitor", "none"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
            timeout=PATIENCE,
        ).stdout.decode(errors="replace").strip()  # fmt: skip
        took, used = time.monotonic() - booted, _used() - before
    print(said)
    print(
        f"Linux {version} (QEMU, TCG): {took:.1f} s, {used:.1f} of processors; "
        f"{booted - began:.1f} s before to make its files"
    )
    return int("status 0" not in said)


if __name__ == "__main__":
    sys.exit(main())
