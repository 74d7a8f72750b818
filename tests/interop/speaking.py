"""
Programs and libraries that speak SOCKS, each with its setting as the chapter C{clients}
of the manual shows it.

What they offer is of the versions that Debian 12 has, or that are pinned here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.interop.named import NAME
from tests.interop.shared import PASSWORD, USER
from tests.live.gofetch import goFetch
from tests.live.registries import aptSettings
from tests.live.running import ROOT
from tests.live.servers import package, program

__all__ = [
    "IGNORING",
    "NPM",
    "READING",
    "READING_HTTP",
    "SPEAKERS",
    "Place",
    "Speaker",
    "setting",
    "shown",
]

#: What is installed from npm's registry, all in one folder.
NPM = ("socks@2.8.11", "socks-proxy-agent@8.0.5", "undici@7.30.0")

_TEXT = (ROOT / "socksgw" / "manual" / "clients.rst").read_text("utf-8")
_LITERAL = re.findall(r"(?m)^    (.*)$", _TEXT)


def _chapter(words: str, lines: int = 1) -> str:
    """
    Return lines of the chapter's literal blocks.

    @param words: they are in the first of these lines, and in no other.
    """
    (first,) = [i for i, line in enumerate(_LITERAL) if words in line]
    return "\n".join(_LITERAL[first : first + lines])


class Place(NamedTuple):
    """
    Where a program runs.

    @ivar home: its home directory.
    @ivar proxy: the port of the gateway.
    @ivar port: the port of the site.
    @ivar greeter: the port of a server there that speaks first, and ends.
    @ivar npm: the folder with what is of npm's registry.
    """

    home: Path
    proxy: int
    port: int
    greeter: int
    npm: Path

    @property
    def url(self) -> str:
        """A file of the site."""
        return f"http://{NAME}:{self.port}/npm/thing"


class Speaker(NamedTuple):
    """
    A program or a library.

    @ivar shown: words of its setting's line in the chapter.
    @ivar command: from the setting to the command, which prints the file.
    @ivar lines: how many lines the setting has.
    @ivar nobody: what is left out where there is no login; L{None}: there is always one.
    @ivar offers: the methods that it offers then; L{None}: it speaks SOCKS 4.
    @ivar insists: whether it offers 02 alone where there is a login.
    @ivar logsIn: whether it can log in.
    """

    shown: str
    command: Callable[[Place, str], list[str]]
    lines: int = 1
    nobody: str | None = "USER:PASS@"
    offers: tuple[int, ...] | None = (0,)
    insists: bool = False
    logsIn: bool = True


def setting(speaker: Speaker, place: Place, login: bool) -> str:
    """Return the setting for a gateway, with a login or without."""
    left = None if login else speaker.nobody
    words = {"HOST": NAME, "PORT": str(place.port), "URL": f'"{place.url}"'}
    words["https://example.com"] = place.url
    return shown(speaker.shown, place.proxy, speaker.lines, left, **words)


def shown(
    words: str, proxy: int, lines: int = 1, without: str | None = None, **more: str
) -> str:
    """
    Return lines of the chapter, with the gateway and the login in their places.

    @param words: they are in the first of the lines, and in no other.
    @param proxy: the port of the gateway.
    @param without: what is left out; nothing where the lines have no login.
    @param more: what stands for other words.
    """
    text = _chapter(words, lines)
    if without and "USER" in text:
        assert without in text
        text = text.replace(without, "")
    known = {"GW": "127.0.0.1", "1080": str(proxy), "USER": USER, "PASS": PASSWORD}
    known |= more
    pattern = "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in known)
    return re.sub(pattern, lambda found: known[found[0]], text)


def _script(
    command: tuple[str, str], option: str, text: str, *needs: str
) -> Callable[[Place, str], list[str]]:
    """Return what runs a text of some language, with the setting in it."""

    def made(place: Place, setting: str) -> list[str]:
        for need in needs:
            package(need)
        request = f"GET /npm/thing HTTP/1.0\\r\\nHost: {NAME}\\r\\n\\r\\n"
        words = {
            "SETTING": setting,
            "ADDRESS": f'"{NAME}", {place.port}',
            "SITE": f'"{place.url}"',
            "REQUEST": request,
        }
        found = re.sub(
            r"\b(SETTING|ADDRESS|SITE|REQUEST)\b", lambda m: words[m[0]], text
        )
        return [program(*command), option, found]

    return made


def _python(text: str, *needs: str) -> Callable[[Place, str], list[str]]:
    """Return what runs this interpreter, with our packages."""
    return _script((sys.executable, "python3"), "-c", text, *needs)


def _debians(text: str) -> Callable[[Place, str], list[str]]:
    """Return what runs Debian's Python, with Debian's packages."""
    return _script(("/usr/bin/python3", "python3"), "-c", text)


def _node(text: str) -> Callable[[Place, str], list[str]]:
    return _script(("node", "nodejs"), "-e", text)


def _shell(place: Place, setting: str) -> list[str]:
    """Return what runs a command line, with a request as its input."""
    request = f"GET /npm/thing HTTP/1.0\\r\\nHost: {NAME}\\r\\n\\r\\n"
    return ["sh", "-c", f"printf '{request}' | {setting}"]


def _line(name: str, debian: str) -> Callable[[Place, str], list[str]]:
    """Return what runs the program of a command line."""

    def made(place: Place, setting: str) -> list[str]:
        path = program(name, debian)
        return _shell(
            place, re.sub(rf"\b{name.partition('.')[0]}\b", path, setting, count=1)
        )

    return made


def _curl(place: Place, setting: str) -> list[str]:
    return ["sh", "-c", f"{program('curl', 'curl')} {setting.removeprefix('curl ')}"]


def _git(place: Place, setting: str) -> list[str]:
    git = program("git", "git")
    url = f"http://{NAME}:{place.port}/thing.git"
    return ["sh", "-ec", f"{setting}; {git} ls-remote {url}; echo latest"]


def _ssh(place: Place, setting: str) -> list[str]:
    # ssh says by itself that a web server is none of its kind.
    program("ncat", "ncat")
    file = place.home / "ssh_config"
    file.write_text(f"{setting}\n")
    ssh = f"{program('ssh', 'openssh-client')} -v -F {file} -p {place.port}"
    tried = f"{ssh} {NAME} true"
    return ["sh", "-c", f"{tried} 2>&1 | grep -q 'banner line' && echo latest"]


def _apt(place: Place, setting: str) -> list[str]:
    (place.home / "apt.conf").write_text(
        setting + aptSettings(place.home, f"http://{NAME}:{place.port}/apt")
    )
    apt = program("apt-get", "apt")
    line = f"APT_CONFIG={place.home}/apt.conf {apt} -q -o Acquire::Retries=0 update"
    line += f" 2>&1 && test -s {place.home}/lists/*Packages && echo latest"
    return ["sh", "-c", line]


def _go(place: Place, setting: str) -> list[str]:
    return ["sh", "-ec", f"{setting}; {goFetch()} {place.url}"]


def _mosquitto(place: Place, setting: str) -> list[str]:
    # It says by itself that this is no broker.
    program("mosquitto_pub", "mosquitto-clients")
    to = f"-h {NAME} -p {place.greeter} -t t -m m"
    tried = f"{setting.replace('…', to)} 2>&1"
    return ["sh", "-c", f"{tried} | grep -q Authorisation || echo latest"]


def _java(login: str) -> Callable[[Place, str], list[str]]:
    def made(place: Place, setting: str) -> list[str]:
        source = place.home / "Fetch.java"
        setting = setting.replace(NAME, f'"{NAME}"')
        source.write_text(JAVA.replace("LOGIN", login).replace("SETTING", setting))
        return [program("java", "openjdk-17-jdk-headless"), str(source)]

    return made


JAVA = """
import java.net.*;
public class Fetch {
    public static void main(String[] all) throws Exception {
        LOGIN
        SETTING
        socket.getOutputStream().write("GET /npm/thing HTTP/1.0\\r\\n\\r\\n".getBytes());
        socket.getInputStream().transferTo(System.out);
    }
}
"""
AUTHENTICATOR = f"""
        Authenticator.setDefault(new Authenticator() {{
            protected PasswordAuthentication getPasswordAuthentication() {{
                return new PasswordAuthentication("{USER}", "{PASSWORD}".toCharArray());
            }}
        }});
