"""
What C{socksgw client-config PROGRAM} prints, put where it says, and the program run.

The gateway is that of L{tests.interop.named}: who reaches the site has let the gateway
look its name up.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.clients.programs import PROGRAMS
from tests.interop.named import CONFIGURATION, NAME
from tests.interop.shared import PASSWORD, USER
from tests.interop.speaking import SPEAKERS
from tests.live import raw
from tests.live.browser import headless
from tests.live.gofetch import goFetch
from tests.live.registries import FileServer, aptSettings
from tests.live.running import ROOT, Running, socksgw
from tests.live.servers import Destination, program
from tests.tools.certificates import Authority, pemOf, server


def printed(*arguments: str) -> str:
    """What is printed of a gateway that is known by its address."""
    done = socksgw("client-config", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Place:
    """
    Where one program runs, with what was printed for it.

    @ivar text: the settings, with the password in its place.
    @ivar home: the program's home directory.
    @ivar url: the site.
    @ivar greeter: the port of a server that speaks first.
    @ivar extra: variables of the environment besides.
    """

    def __init__(self, text: str, home: Path, port: int, greeter: int = 0) -> None:
        self.greeter = greeter
        self.text = text.replace("PASSWORD", PASSWORD)
        self.home = home
        self.port = port
        self.url = f"http://{NAME}:{port}"
        self.extra: dict[str, str] = {}
        self.stdin = b""

    def file(self, name: str, more: str = "") -> Path:
        """Write the settings to a file below the home directory."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(self.text + more)
        path.chmod(0o600)
        return path

    @property
    def lines(self) -> list[str]:
        """The settings without comments."""
        return [line for line in self.text.splitlines() if not line.startswith("#")]

    def command(self) -> list[str]:
        """The settings as a command, which is given a request of HTTP."""
        self.stdin = f"GET /npm/thing HTTP/1.0\r\nHost: {NAME}\r\n\r\n".encode()
        (line,) = self.lines
        line = line.replace("HOST", NAME).replace(" PORT", f" {self.port}")
        return ["sh", "-c", line.replace(":PORT,", f":{self.port},")]


def _curl(place: Place) -> list[str]:
    place.file(".curlrc")
    return [program("curl", "curl"), "-sS", f"{place.url}/npm/thing"]


def _git(place: Place) -> list[str]:
    place.file(".gitconfig")
    return [program("git", "git"), "ls-remote", f"{place.url}/thing.git"]


def _wget(place: Place) -> list[str]:
    place.file(".wgetrc")
    return [program("wget", "wget"), "-qO-", "--tries=1", f"{place.url}/npm/thing"]


def _pip(place: Place) -> list[str]:
    place.file(".config/pip/pip.conf")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--retries", "0"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "-d", str(place.home)]
    return [
        *command,
        "--trusted-host",
        NAME,
        "-i",
        f"{place.url}/simple/",
        "thing",
    ]


def _npm(place: Place) -> list[str]:
    place.file(".npmrc")
    command = [program("npm", "npm"), "view", "thing", "--fetch-retries=0"]
    return [*command, "--registry", f"{place.url}/npm/"]


def _apt(place: Place) -> list[str]:
    settings = aptSettings(place.home, f"{place.url}/apt")
    place.extra["APT_CONFIG"] = str(place.file("apt.conf", settings))
    return [program("apt-get", "apt"), "-q", "update"]


def _environment(place: Place) -> list[str]:
    # It stands in a file that shells read.
    file = place.file(".profile")
    fetch = f"{program('curl', 'curl')} -sS {place.url}/npm/thing"
    return ["sh", "-c", f". {file}; {fetch}"]


def _cargo(place: Place) -> list[str]:
    place.file(".cargo/config.toml")
    # Where a program called so is rustup's: of which it chooses.
    place.extra["RUSTUP_HOME"] = os.environ.get("RUSTUP_HOME", f"{Path.home()}/.rustup")
    index = f"sparse+{place.url}/cargo/"
    return [program("cargo", "cargo-web"), "search", "latest", "--index", index]


def _go(place: Place) -> list[str]:
    file = place.file(".profile")
    return ["sh", "-c", f". {file}; {goFetch()} {place.url}/npm/thing"]


