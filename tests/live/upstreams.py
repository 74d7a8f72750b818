"""
Real gateways of others on loopback, for ours to go through.

Each function writes the configuration of a program into a directory, and returns the
command that serves at a port.
"""

from __future__ import annotations

import getpass
from pathlib import Path

from tests.live.servers import program
from tests.live.sshd import Sshd

__all__ = [
    "BAD_PORT",
    "dante",
    "microsocks",
    "privoxy",
    "squid",
    "ssh",
    "stunnel",
    "tinyproxy",
    "tor",
]

#: The port that those refuse which can be told to.
BAD_PORT = 22


def dante(port: int, directory: Path) -> list[str]:
    """Dante, whose rules refuse L{BAD_PORT}."""
    file = directory / "danted.conf"
    file.write_text(
        f"""
logoutput: {directory}/danted.log
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks block {{ from: 0.0.0.0/0 to: 0.0.0.0/0 port = {BAD_PORT} }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
"""
    )
    command = [program("danted", "dante-server"), "-f", str(file)]
    return [*command, "-p", str(directory / "danted.pid")]


def microsocks(port: int, user: str = "", password: str = "") -> list[str]:
    """
    Return the command of microsocks.

    @param user: whom it asks for, if for anybody.
    """
    command = [program("microsocks", "microsocks"), "-i", "127.0.0.1", "-p", str(port)]
    return [*command, "-u", user, "-P", password] if user else command


def tor(port: int, directory: Path) -> list[str]:
    """Tor, which reaches no network: its only way out is a proxy that is not there."""
    file = directory / "torrc"
    file.write_text(
        f"""
SocksPort 127.0.0.1:{port}
SocksTimeout 1
HTTPSProxy 127.0.0.1:1
DataDirectory {directory}/tor
Log notice file {directory}/tor.log
"""
    )
    nothing = directory / "torrc-defaults"
    nothing.touch()
    command = [program("tor", "tor"), "-f", str(file), "--defaults-torrc", str(nothing)]
    return [*command, "--quiet"]


def ssh(port: int, server: Sshd) -> list[str]:
    """C{ssh -D}, by a server that serves already."""
    command = [program("ssh", "openssh-client"), *server.options, "-N"]
    command += ["-D", f"127.0.0.1:{port}", "-p", str(server.port)]
    return [*command, "-l", getpass.getuser(), "127.0.0.1"]


def privoxy(port: int, directory: Path) -> list[str]:
    """Privoxy, which filters nothing, and refuses L{BAD_PORT}."""
    actions = directory / "privoxy.action"
    actions.write_text(f"{{+limit-connect{{1-{BAD_PORT - 1},{BAD_PORT + 1}-}}}}\n/\n")
    file = directory / "privoxy.conf"
    file.write_text(
        f"listen-address 127.0.0.1:{port}\nactionsfile {actions}\n"
        f"confdir /etc/privoxy\nlogdir {directory}\nsocket-timeout 60\n"
    )
    return [program("privoxy", "privoxy"), "--no-daemon", str(file)]


def squid(
    port: int, directory: Path, allow: str = "http_access allow all"
) -> list[str]:
    """
    Squid, whose rules refuse L{BAD_PORT}.

    @param allow: lines of its configuration that allow the rest.
    """
    file = directory / "squid.conf"
    file.write_text(
        f"""
http_port 127.0.0.1:{port}
acl bad port {BAD_PORT}
http_access deny bad
{allow}
cache deny all
access_log none
cache_log {directory}/cache.log
pid_filename none
coredump_dir {directory}
shutdown_lifetime 0 seconds
pinger_enable off
"""
    )
    # It gives up root for a user of its own, and keeps memory under the service's name.
    directory.chmod(0o777)
    command = [program("squid", "squid"), "-N", "-n", f"tests{port}"]
    return [*command, "-f", str(file)]


def tinyproxy(directory: Path, more: str, port: int) -> list[str]:
    """
    Return the command of tinyproxy.

    @param more: a line of its configuration, such as for a login.
    """
    file = directory / f"tinyproxy{port}.conf"
    file.write_text(f"Listen 127.0.0.1\nPort {port}\nTimeout 600\n{more}\n")
    return [program("tinyproxy", "tinyproxy-bin"), "-d", "-c", str(file)]


def stunnel(directory: Path, certificate: Path, more: str, port: int) -> list[str]:
    """
    Return the command of stunnel.

    @param certificate: PEM, with its key.
    @param more: what it does behind TLS, as a line of its configuration.
    """
    file = directory / f"stunnel{port}.conf"
    file.write_text(
        f"foreground = yes\npid =\n[s]\naccept = 127.0.0.1:{port}\n"
        f"cert = {certificate}\n{more}\n"
    )
    return [program("stunnel", "stunnel4"), str(file)]
