"""
A network of its own for a program, from which nothing is reached.

It is a network namespace in which each address is one of the host itself, so that the
kernel hands all connections and datagrams to sockets of TPROXY, which the supervisor
has outside. There is no device but loopback. No privilege is needed: the process is
root in a user namespace.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from socksgw.run.forbidden import remedy, tproxyRemedy
from socksgw.run.notrun import NotRun
from socksgw.system.transparent import bindForeign, foreign, receiveOriginals
from socksgw.wire.address import Address

__all__ = ["OWN", "disinherit", "enclose", "openDoors", "renounce"]

_libc: Final = ctypes.CDLL(None, use_errno=True)
#: unshare(2).
_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000
_NEW_MOUNTS: Final = 0x00020000
#: mount(2): MS_REC and MS_PRIVATE, MS_BIND.
_PRIVATE: Final = 0x44000
_BIND: Final = 0x1000

#: The program's addresses, which are never a destination: the dummy address of IPv4
#: (RFC 7600), and one of the discard prefix of IPv6 (RFC 6666).
OWN: Final = {4: "192.0.0.8", 6: "100::2"}
#: Where the sockets of TPROXY are, which nobody else reaches.
_DOOR: Final = 1
_BACKLOG: Final = 1024
#: The last of the standard streams.
_STANDARD: Final = 2

_ADDRESSES: Final = f"""\
link set lo up
addr add {OWN[4]}/32 dev lo
addr add {OWN[6]}/128 dev lo nodad
route add local 0.0.0.0/0 dev lo src {OWN[4]}
route add local ::/0 dev lo src {OWN[6]}
"""
#: Questions of DNS are the supervisor's, also those to a name server on loopback;
#: what else is on loopback are servers of the program itself.
_RULES: Final = f"""\
table inet socksgw_run {{
    chain diverted {{
        type filter hook prerouting priority mangle
        meta nfproto ipv4 udp dport 53 tproxy ip to 127.0.0.1:{_DOOR} accept
        meta nfproto ipv6 udp dport 53 tproxy ip6 to [::1]:{_DOOR} accept
        ip daddr {{ 127.0.0.0/8, {OWN[4]} }} accept
        ip6 daddr {{ ::1, {OWN[6]} }} accept
        meta nfproto ipv4 meta l4proto {{ tcp, udp }} \
tproxy ip to 127.0.0.1:{_DOOR} accept
        meta nfproto ipv6 meta l4proto {{ tcp, udp }} \
tproxy ip6 to [::1]:{_DOOR} accept
    }}
}}
"""
#: Sockets of this host whose owners would look names up for the program, or run
#: programs for it, outside.
_COVERED: Final = (
    *("/run/nscd", "/run/systemd/resolve", "/run/avahi-daemon", "/run/dbus"),
    *("/run/systemd/private", "/run/docker.sock", "/run/podman/podman.sock"),
    *("/run/containerd/containerd.sock", "/run/crio/crio.sock"),
)
#: The same in the directory of the user's session.
_COVERED_OF_USER: Final = (
    *("bus", "systemd/private", "podman/podman.sock", "docker.sock"),
    *("systemd/io.systemd.Manager", "dbus-1"),
)
#: Where Debian has the programs of administrators.
_ADMINISTRATORS: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_IPV6: Final = Path("/proc/sys/net/ipv6/conf")


def enclose(ids: tuple[int, int]) -> None:
    """
    Put this process, and what it starts, into a network of its own.

    @param ids: the user and group of this process.
    @raise NotRun: the system does not do that; the text has the remedy.
    """
    try:
        _unshared(_NEW_USER | _NEW_NETWORK | _NEW_MOUNTS)
        _mapped((0, 0), ids)
        _mounted(b"none", b"/", None, _PRIVATE)
    except OSError as e:
        raise NotRun(remedy(e)) from None
    try:
        _cover(ids[0])
    except OSError as e:
        raise NotRun(f"sockets of this host cannot be covered: {e.strerror}") from None
    for each in ("all", "default", "lo"):
        # Where it is switched off on this host it would be here.
        with suppress(OSError):
            (_IPV6 / each / "disable_ipv6").write_text("0")
    done = _ran("ip", "iproute2", ["-batch", "-"], _ADDRESSES)
    if done.returncode:
        why = done.stderr.strip().replace("\n", "; ")
        raise NotRun(f"the namespace gets no addresses: {why}")
    done = _ran("nft", "nftables", ["-f", "-"], _RULES)
    if done.returncode:
        raise NotRun(tproxyRemedy(done.stderr))


def _ran(
    name: str, package: str, arguments: list[str], text: str
) -> subprocess.CompletedProcess[str]:
    """
    Run a program of an administrator's.

    @param text: its standard input.
    @raise NotRun: it is not there.
    """
    path = f"{os.environ.get('PATH', '')}:{_ADMINISTRATORS}"
    found = shutil.which(name, path=path)
    if found is None:
        raise NotRun(f"--isolate needs {name}, which is not here (Debian: {package})")
    return subprocess.run(
        [found, *arguments], input=text, capture_output=True, text=True, check=False
    )


def _cover(user: int) -> None:
    """
    Cover sockets whose owners would go past the gateway.

    @param user: the user's number outside.
    @raise OSError: one cannot be covered.
    """
    places = [Path(each) for each in _COVERED]
    for of in (f"/run/user/{user}", os.environ.get("XDG_RUNTIME_DIR", "")):
        if of:
            places += [Path(of) / each for each in _COVERED_OF_USER]
    for place in dict.fromkeys(places):
        try:
            place.lstat()
        except OSError:
            # It is not there, or this user may not go there.
            continue
        if place.is_dir():
            _mounted(b"tmpfs", os.fsencode(place), b"tmpfs", 0)
        else:
            _mounted(b"/dev/null", os.fsencode(place), None, _BIND)


def openDoors() -> list[socket.socket]:
    """
    Return the sockets that everything comes to: of IPv4 for TCP and UDP, then of IPv6.

    @raise NotRun: there are none.
    """
    doors = []
    try:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                door = socket.socket(family, kind)
                foreign(door)
                door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bindForeign(door, Address.parse(host), _DOOR)
                if kind == socket.SOCK_STREAM:
                    door.listen(_BACKLOG)
                else:
                    receiveOriginals(door)
                doors.append(door)
    except OSError as e:
        raise NotRun(f"the namespace has no sockets of TPROXY: {e}") from None
    return doors


def disinherit() -> None:
    """
    Close what this process has inherited that leads past its network.

    Sockets are of the network outside, and directories of its mounts, where nothing is
    covered. Files and pipes remain, and so do the standard streams.
    """
    for name in os.listdir("/proc/self/fd"):
        # The directory that is read here is closed already.
        with suppress(OSError):
            mode = os.fstat(int(name)).st_mode
            if int(name) > _STANDARD and (stat.S_ISSOCK(mode) or stat.S_ISDIR(mode)):
                os.close(int(name))


def renounce(ids: tuple[int, int]) -> None:
    """
    Have this process be an ordinary user again, without power over its network.

    @param ids: user and group, as they are outside.
    @raise OSError: the system does not do that.
    """
    _unshared(_NEW_USER)
    _mapped(ids, (0, 0))


def _unshared(what: int) -> None:
    if _libc.unshare(what):
        raise _failure()


def _mapped(inside: tuple[int, int], outside: tuple[int, int]) -> None:
    """
    Tell which user and group this process is in its new user namespace.

    @raise OSError: the system does not do that.
    """
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    for name, number, of in zip(("uid_map", "gid_map"), inside, outside, strict=True):
        (own / name).write_text(f"{number} {of} 1")


def _mounted(source: bytes, target: bytes, kind: bytes | None, flags: int) -> None:
    if _libc.mount(source, target, kind, flags, None):
        raise _failure()


def _failure() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
