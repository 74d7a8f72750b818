"""
A virtual machine with Debian's own kernel, for what the kernel of this machine lacks.

C{python -m tests.kernel.machine} boots it, without privilege of hardware (QEMU's TCG),
over this machine's files, which it can read and not change; runs
L{tests.kernel.ipsec} in it, and tells what came of it.
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
#: Serves a directory to a virtual machine.
VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
#: What brings the files in; everything else is loaded from there.
MODULES = ("virtio_pci", "virtiofs", "overlay")
#: What the kernel would ask for one by one, each time by several processes.
LOADED = (
    *("veth", "xfrm_user", "esp4", "authenc", "echainiv", "nf_tables", "nft_ct"),
    *("nf_conntrack", "drbg", "ctr"),
)
#: Of whose rules the firewall gets.
LISTEN = """
[[listen]]
name = "lan"
address = ["10.9.1.1:1080"]
ipsec_mark = 0x1000000
"""
MEMORY = "384M"
#: What the kernel does not try: its ciphers, which costs a second; and whether its
#: timer ticks, which it does not in time where this machine is busy.
UNTESTED = "cryptomgr.notests no_timer_check"
_UNCOMPILED = "PYTHONDONTWRITEBYTECODE"
#: Seconds that a machine may run.
PATIENCE = 120
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
for m in /m/*.ko; do $B insmod $m; done
$B mount -t virtiofs -o ro host /h
$B mount -t tmpfs tmpfs /up; $B mkdir /up/u /up/w
$B mount -t overlay -o lowerdir=/h,upperdir=/up/u,workdir=/up/w overlay /root
for each in proc sys dev; do $B mount --move /$each /root/$each; done
$B mkdir -p /root/lib/modules /root/dev/shm /root/run/netns
$B mount --bind /root@MODULES@ /root/lib/modules
$B mount -t tmpfs tmpfs /root/run; $B mkdir /root/run/netns
cd /root
$B chroot /root /sbin/modprobe -a @LOADED@
$B chroot /root /bin/sh -c 'cd @ROOT@ && exec @PYTHON@ -m tests.kernel.ipsec @RULES@'
echo "status $?"
$B poweroff -f
"""
#: The kernel asks for modules in this root.
MODPROBE = """#!/bin/busybox sh
exec /bin/busybox chroot /root /sbin/modprobe "$@"
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


def _initramfs(folder: Path, kernel: Path, version: str, rules: Path) -> Path:
    """Make what the kernel starts with: busybox, and the modules for the files."""
    for each in ("bin", "sbin", "proc", "sys", "dev", "m", "h", "up", "root"):
        (folder / each).mkdir(parents=True)
    shutil.copy(program("busybox", "busybox-static"), folder / "bin")
    wanted: dict[str, None] = {}
    for each in MODULES:
        shown = subprocess.run(
            [program("modprobe", "kmod"), "-d", kernel, "-S", version,
             "--show-depends", each],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        wanted |= dict.fromkeys(re.findall(r"^insmod (\S+)", shown, re.MULTILINE))
    for number, module in enumerate(wanted):
        shutil.copy(module, folder / "m" / f"{number:02}-{Path(module).name}")
    text = INIT.replace("@MODULES@", str(kernel / "lib/modules"))
    text = text.replace("@ROOT@", str(ROOT)).replace("@PYTHON@", sys.executable)
    text = text.replace("@LOADED@", " ".join(LOADED))
    (folder / "init").write_text(text.replace("@RULES@", str(rules)))
    (folder / "sbin/modprobe").write_text(MODPROBE)
    for script in ("init", "sbin/modprobe"):
        (folder / script).chmod(0o755)
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


def _compiled() -> None:
    """Have the modules compiled that the machine imports: it cannot keep that."""
    kept = {name: os.environ[name] for name in os.environ if name != _UNCOMPILED}
    importing = [sys.executable, "-c", "import tests.kernel.ipsec"]
    subprocess.run(importing, cwd=ROOT, env=kept, check=True)


def _used() -> float:
    """Return the seconds of processors that processes have used which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Boot, and print what the machine says."""
    kernel, version = _kernel()
    _compiled()
    server = next((each for each in VIRTIOFSD if Path(each).exists()), None)
    assert server, "virtiofsd is missing (Debian: qemu-system-x86, virtiofsd)"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "rules.nft").write_text("\n".join(firewall(loads(LISTEN, "gw.toml"))))
        initramfs = _initramfs(folder / "root", kernel, version, folder / "rules.nft")
        serving = subprocess.Popen(
            [server, f"--socket-path={folder}/files", "-o", "source=/",
             "-o", "cache=always", "-o", "sandbox=chroot",
             "--thread-pool-size=2"],
            stdout=sys.stderr, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        told = (folder / "said").open("w+b")
        try:
            while not (folder / "files").exists():
                assert serving.poll() is None, "virtiofsd has ended"
                time.sleep(0.02)
            began, before = time.monotonic(), _used()
            subprocess.run(
                [program("qemu-system-x86_64", "qemu-system-x86"),
                 # It starts a kernel, and knows nothing else.
                 "-bios", "qboot.rom", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
                 "-m", MEMORY, "-kernel", kernel / f"boot/vmlinuz-{version}",
                 "-initrd", initramfs, "-append",
                 f"console=ttyS0 panic=-1 quiet random.trust_cpu=on {UNTESTED}",
                 "-nographic", "-no-reboot", "-nodefaults",
                 "-serial", "stdio", "-monitor", "none",
                 "-object", f"memory-backend-memfd,id=m,size={MEMORY},share=on",
                 "-numa", "node,memdev=m",
                 "-chardev", f"socket,id=c,path={folder}/files",
                 "-device", "vhost-user-fs-pci,queue-size=1024,chardev=c,tag=host"],
                stdin=subprocess.DEVNULL, stdout=told, check=False, timeout=PATIENCE,
            )  # fmt: skip
            took = time.monotonic() - began
        finally:
            serving.kill()
            serving.wait()
            used = _used() - before
            told.seek(0)
            said = told.read().decode(errors="replace").strip()
            told.close()
            print(said)
    print(f"Linux {version} (QEMU, TCG): {took:.1f} s, {used:.1f} of processors")
    return int("status 0" not in said)


if __name__ == "__main__":
    sys.exit(main())
