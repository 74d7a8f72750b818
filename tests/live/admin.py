"""
A client of the admin interface, over a Unix socket or a port.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema

from socksgw.admin.openapi import description
from socksgw.admin.paths import ENTRIES, find

__all__ = ["AdminClient", "Answered"]


class Answered(NamedTuple):
    """
    What was answered.

    @ivar fields: of the header, in small letters.
    """

    status: int
    fields: Mapping[str, str]
    octets: bytes

    @property
    def json(self) -> Any:
        """What the body says."""
        return json.loads(self.octets)


class _Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))


class AdminClient:
    """Asks at one place, as one caller."""

    def __init__(self, place: Path | int, token: str = "") -> None:
        """
        @param place: the path of a Unix socket, or a port on loopback.
        """
        self.place = place
        self.token = token

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        **fields: str,
    ) -> Answered:
        """
        Ask for something.

        @param body: sent as JSON; octets as they are.
        @param fields: more of the header, with _ for -.
        """
        connection: http.client.HTTPConnection = (
            _Local(self.place)
            if isinstance(self.place, Path)
            else http.client.HTTPConnection("127.0.0.1", self.place, timeout=30)
        )
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        octets = None
        if body is not None:
            octets = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, octets, headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            answered = Answered(answer.status, found, answer.read())
        finally:
            connection.close()
        if method != "HEAD":
            conforms(method, path.partition("?")[0], answered)
        return answered

    def get(self, path: str) -> Any:
        """Return what is answered, which must be no refusal."""
        answered = self.ask(path)
        assert answered.status == 200, answered
        return answered.json


#: The document that the gateway serves.
DOCUMENT: Any = description(ENTRIES)
_REFUSAL = DOCUMENT["components"]["schemas"]["Error"]


def conforms(method: str, path: str, answered: Answered) -> None:
    """See that an answer is one that the document has."""
    found = find(method, path)
    if found is None:
        assert answered.status in (400, 404, 405, 421)
        jsonschema.validate(answered.json, _REFUSAL)
        return
    operation = DOCUMENT["paths"][found[0].path][found[0].method.lower()]
    assert str(answered.status) in operation["responses"], (path, answered)
    content = operation["responses"][str(answered.status)]["content"]
    kind = answered.fields["content-type"]
    assert kind in content, (path, answered)
    if kind == "application/json":
        schema = content[kind]["schema"]
        jsonschema.validate(answered.json, _REFUSAL if "$ref" in schema else schema)
