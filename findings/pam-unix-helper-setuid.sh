#!/bin/sh
# Linux-PAM 1.7.0 (Debian 13): where the system call setuid is refused, pam_unix answers
# a right password as it answers a wrong one. 1.5.2 (Debian 12) lets the user in.
#
# The program that asks is not root. It reads /etc/shadow as a member of the group shadow,
# and asks about another user than its own. By the sources, pam_unix up to 1.5.3 reads the
# entry itself in such a program; since 1.6.0 it always runs unix_chkpwd for that (the
# reason given: entries that libnss_systemd makes up). unix_chkpwd, asked about another
# user than its caller, calls setgid and setuid with its caller's ids before it looks. If
# one fails, it answers that the password is wrong, and logs nothing. (1.7.2 has setreuid,
# and only where the ids differ; that was not run.)
#
# So a service of systemd with SystemCallFilter=~@privileged, SystemCallErrorNumber=EPERM
# and NoNewPrivileges=yes that has let users in no longer does after the upgrade. One more
# line, SystemCallFilter=setuid, mends it.
#
# The log misleads. "setuid failed" of pam_unix is no sign of this: the check of the
# account writes it in each login that succeeds. The sign is a line that is missing: for
# a password that is really wrong unix_chkpwd writes "password check failed" before
# pam_unix writes "authentication failure".
#
# Pinned: libpam-modules 1.5.2-6+deb12u2 and 1.7.0-5, pamtester 0.1.2-4, each in a root of
# its Debian. Needs root on x86-64, mmdebstrap, openssl and python3. Run on 2026-11-29,
# Linux 6.18. Exit status 1: they do something else.
set -eu
umask 022
mkdir /tmp/pam-unix-helper-setuid
trap 'rm -rf --one-file-system /tmp/pam-unix-helper-setuid' EXIT
trap 'exit 1' INT TERM
cd /tmp/pam-unix-helper-setuid
cat > ask.py <<'PYTHON'
import ctypes
import os
import re
import socket
import struct
import subprocess
import sys

SHADOW = 42
ASKING = 1000
FILES = {
    "etc/pam.d/look": "auth required pam_unix.so nodelay\naccount required pam_unix.so\n",
    "etc/passwd": "root:x:0:0::/:/bin/sh\nasking:x:1000:1000::/:/bin/sh\n"
    "alice:x:1001:1001::/:/bin/sh\n",
    "etc/group": "root:x:0:\nshadow:x:42:\nasking:x:1000:\nalice:x:1001:\n",
    "etc/shadow": f"alice:{sys.argv[3]}:20000::::::\n",
}
WORDS = re.compile("setuid failed|password check failed|authentication failure")
#: If the call's number is that of setuid: EPERM (1). Else it is allowed.
FILTER = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x20, 0, 0, 0),
        (0x15, 0, 1, 105),
        (0x06, 0, 0, 0x00050001),
        (0x06, 0, 0, 0x7FFF0000),
    )
)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def prctl(*arguments):
    if ctypes.CDLL(None, use_errno=True).prctl(*arguments):
        raise OSError(ctypes.get_errno(), "prctl")


def become(root, refused):
    """Become what systemd makes of a service: a user, in a group that reads the file."""
    os.chroot(root)
    os.chdir("/")
    os.setgroups([SHADOW])
    os.setgid(ASKING)
    os.setuid(ASKING)
    with open("/etc/shadow"):
        pass
    # PR_SET_NO_NEW_PRIVS; PR_SET_SECCOMP, SECCOMP_MODE_FILTER.
    prctl(38, 1, 0, 0, 0)
    if refused:
        prctl(22, 2, ctypes.byref(Program(len(FILTER) // 8, FILTER)), 0, 0)


version, root = sys.argv[1:3]
for name, text in FILES.items():
    os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
    with open(f"{root}/{name}", "w") as file:
        file.write(text)
os.chown(f"{root}/etc/shadow", 0, SHADOW)
os.chmod(f"{root}/etc/shadow", 0o640)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind(f"{root}/dev/log")
os.chmod(f"{root}/dev/log", 0o666)
log.setblocking(False)
for refused in (False, True):
    for password in ("right", "wrong"):
        asked = subprocess.run(
            ["/usr/bin/pamtester", "look", "alice", "authenticate", "acct_mgmt"],
            input=f"{password}\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            preexec_fn=lambda: become(root, refused),
        )
        logged = []
        while True:
            try:
                logged += WORDS.findall(log.recv(65536).decode())
            except BlockingIOError:
                break
        # The last words that pamtester says of it.
        outcome = asked.stdout.strip().rpartition(": ")[2]
        setuid = "refused" if refused else "allowed"
        print(f"{version}, setuid {setuid}, {password}: {outcome} [{', '.join(logged)}]")
PYTHON
hash=$(openssl passwd -6 right)
look() {  # SUITE PACKAGES VERSION
    timeout 300 mmdebstrap --quiet --variant=extract --skip=output/dev \
        --include="base-files,pamtester=0.1.2-4,libpam0g=$2,libpam-modules=$2" \
        --include="libpam-modules-bin=$2" "$1" "$1" http://deb.debian.org/debian
    mkdir -p "$1/dev"
    python3 ask.py "$3" "$1" "$hash"
}
{
    look bookworm 1.5.2-6+deb12u2 1.5.2
    look trixie 1.7.0-5 1.7.0
} > found
cat found
cat > expected <<'TABLE'
1.5.2, setuid allowed, right: account management done. []
1.5.2, setuid allowed, wrong: Authentication failure [authentication failure]
1.5.2, setuid refused, right: account management done. []
1.5.2, setuid refused, wrong: Authentication failure [authentication failure]
1.7.0, setuid allowed, right: account management done. [setuid failed]
1.7.0, setuid allowed, wrong: Authentication failure [password check failed, authentication failure]
1.7.0, setuid refused, right: Authentication failure [authentication failure]
1.7.0, setuid refused, wrong: Authentication failure [authentication failure]
TABLE
diff expected found
