"""
Ask the running gateway, by its admin interface.
"""

from __future__ import annotations

import argparse
import errno
import http.client
import json
import socket
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import quote, urlencode, urlsplit

from socksgw.config.adminendpoint import parseAdminEndpoint
from socksgw.config.loading import load
from socksgw.config.schema import AdminConfig, Config
from socksgw.system.files import FileError
from socksgw.system.secretfile import SecretFile

__all__ = ["Live", "Unreached", "liveOf", "liveOptions", "refusedBy", "shown"]

#: Seconds that an answer may take: a reload, of many rules, is the longest.
_PATIENCE: Final = 120
#: Exit statuses: refused, or not found; wrong use; not reached.
REFUSED: Final = 1
WRONG: Final = 2
UNREACHED: Final = 3


class Unreached(Exception):
    """
    The gateway cannot be reached; the text is one line, with the remedy.

    @cvar status: the exit status.
    """

    status = UNREACHED


class _WrongUse(Unreached):
    """What was given is no place, or no token: nobody was asked."""

    status = WRONG


def liveOptions(parser: argparse.ArgumentParser) -> None:
    """Add the options that tell where the running gateway is, and who asks."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the gateway's configuration, whose [admin] says where to ask",
    )
    parser.add_argument(
        "--endpoint",
        metavar="PLACE",
        help="where to ask instead: unix:PATH, tcp:127.0.0.1:PORT, https://HOST:PORT",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="the token to ask with; root and the gateway's own user need none at a "
        "Unix socket",
    )
    parser.add_argument(
        "--ca",
        metavar="FILE",
        help="with https: the authority of its certificate; default: the system's",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def liveOf(options: argparse.Namespace) -> Live:
    """
    Return what asks the gateway that the options name.

    @raise Unreached: there is none, or no token to ask with.
    @raise ConfigError: something is wrong with the configuration.
    """
    token = ""
    if options.token_file is not None:
        try:
            token = SecretFile(options.token_file).read().decode("ascii", "replace")
        except FileError as e:
            raise _WrongUse(f"--token-file {e}") from None
    if options.endpoint is not None:
        return Live(options.endpoint, token, options.ca)
    if options.config is None:
        return Live(AdminConfig().endpoint[0], token, options.ca)
    return Live(_placeIn(load(options.config)), token, options.ca)


def _placeIn(config: Config) -> str:
    """
    Return where a configuration says that the gateway can be asked.

    @raise Unreached: nowhere.
    """
    if config.admin is None:
        raise Unreached(f"{config.file} has no [admin]: add it, and reload or restart")
    for kind in ("unix:", "tcp:"):
        for text in config.admin.endpoint:
            if text.startswith(kind):
                return text
    raise Unreached(
        f"{config.file}: the name of the host with [admin] is not known: give --endpoint "
        "https://HOST:PORT"
    )


class _Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path.replace("@", "\0", 1) if path.startswith("@") else path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(self._path)


@final
class Live:
    """
    A running gateway.

    @ivar place: where it is asked.
    """

    def __init__(self, place: str, token: str = "", ca: str | None = None) -> None:
        """
        Take the place; nobody is asked yet.

        @param token: to ask with; empty for none.
        @param ca: the file of an authority, for https.
        @raise Unreached: the place is none.
        """
        self.place = place
        self._token = token
        self._ca = ca
        self._make()

    def _make(self) -> http.client.HTTPConnection:
        """
        Return a connection that is not open yet.

        @raise Unreached: the place is none.
        """
        text = self.place
        try:
            if text.startswith(("https://", "http://")):
                url = urlsplit(text)
                if not url.hostname:
                    raise ValueError("has no host")
                if url.scheme == "http":
                    if url.hostname not in ("localhost", "127.0.0.1", "::1"):
                        raise ValueError("would show the token to the network")
                    return http.client.HTTPConnection(
                        url.hostname, url.port or 80, timeout=_PATIENCE
                    )
                context = ssl.create_default_context(cafile=self._ca)
                return http.client.HTTPSConnection(
                    url.hostname, url.port or 443, timeout=_PATIENCE, context=context
                )
            place = parseAdminEndpoint(text)
            if place.path:
                return _Local(place.path)
            if place.address is None:
                raise ValueError("is no place for a client: say https://HOST:PORT")
            host = "127.0.0.1" if place.address.isUnspecified else place.address.text
            return http.client.HTTPConnection(host, place.port, timeout=_PATIENCE)
        except (ValueError, OSError) as e:
            raise _WrongUse(f"{text}: {e}") from None

    def ask(
        self,
        path: str,
        method: str = "GET",
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> tuple[int, Any]:
        """
        Ask for something.

        @param query: the fields of the query; those that are L{None} are left out.
        @return: the status of HTTP, and what was answered.
        @raise Unreached: nobody answers.
        """
        given = {name: v for name, v in (query or {}).items() if v is not None}
        if given:
            path += "?" + urlencode(given, doseq=True, quote_via=quote)
        fields = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        octets = None
        if body is not None:
            octets = json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
        connection = self._make()
        try:
            connection.request(method, path, octets, fields)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException) as e:
            raise Unreached(f"{self.place}: {_remedy(e)}") from None
        except ValueError:
            raise Unreached(f"{self.place}: what answers there is no gateway") from None
        finally:
            connection.close()


def _remedy(error: Exception) -> str:
    """Return why nobody answers, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; --ca names whom to"
    if isinstance(error, TimeoutError):
        return f"no answer in {_PATIENCE} s"
    code = error.errno if isinstance(error, OSError) else None
    why = (error.strerror if isinstance(error, OSError) else "") or str(error)
    why = why or "the connection was closed"
    remedy = {
        errno.ENOENT: "does the gateway run, with [admin] in its configuration?",
        errno.ECONNREFUSED: "nobody listens: does the gateway run, with this [admin]?",
        errno.EACCES: "ask as root, as the gateway's user, or by a port with --token-file",
        errno.EPERM: "ask as root, as the gateway's user, or by a port with --token-file",
    }.get(code or 0, "")
    return f"{why}; {remedy}" if remedy else why


def refusedBy(status: int, answer: Any) -> int:
    """
    Print why the gateway has refused something.

    @param status: as L{Live.ask} returns it.
    @return: the exit status.
    """
    if not isinstance(answer, dict):
        # Something else answers there.
        answer = {"error": f"refused with the status {status}"}
    for line in answer.get("problems") or [answer.get("error", "refused")]:
        print(f"socksgw: {shown(line)}", file=sys.stderr)
    if status == 401:
        print(
            "socksgw: ask as root or the gateway's user at its Unix socket, or give "
            "--token-file FILE, the file of an [[admin.token]]",
            file=sys.stderr,
        )
    return WRONG if status == 400 else REFUSED


def shown(value: Any) -> str:
    """Return a value as a terminal may have it."""
    text = "-" if value is None or value == "" else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