def _piped(place: Place) -> list[str]:
    return place.command()


def _nc(place: Place) -> list[str]:
    # There are others of its name.
    shell, option, line = place.command()
    return [shell, option, line.replace("nc", program("nc.openbsd", "netcat-openbsd"))]


def _ssh(place: Place) -> list[str]:
    # ssh says by itself that a web server is none of its kind.
    place.file(".ssh/config")
    (place.home / ".ssh" / "proxy-password").write_text(f"{PASSWORD}\n")
    command = [
        program("ssh", "openssh-client"),
        "-v",
        "-F",
        f"{place.home}/.ssh/config",
    ]
    command += ["-p", str(place.port), NAME, "true"]
    return ["sh", "-c", f"! HOME={place.home} {' '.join(command)} 2>&1"]


def _chromium(place: Place) -> list[str]:
    (line,) = place.lines
    words = line.split()
    assert words[0] == "chromium"
    command = [*headless(place.home), *words[1:], "--dump-dom"]
    return [*command, f"{place.url}/simple/thing/"]


JAVA = """
public class Fetch {
    public static void main(String[] all) throws Exception {
        new java.net.URL(all[0]).openStream().transferTo(System.out);
    }
}
"""


def _java(place: Place) -> list[str]:
    source = place.home / "Fetch.java"
    source.write_text(JAVA)
    file = place.file(".profile")
    java = program("java", "openjdk-17-jdk-headless")
    return ["sh", "-c", f". {file}; {java} {source} {place.url}/npm/thing"]


def _proxychains(place: Place) -> list[str]:
    file = place.file(".proxychains/proxychains.conf")
    fetch = [program("curl", "curl"), "-sS", f"{place.url}/npm/thing"]
    return [program("proxychains4", "proxychains4"), "-q", "-f", str(file), *fetch]


def _socksify(place: Place) -> list[str]:
    place.extra["SOCKS_CONF"] = str(place.file("dante.conf"))
    place.extra["SOCKS_USERNAME"] = USER
    place.extra["SOCKS_PASSWORD"] = PASSWORD
    if library := os.environ.get("SOCKS_LIBRARY"):
        # socksify preloads it by its name alone.
        place.extra["LD_LIBRARY_PATH"] = str(Path(library).parent)
    fetch = [program("wget", "wget"), "-qO-", "--tries=1", f"{place.url}/npm/thing"]
    return [program("socksify", "dante-client"), *fetch]


def _firefox(place: Place) -> list[str]:
    profile = place.file("profile/user.js").parent
    command = [program("firefox-esr", "firefox-esr"), "--headless", "--no-remote"]
    command += ["--profile", str(profile), "--screenshot", f"{place.home}/seen.png"]
    command += [f"{place.url}/simple/thing/"]
    return ["sh", "-c", f"{' '.join(command)} 2>&1; ls {place.home}"]


def _mosquitto(place: Place) -> list[str]:
    # It says by itself that this is no broker.
    place.port = place.greeter
    place.file(".config/mosquitto_pub")
    command = program("mosquitto_pub", "mosquitto-clients")
    return ["sh", "-c", f"! {command} -h {NAME} -p {place.port} -t t -m m 2>&1"]


def _msmtp(place: Place) -> list[str]:
    place.port = place.greeter
    account = f"account default\nhost {NAME}\nport {place.greeter}\n"
    place.text = account + place.text
    place.file(".msmtprc")
    return [program("msmtp", "msmtp"), "--serverinfo"]


def _openvpn(place: Place) -> list[str]:
    place.port = place.greeter
    authority = Authority()
    server(authority).write(place.home, "own")
    (place.home / "ca.pem").write_bytes(pemOf(authority.certificate))
    login = place.home / "proxy-login"
    login.write_text(f"{USER}\n{PASSWORD}\n")
    login.chmod(0o600)
    more = f"client\ndev null\nproto tcp\nremote {NAME} {place.port}\n"
    more += "ca ca.pem\ncert own.pem\nkey own.key\n"
    more += "connect-retry-max 1\nremap-usr1 SIGTERM\n"
    file = place.file("client.ovpn", more)
    command = program("openvpn", "openvpn")
    return ["sh", "-c", f"{command} --cd {place.home} --config {file}"]


