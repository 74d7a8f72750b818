"""
Lines of the journal in ECS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from socksgw.audit.formats.ecs import ecs
from socksgw.audit.formats.facts import Origin
from tests.tools.journallines import LINES, ofEvery


def _of(fields: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ecs(fields, Origin("edge-1", "0.1.0")))
    return document


def test_request() -> None:
    """Both ends, the user and the rule have the fields of the schema."""
    found = _of(LINES["allowed"])
    assert found["@timestamp"] == "2026-11-28T02:14:15.003456Z"
    assert found["source"] == {"address": "192.0.2.7", "ip": "192.0.2.7", "port": 40000}
    assert found["destination"] == {
        "address": "db.corp.example",
        "domain": "db.corp.example",
        "ip": "198.51.100.3",
        "port": 443,
    }
    assert found["network"] == {"transport": "tcp", "direction": "outbound"}
    assert found["rule"] == {"id": "engineers"}
    assert found["user"]["group"] == [{"name": "engineers"}, {"name": "staff"}]
    assert found["event"]["type"] == ["connection", "start", "allowed"]
    assert found["observer"]["name"] == "edge-1"
    assert found["socksgw"]["verdict"] == "allow"


def test_policyAndTLS() -> None:
    """The schema wants hashes and serial numbers in capitals."""
    found = _of(LINES["in TLS"])
    assert found["rule"] == {"id": "engineers", "version": "0123456789ab"}
    assert found["tls"] == {
        "version": "1.3",
        "version_protocol": "tls",
        "curve": "X25519",
        "client": {
            "hash": {"sha256": "5A" * 32},
            "x509": {"serial_number": "0A1B"},
        },
    }


def test_end() -> None:
    """Octets stand at the end that has sent them; durations are in nanoseconds."""
    found = _of(LINES["closed"])
    assert found["source"]["bytes"] == 1200
    assert found["destination"]["bytes"] == 88000
    assert found["network"]["bytes"] == 89200
    assert found["event"]["duration"] == 2_125_000_000


def test_serverNames() -> None:
    """The name that TLS asks for, and the host of a request in clear text."""
    end = {**LINES["closed"], "server_name": "a.example"}
    tls, http = (_of({**end, "application": each}) for each in ("tls", "http"))
    assert tls["tls"]["client"]["server_name"] == "a.example"
    assert (http["url"]["domain"], "tls" in http) == ("a.example", False)


@pytest.mark.parametrize(
    "fields", [*LINES.values(), *ofEvery()], ids=lambda each: str(each["event"])
)
def test_everyEvent(fields: Mapping[str, Any]) -> None:
    """Every event has a document with the fields that the schema always wants."""
    found = _of(fields)
    assert found["ecs"]["version"]
    assert found["event"]["action"] == fields["event"]
    # The allowed values of event.category and event.type go together.
    types = {
        "network": {"access", "allowed", "connection", "denied", "end", "info",
                    "protocol", "start"},
        "authentication": {"end", "info", "start"},
        "process": {"access", "change", "end", "info", "start"},
    }  # fmt: skip
    (category,) = found["event"]["category"]
    assert set(found["event"]["type"]) <= types[category]


def test_bounded() -> None:
    """However long a line is, its document is short."""
    fields = {**LINES["denied"], "groups": ["g" * 500] * 5000, "why": "x" * 100_000}
    assert len(ecs(fields, Origin("edge-1", "0.1.0"))) <= 7168