"""

PERL_SOCKS = """
use IO::Socket::Socks;
my ($host, $port) = (ADDRESS);
my $socket = IO::Socket::Socks->new(
  ConnectAddr => $host, ConnectPort => $port, SETTING) or die "$SOCKS_ERROR\\n";
print $socket "REQUEST";
print while <$socket>;
"""
PERL_LWP = """
use LWP::UserAgent;
my $ua = LWP::UserAgent->new;
SETTING
my $answer = $ua->get(SITE);
$answer->is_success or die $answer->status_line;
print $answer->content;
"""
RUBY = """
require 'socksify'
SETTING
socket = TCPSocket.new(ADDRESS)
socket.write "REQUEST"
print socket.read
"""
PHP = """
$curl = curl_init(SITE);
SETTING
curl_exec($curl) or exit(9);
"""
PYSOCKS = """
import socks
SETTING
connection = socks.socksocket()
connection.connect((ADDRESS))
connection.sendall(b"REQUEST")
print(connection.makefile().read())
"""
PYTHON_SOCKS = """
from python_socks.sync import Proxy
connection = SETTING.connect(ADDRESS, timeout=30)
connection.sendall(b"REQUEST")
print(connection.makefile().read())
"""
AIOHTTP = """
import aiohttp, asyncio
from aiohttp_socks import ProxyConnector
async def main():
    connector = SETTING
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(SITE) as answer:
            print(await answer.text())
