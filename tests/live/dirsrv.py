"""
A 389 Directory Server for the tests, Debian's.

It sees its own folder where it has its files (a mount namespace): nothing of this
machine is touched.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

from tests.live.servers import Daemon, freePort, missing, program

__all__ = ["BASE", "PASSWORD", "DirectoryServer"]

BASE: Final = "dc=corp,dc=example"
#: Of every account, and of the server's own administrator.
PASSWORD: Final = "Sesame-open-42"
_ADMINISTRATOR: Final = "cn=Directory Manager"
_DEFAULTS: Final = Path("/usr/share/dirsrv/inf/defaults.inf")
_PLACES: Final = {
    "etc": "/etc/dirsrv",
    "lib": "/var/lib/dirsrv",
    "log": "/var/log/dirsrv",
    "run": "/run/dirsrv",
    "lock": "/run/lock/dirsrv",
}
_CONTENT: Final = "".join(
    [
        f"dn: ou={each},{BASE}\nobjectClass: organizationalUnit\n\n"
        for each in ("users", "teams")
    ]
    + [
        f"dn: uid={each},ou=users,{BASE}\nobjectClass: inetOrgPerson\ncn: {each}\n"
        f"sn: {each}\nuserPassword: {PASSWORD}\n\n"
        for each in ("alice", "bob", "gateway")
    ]
    + [
        f"dn: cn={each},ou=teams,{BASE}\nobjectClass: groupOfNames\nmember: {member}\n\n"
        for each, member in (
            ("contractors", f"uid=alice,ou=users,{BASE}"),
            ("partners", f"cn=contractors,ou=teams,{BASE}"),
        )
    ]
)


class DirectoryServer:
    """
    A server on a port of loopback. Use it as a context.

    It has C{alice}, in C{contractors}, which is in C{partners}, C{bob}, and the
    account C{gateway}, which may read.

    @ivar port: of C{ldap://127.0.0.1}.
    """

    def __init__(self, directory: Path) -> None:
        if os.geteuid() != 0:
            missing("root, for a mount namespace")
        self._slapd = program("ns-slapd", "389-ds-base")
        directory.mkdir(parents=True)
        self.directory = directory
        self.port = freePort(kind=socket.SOCK_STREAM)
        for name, place in _PLACES.items():
            if Path(place).is_dir():
                shutil.copytree(place, directory / name)
            else:
                (directory / name).mkdir()
            shutil.chown(directory / name, "dirsrv", "dirsrv")
        text = _DEFAULTS.read_text().replace("with_systemd = 1", "with_systemd = 0")
        # Its socket stands in the folder, too.
        text = text.replace("ldapi = /run/slapd-", "ldapi = /run/dirsrv/slapd-")
        (directory / "defaults.inf").write_text(text)
        (directory / "instance.inf").write_text(
            f"""
[general]
config_version = 2
full_machine_name = localhost
strict_host_checking = False
selinux = False
start = False
[slapd]
instance_name = test
port = {self.port}
root_password = {PASSWORD}
self_sign_cert = False
[backend-userroot]
suffix = {BASE}
create_suffix_entry = True
"""
        )
        dscreate = program("dscreate", "python3-lib389")
        self._run(self._inside(dscreate, "from-file", f"{directory}/instance.inf"))
        dse = directory / "etc" / "slapd-test" / "dse.ldif"
        text = dse.read_text()
        assert "\nnsslapd-port:" in text
        own = "\nnsslapd-listenhost: 127.0.0.1\nnsslapd-port:"
        dse.write_text(text.replace("\nnsslapd-port:", own, 1))
        self._daemon: Daemon | None = None

    def _inside(self, *command: str) -> list[str]:
        steps = ["mount --make-rprivate /"]
        for name, place in _PLACES.items():
            steps += [
                f"mkdir -p {place}",
                f"mount --bind '{self.directory}/{name}' {place}",
            ]
        steps.append(f"mount --bind '{self.directory}/defaults.inf' {_DEFAULTS}")
        setup = " && ".join([*steps, 'exec "$@"'])
        unshare = program("unshare", "util-linux")
        return [unshare, "-m", "sh", "-c", setup, "sh", *command]

    def _run(self, command: list[str], stdin: str = "") -> None:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (done.stdout, done.stderr)

    def __enter__(self) -> DirectoryServer:
        command = self._inside(self._slapd, "-D", "/etc/dirsrv/slapd-test", "-d", "0")
        log = self.directory / "output.log"
        self._daemon = Daemon(command, self.port, log, dict(os.environ))
        self._daemon.__enter__()
        try:
            self.modify(_CONTENT, "-a")
            self.modify(
                f"dn: {BASE}\nchangetype: modify\nadd: aci\n"
                'aci: (targetattr="*")(version 3.0; acl "gateway"; allow (read, '
                f'search, compare) userdn="ldap:///uid=gateway,ou=users,{BASE}";)\n'
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._daemon is not None:
            self._daemon.__exit__()

    def modify(self, ldif: str, *options: str) -> None:
        """Apply LDIF."""
        command = [program("ldapmodify", "ldap-utils"), "-x", *options]
        command += ["-H", f"ldap://127.0.0.1:{self.port}"]
        self._run([*command, "-D", _ADMINISTRATOR, "-w", PASSWORD], ldif)
