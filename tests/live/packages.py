"""
What is made of this project for others: distributions, and packages for Debian.

What takes minutes is kept: roots of Debian, and a package as long as nothing has changed
that it is made of. Several trees may be tested at once, each with a package of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.running import ROOT
from tests.live.servers import missing, program

__all__ = [
    "FILES",
    "cleanRoot",
    "containerImage",
    "debianPackage",
    "distributions",
    "higher",
    "tracked",
]

FILES = [
    ".gitignore", "LICENSE", "MANIFEST.in", "Makefile", "README.rst", "pyproject.toml",
    "setup.cfg",
]  # fmt: skip
_BUILD = """
import sys
from setuptools.build_meta import build_sdist, build_wheel
directory = sys.argv[1]  # which setuptools overwrites
build_wheel(directory)
build_sdist(directory)
"""
_HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_KEPT = _HOME / "socksgw-tests" / "debian"
#: Beside what is essential: systemd, and what the tests use.
_CLEAN = "systemd,dbus,curl,procps,ca-certificates,man-db,bash-completion"


def distributions(directory: Path) -> Path:
    """
    Build wheel and source distribution from a copy of this tree.

    @param directory: an empty one.
    @return: where both are.
    """
    copy = directory / "tree" / "socksgw"
    leftOut = shutil.ignore_patterns("__pycache__", "dropin.cache", "build")
    for name in (".ci", "etc", "findings", "socksgw", "tests", "twisted"):
        shutil.copytree(ROOT / name, copy / name, ignore=leftOut)
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    (copy / "socksgw" / "commit.txt").write_text("0123456789ab\n")
    found = directory / "dist"
    found.mkdir()
    subprocess.run(
        [sys.executable, "-c", _BUILD, str(found)],
        cwd=copy,
        check=True,
        capture_output=True,
        timeout=600,
    )
    return found


def tracked(*folders: str) -> set[str]:
    """The files of folders, by their names from this project's root."""
    found = (each for name in folders for each in (ROOT / name).rglob("*"))
    return {
        str(each.relative_to(ROOT))
        for each in found
        if each.is_file()
        and not {"__pycache__", "build"} & set(each.parts)
        and each.name not in ("dropin.cache", "commit.txt")
    }


def _digest() -> str:
    """Return what changes with any file that the package is made of."""
    found = hashlib.sha256()
    for name in sorted(tracked("etc", "socksgw", "twisted") | {"setup.cfg"}):
        found.update(f"{name}\0".encode() + (ROOT / name).read_bytes() + b"\0")
    return found.hexdigest()[:16]


#: Folders of packages that this process uses, open until it ends.
_used: dict[Path, int] = {}


def _use(kept: Path) -> None:
    """Have nobody remove a folder before this process ends."""
    if kept not in _used:
        _used[kept] = os.open(kept, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(_used[kept], fcntl.LOCK_SH)


def _isUsed(kept: Path) -> bool:
    """Return whether a process uses a folder, this one or another."""
    descriptor = os.open(kept, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _alone(what: str) -> Iterator[None]:
    """Have one of the tests' processes at a time make something that is kept."""
    _KEPT.mkdir(parents=True, exist_ok=True)
    with (_KEPT / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _made(*command: str | Path) -> str:
    """Run what makes something, and return what it says."""
    done = subprocess.run(
        [str(each) for each in command],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    return said


def cleanRoot(suite: str) -> Path:
    """
    Return an archive of the root of a Debian that has systemd, and nothing of ours.

    What the package depends on is there, since nothing can be downloaded where it is
    installed.

    @param suite: the name of the release.
    """
    with _alone(suite):
        found = _KEPT / f"{suite}.tar"
        if not found.exists():
            new = found.with_suffix(".new")
            _made(
                program("mmdebstrap", "mmdebstrap"), "--quiet", "--format=tar",
                "--variant=minbase",
                f"--include={_CLEAN},python3,libgssapi-krb5-2,libstdc++6", suite, new,
            )  # fmt: skip
            new.rename(found)
    return found


def debianPackage(suite: str, directory: Path) -> Path:
    """
    Return the package for a Debian: what C{make deb} makes.

    @param directory: an empty one, for what is needed on the way.
    """
    program("mmdebstrap", "mmdebstrap")
    if os.geteuid() != 0:
        missing("root, to build in a root of Debian")
    with _alone(f"{suite}-package"):
        kept = _KEPT / f"{suite}-{_digest()}"
        if not kept.exists():
            (sdist,) = distributions(directory).glob("*.tar.gz")
            for each in _KEPT.glob(f"{suite}-????????????????"):
                if not _isUsed(each):
                    shutil.rmtree(each)
            new = directory / "made"
            _made(ROOT / "etc" / "packaging" / "deb", sdist, suite, "1", new)
            part = kept.with_suffix(".new")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(new, part)
            part.rename(kept)
        _use(kept)
    (found,) = kept.glob("*.deb")
    return found


def containerImage(suite: str, directory: Path) -> Path:
    """
    Return the image of the package for a Debian: what C{make image} makes.

    @param directory: an empty one, for what is needed on the way.
    """
    package = debianPackage(suite, directory)
    with _alone(f"{suite}-image"):
        found = package.with_name("image.tar")
        if not found.exists():
            new = found.with_suffix(".new")
            _made(ROOT / "etc" / "packaging" / "image", package, suite, new)
            new.rename(found)
    return found


def higher(package: Path, directory: Path) -> Path:
    """
    Return a package of a higher version, of another commit.

    @param directory: an empty one.
    """
    tree = directory / "tree"
    _made("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("\nVersion: 0.", "\nVersion: 7."))
    (commit,) = tree.glob(
        "usr/lib/socksgw/lib/python*/site-packages/socksgw/commit.txt"
    )
    commit.write_text("fedcba987654\n")
    found = directory / "higher.deb"
    _made("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, found)
    shutil.rmtree(tree)
    return found