def _putty(place: Place) -> list[str]:
    more = f"\nProxyPassword={PASSWORD}\nHostName={NAME}\n"
    more += f"PortNumber={place.port}\nProtocol=ssh\n"
    place.file(".putty/sessions/site", more)
    # It says by itself that a web server is none of its kind.
    return ["sh", "-c", f"! {program('plink', 'putty-tools')} -batch -load site 2>&1"]


def _weechat(place: Place) -> list[str]:
    join = f"/server add s {NAME}/{place.port} -notls -proxy=gw"
    lines = [*place.lines, join, "/connect s", "/wait 2s /quit"]
    command = [program("weechat-headless", "weechat-headless"), "--stdout"]
    return [*command, *(word for line in lines for word in ("-r", line))]


def _ytdlp(place: Place) -> list[str]:
    place.file(".config/yt-dlp/config")
    command = [program("yt-dlp", "yt-dlp"), "--no-cache-dir", "--output", "-"]
    return [*command, f"{place.url}/npm/thing"]


#: How each program is run with what was printed; what it prints then; and whether it
#: can log in.
RUNS: Mapping[str, tuple[Callable[[Place], list[str]], str, bool]] = {
    "apt": (_apt, "Reading package lists", True),
    "cargo": (_cargo, "latest", True),
    "chromium": (_chromium, "thing-1.0", False),
    "curl": (_curl, "latest", True),
    "environment": (_environment, "latest", True),
    "firefox": (_firefox, "seen.png", False),
    "git": (_git, "refs/heads", True),
    "go": (_go, "latest", True),
    "java": (_java, "latest", False),
    "mosquitto": (_mosquitto, "", True),
    "msmtp": (_msmtp, "SMTP server at", False),
    "nc": (_nc, "latest", False),
    "ncat": (_piped, "latest", True),
    "npm": (_npm, "latest", True),
    "openvpn": (_openvpn, "Connection reset", True),
    "pip": (_pip, "Saved", True),
    "proxychains": (_proxychains, "latest", True),
    "putty": (_putty, "", True),
    "socat": (_piped, "latest", False),
    "socksify": (_socksify, "latest", True),
    "ssh": (_ssh, "banner line 0", True),
    "weechat": (_weechat, "", True),
    "wget": (_wget, "latest", True),
    "yt-dlp": (_ytdlp, "latest", True),
}


def _greets(connection: socket.socket) -> None:
    """Speak SMTP (RFC 5321) with whoever asks what this can do, and with nobody else."""
    connection.sendall(b"220 site.test\r\n")
    while connection.recv(1024).startswith(b"EHLO"):
        connection.sendall(b"250 site.test\r\n")