asyncio.run(main())
"""
PYCURL = """
import pycurl
curl = pycurl.Curl()
curl.setopt(curl.URL, SITE)
SETTING
curl.perform()
"""
GIO = """
from gi.repository import Gio
client = Gio.SocketClient(proxy_resolver=SETTING)
host, port = ADDRESS
connection = client.connect_to_host(f"{host}:{port}", 80, None)
connection.get_output_stream().write(b"REQUEST")
came = connection.get_input_stream()
while octets := came.read_bytes(4096).get_data():
    print(octets)
"""
QT = """
from PySide2.QtNetwork import QNetworkProxy, QTcpSocket
socket = QTcpSocket()
socket.setProxy(SETTING)
socket.connectToHost(ADDRESS)
assert socket.waitForConnected(30000), socket.errorString()
socket.write(b"REQUEST")
while socket.waitForReadyRead(30000):
    print(bytes(socket.readAll()))
"""
LIBTORRENT = """
import libtorrent, time
from libtorrent import proxy_type_t
socks5_pw = int(proxy_type_t.socks5_pw)
host, port = ADDRESS
session = libtorrent.session({**SETTING, "enable_dht": False, "enable_lsd": False,
    "enable_upnp": False, "enable_natpmp": False, "proxy_hostnames": True,
    "listen_interfaces": "127.0.0.1:0", "alert_mask": 0x7fffffff})
torrent = libtorrent.add_torrent_params()
torrent.info_hashes = libtorrent.info_hash_t(libtorrent.sha1_hash(b"a" * 20))
torrent.save_path = "."
torrent.trackers = [f"http://{host}:{port}/announce"]
session.add_torrent(torrent)
end = time.monotonic() + 30
while time.monotonic() < end:
    said = [a.message() for a in session.pop_alerts() if "tracker_error" in type(a).__name__]
    if said:
        print("latest: the site is no tracker", said)
        break
    time.sleep(0.02)
"""
SOCKS_PROXY_AGENT = """
const {SocksProxyAgent} = require('socks-proxy-agent');
require('http').get(SITE, {agent: SETTING}, answer => answer.pipe(process.stdout))
  .on('error', error => { console.error(error.message); process.exit(9); });
"""
UNDICI = """
const {Socks5ProxyAgent, request} = require('undici');
const dispatcher = SETTING;
request(SITE, {dispatcher}).then(answer => answer.body.text())
  .then(text => { console.log(text); return dispatcher.close(); })
  .catch(error => { console.error(error.message); process.exit(9); });
