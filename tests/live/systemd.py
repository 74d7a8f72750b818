"""
A real systemd, booted as process 1 of namespaces of its own.

Its root is this machine's, or another Debian's, with a layer on top: what is written
there is gone with it. It runs nothing but the bus, the journal, and units of the test's;
the network is a namespace with a loopback. Here it has no controllers of control groups.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.live.running import ROOT
from tests.live.servers import missing, program
from tests.tools.waiting import until

__all__ = ["Systemd", "booted"]

_UNIT = "tests.target"
#: Where the root is while it is made, and then the real one's mount.
_SCRIPT = r"""
set -e
W=$1 R=$1/t/root
mount --make-rprivate /
mount -t tmpfs tmpfs $W/t
mkdir $W/t/up $W/t/work $R
mount -t overlay overlay -o lowerdir="$2",upperdir=$W/t/up,workdir=$W/t/work $R
mount -t proc proc $R/proc
mount --bind $R/proc/sys $R/proc/sys
mount -o remount,ro,bind $R/proc/sys
mount -t sysfs -o ro sysfs $R/sys
mount -t cgroup2 cgroup2 $R/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $R/dev
for each in null zero full random urandom tty; do
    touch $R/dev/$each
    mount --bind /dev/$each $R/dev/$each
done
mkdir $R/dev/pts $R/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts $R/dev/pts
ln -s pts/ptmx $R/dev/ptmx
mount -t tmpfs tmpfs $R/dev/shm
mount -t tmpfs -o mode=755 tmpfs $R/run
mount -t tmpfs -o mode=1777 tmpfs $R/tmp
ip link set lo up
rm -rf $R/etc/systemd/system $R/var/log/journal
mkdir -p $R/etc/systemd/system $R/old
cp -r "$3"/. $R/etc/systemd/system/
if [ "$2" = / ]; then
    # The gateway as its unit has it installed, and as these tests have it.
    rm -rf $R/opt/socksgw
    mkdir -p $R/opt/socksgw/bin $R/opt/python $R/opt/clone $R/opt/packages $R/etc/socksgw
    mount --bind "$5" $R/opt/python
    mount --bind "$6" $R/opt/clone
    mount --bind "$7" $R/opt/packages
    cp -r "$8"/. $R/opt/socksgw/
    # An interpreter may have a library beside it.
    echo /opt/python/lib > $R/etc/ld.so.conf.d/000-tests.conf
    chroot $R ldconfig
fi
cd $R
pivot_root . old
umount -l /old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=$4 --log-target=journal --show-status=no
"""
#: A program of the gateway's, by what it calls.
_PROGRAM = """#!/opt/socksgw/bin/python
import sys
from {module} import {name}
sys.exit({name}())
"""


class Systemd:
    """
    The manager, and its file system.

    @ivar root: its root directory, as seen from here.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.root = Path(f"/proc/{pid}/root")

    def run(
        self, *command: str, status: int | None = 0, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command there, as root.

        @param status: what it has to end with; L{None} for any.
        @param seconds: how long it may take.
        """
        done = subprocess.run(
            ["nsenter", "-t", str(self._pid), "-m", "-u", "-i", "-n", "-p", "-C",
             *command],
            capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert status in (None, done.returncode), f"{command}: {said}"
        return done

    @property
    def network(self) -> str:
        """Its network, for L{tests.live.netns.within}."""
        return f"/proc/{self._pid}/ns/net"

    def shown(self, unit: str, what: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "-P", what, unit).stdout.strip()

    def journal(self, *options: str) -> list[str]:
        """Return the messages of its journal."""
        said = self.run("journalctl", "-q", "-o", "cat", "--no-pager", *options)
        return said.stdout.splitlines()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file there."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)


def _installed(directory: Path) -> Path:
    """Make what stands in C{/opt/socksgw}: a virtual environment of this interpreter."""
    made = directory / "opt"
    (made / "bin").mkdir(parents=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = made / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "these.pth").write_text("/opt/clone\n/opt/packages\n")
    (made / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (made / "bin" / "python").symlink_to(f"/opt/python/bin/{version}")
    for program_, module, name in (
        ("socksgw", "socksgw.console.command", "main"),
        ("twistd", "twisted.scripts.twistd", "run"),
    ):
        path = made / "bin" / program_
        path.write_text(_PROGRAM.format(module=module, name=name))
        path.chmod(0o755)
    return made


@contextmanager
def booted(directory: Path, lower: Path = Path("/"), **units: str) -> Iterator[Systemd]:
    """
    Boot one, and have it end.

    @param lower: the root of a Debian; this machine's has this project's gateway in
        C{/opt/socksgw}, too.
    @param units: files of C{/etc/systemd/system}, by name: a dot is two underscores.
    """
    program("journalctl", "systemd")
    unshare = program("unshare", "util-linux")
    groups = [each.split() for each in Path("/proc/mounts").read_text().splitlines()]
    mounted = [Path(each[1]) for each in groups if each[2] == "cgroup2"]
    if os.geteuid() != 0 or not mounted:
        missing("root, and control groups of version 2, to boot systemd")
    group = mounted[0] / f"socksgw-{os.getpid()}"
    group.mkdir()
    files = directory / "units"
    files.mkdir()
    (files / _UNIT).write_text("[Unit]\nWants=dbus.service systemd-journald.service\n")
    for name, text in units.items():
        (files / name.replace("__", ".")).write_text(text)
    (directory / "t").mkdir()
    # Others' services are none of ours, and neither is the kernel's audit.
    for each in ("systemd-journald-audit.socket", "systemd-udevd.service"):
        (files / each).symlink_to("/dev/null")
    command = [
        unshare, "-C", "-m", "-p", "-f", "-u", "-i", "-n", "--kill-child", "sh", "-c",
        _SCRIPT, "sh", str(directory), str(lower), str(files), _UNIT,
        sys.base_prefix, str(ROOT),
        next(each for each in sys.path if each.endswith("site-packages")),
        str(_installed(directory)),
    ]  # fmt: skip

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    with (directory / "boot.log").open("wb") as log:
        outer = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=enter
        )
    try:
        inner: list[int] = []

        def begun() -> bool:
            assert outer.poll() is None, (directory / "boot.log").read_text()
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
            inner[:] = [int(each) for each in children.read_text().split()]
            return bool(inner) and Path(f"/proc/{inner[0]}/comm").read_text() == (
                "systemd\n"
            )

        until(begun, 60)
        made = Systemd(inner[0])
        until(
            lambda: (
                made.run("systemctl", "is-active", _UNIT, status=None).returncode == 0
            ),
            60,
        )
        yield made
    finally:
        outer.send_signal(signal.SIGKILL)
        outer.wait(30)
        _remove(group)
        shutil.rmtree(directory / "t", ignore_errors=True)


def _remove(group: Path) -> None:
    """Remove a control group, when all processes of it have ended."""

    def gone() -> bool:
        for each in sorted(group.rglob("*"), reverse=True):
            if each.is_dir():
                with suppress(OSError):
                    each.rmdir()
        with suppress(OSError):
            group.rmdir()
        return not group.exists()

    until(gone, 60)