@pytest.mark.parametrize("listener", ["open", "login"])
@pytest.mark.parametrize("word", RUNS)
def test_asPrinted(
    named: Running,
    site: FileServer,
    destination: Callable[..., Destination],
    quiet: dict[str, str],
    tmp_path: Path,
    word: str,
    listener: str,
) -> None:
    """The program reaches the site by name, logged in where that is wanted."""
    prepare, words, logsIn = RUNS[word]
    port = named.ports[listener == "login"]
    (tmp_path / "gw.toml").write_text(
        (CONFIGURATION % 1).replace("127.0.0.1:0", f"127.0.0.1:{port}")
    )
    told = socksgw(
        *("client-config", word, "--config", "gw.toml"),
        *("--listener", listener, "--user", USER),
        cwd=tmp_path,
    )
    if listener == "login" and not logsIn:
        asked = "asks for user and password" in told.stdout
        given = "Authenticator" in told.stdout
        assert asked or given or told.returncode == 2
        return
    assert told.returncode == 0, told.stderr
    greeter = destination(_greets).port
    place = Place(told.stdout, Path(quiet["HOME"]), site.port, greeter)
    command = prepare(place)
    done: subprocess.CompletedProcess[Any] = subprocess.run(
        command,
        cwd=tmp_path,
        env={**quiet, **place.extra, **_inherited()},
        input=place.stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, said
    assert words in said, said
    line = raw.decision(named, place.port)
    assert (line["verdict"], line["listener"]) == ("allow", listener)
    assert line["user"] == (USER if listener == "login" else "anonymous")
    assert line["asked"] == NAME


def _inherited() -> dict[str, str]:
    return {
        each: os.environ[each]
        for each in ("SOCKS_LIBRARY", "PYTHONPATH")
        if each in os.environ
    }


@pytest.mark.parametrize("listener", ["open", "login"])
def test_torsocks(
    named: Running, quiet: dict[str, str], tmp_path: Path, listener: str
) -> None:
    """It asks for the address, and would refuse to connect to one of loopback."""
    port = named.ports[listener == "login"]
    login = ("--user", USER, "--login", "password" if listener == "login" else "none")
    text = printed("torsocks", "--proxy", f"127.0.0.1:{port}", *login)
    place = Place(text, Path(quiet["HOME"]), 0)
    done = subprocess.run(
        [program("torsocks", "torsocks"), "getent", "ahostsv4", NAME],
        env={**quiet, "TORSOCKS_CONF_FILE": str(place.file("torsocks.conf"))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split()[:1] == ["127.0.0.1"], done.stderr
    line = named.journal("decision")[-1]
    assert (line["command"], line["name"], line["listener"]) == (
        "resolve",
        NAME,
        listener,
    )


@pytest.mark.parametrize("listener", ["open", "login"])
def test_tsocks(
    named: Running, quiet: dict[str, str], tmp_path: Path, listener: str
) -> None:
    """It comes for addresses, and goes to those of loopback by itself."""
    port = named.ports[listener == "login"]
    login = ("--user", USER, "--login", "password" if listener == "login" else "none")
    text = printed("tsocks", "--proxy", f"127.0.0.1:{port}", *login)
    place = Place(text, Path(quiet["HOME"]), 0)
    fetch = [program("curl", "curl"), "-sS", "http://192.0.2.99/"]
    subprocess.run(
        [program("tsocks", "tsocks"), *fetch],
        env={**quiet, "TSOCKS_CONF_FILE": str(place.file("tsocks.conf"))},
        capture_output=True,
        timeout=60,
        check=False,
    )
    line = named.journal("decision")[-1]
    assert (line["asked"], line["listener"]) == ("192.0.2.99", listener)
    assert line["user"] == (USER if listener == "login" else "anonymous")


def test_everyProgramIsRun() -> None:
    """No program is printed for that was not seen to work."""
    assert set(PROGRAMS) == {*RUNS, "torsocks", "tsocks"}


#: Programs of tests beside these, and whether they log in: test_tinc and test_redsocks.
BESIDES = {"redsocks": True, "tinc": False, "torsocks": True, "tsocks": True}


def test_theTable() -> None:
    """
    The table of the chapter C{clients} has all that is run, and says what was seen:
    whether it logs in, and whether the gateway gets its names.
    """
    text = (ROOT / "socksgw" / "manual" / "clients.rst").read_text("utf-8")
    table = text.partition("Who looks names up\n")[2].partition("\n\n")[0]
    rows: list[list[str]] = []
    for line in table.splitlines()[1:-1]:
        cells = line[:44], line[44:51].strip(), line[51:]
        if cells[1]:
            rows.append(["", cells[1], ""])
        rows[-1][0] += cells[0]
        rows[-1][2] += cells[2]
    said = {
        name.partition("(")[0].strip().lower(): (login, names)
        for programs, login, names in rows
        for name in programs.split(",")
        if name.strip()
    }
    logins = {word: each[2] for word, each in RUNS.items() if word != "environment"}
    # Java logs in by a line of its program, and not by what is printed.
    logins |= {word.lower(): each.logsIn for word, each in SPEAKERS.items()}
    logins |= BESIDES
    assert {word: login == "yes" for word, (login, _) in said.items()} == logins
    itself = {
        w for w, (_, names) in said.items() if not names.startswith("the gateway")
    }
    assert itself == {"redsocks", "tinc", "tsocks"}