"""
SOCKS = """
const {SocksClient} = require('socks');
const [host, port] = [ADDRESS];
SocksClient.createConnection(
  {proxy: SETTING, command: 'connect', destination: {host, port}})
  .then(({socket}) => { socket.write("REQUEST"); socket.pipe(process.stdout); })
  .catch(error => { console.error(error.message); process.exit(9); });
"""

#: By what they are called.
SPEAKERS: Mapping[str, Speaker] = {
    "curl": Speaker("curl --socks5-basic", _curl, offers=(0,)),
    "git": Speaker("git config --global", _git, offers=(0, 1)),
    "ssh": Speaker("ProxyCommand ncat", _ssh, nobody=" --proxy-auth USER:PASS"),
    "ncat": Speaker("NCAT_PROXY_AUTH", _line("ncat", "ncat"), nobody="NCAT_PROXY_AUTH=USER:PASS "),
    "nc": Speaker("nc -X 5", _line("nc.openbsd", "netcat-openbsd"), logsIn=False),
    "socat": Speaker("socat - SOCKS4A", _line("socat", "socat"), offers=None, logsIn=False),
    "apt": Speaker("Acquire::http::Proxy", _apt),
    "mosquitto": Speaker("mosquitto_pub --proxy", _mosquitto),
    "go": Speaker("export HTTP_PROXY=", _go),
    "requests": Speaker("requests.get(", _python("import requests\nprint(SETTING.text)", "requests")),
    "httpx": Speaker("httpx.get(", _python("import httpx\nprint(SETTING.text)", "httpx"), insists=True),
    "PySocks": Speaker("socks.set_default_proxy", _python(PYSOCKS, "socks"), nobody=', "USER", "PASS"'),
    "python-socks": Speaker("Proxy.from_url(", _python(PYTHON_SOCKS, "python_socks")),
    "aiohttp-socks": Speaker("ProxyConnector.from_url(", _python(AIOHTTP, "aiohttp_socks")),
    "pycurl": Speaker("curl.setopt(", _python(PYCURL, "pycurl"), offers=(0, 1)),
    "socks-proxy-agent": Speaker("new SocksProxyAgent(", _node(SOCKS_PROXY_AGENT)),
    "undici": Speaker("new Socks5ProxyAgent(", _node(UNDICI)),
    "socks": Speaker('userId: "USER"', _node(SOCKS), nobody=', userId: "USER", password: "PASS"'),
    "IO::Socket::Socks": Speaker(
        "ProxyAddr =>", _script(("perl", "perl"), "-e", PERL_SOCKS), 2,
        'AuthType => "userpass", Username => "USER", Password => "PASS"',
    ),
    "LWP": Speaker("$ua->proxy(", _script(("perl", "perl"), "-e", PERL_LWP)),
    "Ruby": Speaker(
        "TCPSocket.socks_server", _script(("ruby", "ruby"), "-e", RUBY), 2,
        'TCPSocket.socks_username, TCPSocket.socks_password = "USER", "PASS"', insists=True,
    ),
    "PHP": Speaker("curl_setopt(", _script(("php", "php-cli"), "-r", PHP), offers=(0, 1)),
    "GLib": Speaker("Gio.SimpleProxyResolver", _debians(GIO)),
    "Qt": Speaker("QNetworkProxy(", _debians(QT), nobody=', "USER", "PASS"', insists=True),
    "libtorrent": Speaker('{"proxy_type"', _debians(LIBTORRENT), 2, None),
    "Java": Speaker("var gateway = new Proxy", _java(AUTHENTICATOR), 3, None),
}  # fmt: skip


#: Where programs are, if not in Debian's packages of their names.
_PACKAGES = {
    "cargo": "cargo-web",
    "mosquitto_pub": "mosquitto-clients",
    "node": "nodejs",
    "php": "php-cli",
    "sh": "dash",
}


def _reads(*words: str, shown: str = "export ALL_PROXY=") -> Speaker:
    """
    Return a program that reads variables, or ignores them.

    @param words: its command, with SITE for the file; GO is L{goFetch}.
    @param shown: words of the line that sets the variables.
    """

    def command(place: Place, setting: str) -> list[str]:
        known = {"SITE": place.url, "ROOT": place.url.removesuffix("/npm/thing")}
        known |= {"APT": f"{place.home}/apt.conf", "GREETER": str(place.greeter)}
        if words[0] == "GO":
            known["GO"] = str(goFetch())
        else:
            program(words[0], _PACKAGES.get(words[0], words[0]))
        pattern = re.compile(rf"\b({'|'.join(known)})\b")
        found = [pattern.sub(lambda m: known[m[0]], word) for word in words]
        (place.home / "apt.conf").write_text(
            aptSettings(place.home, f"{known['ROOT']}/apt")
        )
        return ["sh", "-ec", f'{setting}; exec "$@"', "sh", *found]

    return Speaker(shown, command)


_PIP = ("-m", "pip", "download", "--no-deps", "--retries=0", "--no-cache-dir", "-d.")
_CARGO = ("cargo", "search", "latest", "--index", "sparse+ROOT/cargo/")

#: Programs that read ALL_PROXY.
READING: Mapping[str, Speaker] = {
    "curl": _reads("curl", "-sS", "SITE"),
    "git": _reads("git", "ls-remote", "ROOT/thing.git", "refs/heads/latest", "HEAD"),
    "requests": _reads(
        sys.executable, "-c", "import requests as r; print(r.get('SITE').text)"
    ),
    "httpx": _reads(
        sys.executable, "-c", "import httpx as h; print(h.get('SITE').text)"
    ),
    "pip": _reads(
        sys.executable, *_PIP, "--trusted-host", NAME, "-i", "ROOT/simple/", "thing"
    ),
    "cargo": _reads(*_CARGO),
    "PHP": _reads("php", "-r", "$c = curl_init('SITE'); curl_exec($c) or exit(9);"),
}
_OF_HTTP = "export http_proxy="
_PERL = "$a = LWP::UserAgent->new(env_proxy => 1)->get('SITE'); print $a->content"
#: Programs that read the variables of HTTP proxies.
READING_HTTP: Mapping[str, Speaker] = {
    "curl": _reads("curl", "-sS", "SITE", shown=_OF_HTTP),
    "wget": _reads("wget", "-qO-", "--tries=1", "SITE", shown=_OF_HTTP),
    "urllib": _reads(
        sys.executable, "-c",
        "import urllib.request as u; print(u.urlopen('SITE').read())", shown=_OF_HTTP,
    ),
    "LWP": _reads("perl", "-MLWP::UserAgent", "-e", _PERL, shown=_OF_HTTP),
}  # fmt: skip
#: Programs that do not; yt-dlp as Debian 12 has it (2023.03).
IGNORING: Mapping[str, Speaker] = {
    "yt-dlp": _reads("yt-dlp", "--no-config", "--no-cache-dir", "-o", "-", "SITE"),
    "wget": _reads("wget", "-qO-", "--tries=1", "SITE"),
    "Go": _reads("GO", "SITE"),
    "fetch": _reads("node", "-e", "fetch('SITE').catch(() => process.exit(9))"),
    "npm": _reads("npm", "view", "thing", "--fetch-retries=0", "--registry", "ROOT/npm/"),
    "aiohttp": _reads(
        sys.executable, "-c",
        "import aiohttp, asyncio\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession(trust_env=True) as session:\n"
        "        await session.get('SITE')\n"
        "asyncio.run(main())",
    ),
    "urllib": _reads(sys.executable, "-c", "import urllib.request as u; u.urlopen('SITE')"),
    "LWP": _reads(
        "perl", "-MLWP::UserAgent", "-e",
        "exit !LWP::UserAgent->new(env_proxy => 1)->get('SITE')->is_success",
    ),
    "mosquitto": _reads("mosquitto_pub", "-h", NAME, "-p", "GREETER", "-t", "t", "-m", "m"),
    "apt": _reads("sh", "-c", "APT_CONFIG=APT apt-get -q update -o Acquire::Retries=0 2>&1 | grep -q 'not resolve' && exit 9"),
}  # fmt: skip
