"""
What C{--version} tells: the program, and what it runs on.
"""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata, util
from pathlib import Path
from typing import Final

__all__ = ["told"]

_PACKAGE: Final = Path(__file__).resolve().parents[1]
#: Where C{make dist} writes which commit a distribution is made of.
_COMMIT: Final = "commit.txt"
#: Seconds that git may take.
_PATIENCE: Final = 5


def told() -> str:
    """
    Return two lines: version, commit and kind of code; and what it runs on.
    """
    import OpenSSL
    from OpenSSL import SSL

    import twisted

    try:
        version = metadata.version("socksgw")
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    tls = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii", "replace")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    kind = "compiled" if _compiled() else "not compiled"
    return (
        f"socksgw {version}, {_commit(_PACKAGE)}, {kind}\n"
        f"{python}, Twisted {twisted.__version__}, {' '.join(tls.split()[:2])} "
        f"(pyOpenSSL {OpenSSL.__version__})"
    )


def _commit(package: Path) -> str:
    """
    Say which commit the code is of.

    @param package: the folder of this package: of a distribution, which has a file
        that tells, or of a working tree.
    """
    try:
        return f"commit {(package / _COMMIT).read_text('ascii').strip()}"
    except FileNotFoundError:
        pass
    if not (package.parent / ".git").exists():
        return "commit unknown"
    command = ["git", "-C", str(package.parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(
            [*command, "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.SubprocessError):
        # Another user's tree, for one, which git does not read.
        return "commit unknown"
    commit, dirty, _ = done.stdout.strip().partition("-dirty")
    return f"commit {commit}{', changed' if dirty else ''}"


def _compiled() -> bool:
    """Return whether the hot path is machine code, and not Python's."""
    spec = util.find_spec("socksgw.session.session")
    return spec is not None and not str(spec.origin).endswith((".py", ".pyc"))
