"""
Lines of the journal in OCSF, held against the public schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from socksgw.audit.formats.facts import Origin
from socksgw.audit.formats.ocsf import ocsf
from tests.tools.journallines import LINES, ofEvery

_ORIGIN = Origin("edge-1", "0.1.0")


@cache
def _validator(kind: int, *profiles: str) -> Draft202012Validator:
    """Return what finds faults in events of a class that have these profiles."""
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.5.0"))
    name = schema.lookup_class_name_from_uid(kind)
    return Draft202012Validator(schema.get_class_schema(name, list(profiles)))


def _event(fields: Mapping[str, Any]) -> dict[str, Any]:
    octets = ocsf(fields, _ORIGIN)
    assert octets is not None
    event: dict[str, Any] = json.loads(octets)
    validator = _validator(event["class_uid"], *event["metadata"]["profiles"])
    faults = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(event)]
    assert faults == []
    # A schema of JSON cannot say this.
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    return event


@pytest.mark.parametrize("name", LINES)
def test_schema(name: str) -> None:
    """Every line about a client is a valid event."""
    _event(LINES[name])


def test_everyEvent() -> None:
    """So are lines with all fields that the catalogue has; the others are left out."""
    kinds = {
        each["event"]: ocsf(each, _ORIGIN) and _event(each)["class_uid"]
        for each in ofEvery()
    }
    assert kinds["decision"] == kinds["flow-end"] == 4001
    assert kinds["login-failed"] == 3002
    assert kinds["start"] is kinds["reloaded"] is None


@pytest.mark.parametrize(
    ("name", "activity", "status"),
    [
        ("allowed", "Open", 1),
        ("denied", "Refuse", 2),
        ("closed", "Close", 1),
        ("reset", "Reset", 1),
        ("failed", "Fail", 2),
        ("flow ended", "Close", 1),
        ("refused", "Refuse", 2),
        ("refused at login", "Logon", 2),
        ("login failed", "Logon", 2),
    ],
)
def test_activities(name: str, activity: str, status: int) -> None:
    """What happened has the schema's word, and whether it succeeded."""
    event = _event(LINES[name])
    assert (event["activity_name"], event["status_id"]) == (activity, status)


def test_whoReachedWhat() -> None:
    """User, groups, both endpoints, rule and verdict have the schema's attributes."""
    event = _event(LINES["allowed"])
    assert event["actor"]["user"] == {
        "name": "alice",
        "groups": [{"name": "engineers"}, {"name": "staff"}],
    }
    assert event["src_endpoint"] == {"ip": "192.0.2.7", "port": 40000}
    assert event["dst_endpoint"] == {
        "ip": "198.51.100.3",
        "hostname": "db.corp.example",
        "port": 443,
    }
    assert event["firewall_rule"] == {"uid": "engineers"}
    assert event["disposition"] == "Allowed"
    assert event["device"]["name"] == "edge-1"
    assert event["unmapped"]["method"] == "userpass"
    assert event["metadata"]["sequence"] == 17


def test_policyAndTLS() -> None:
    """The rule's version; a certificate would need its issuer in this schema."""
    event = _event(LINES["in TLS"])
    assert event["firewall_rule"] == {"uid": "engineers", "version": "0123456789ab"}
    assert event["tls"] == {"version": "1.3"}
    assert event["unmapped"]["fingerprint"] == "5a" * 32
    assert event["unmapped"]["serial"] == "0A1B"


def test_howMuch() -> None:
    """An end has octets, datagrams, and when it began."""
    event = _event(LINES["flow ended"])
    assert event["traffic"] == {
        "bytes_out": 60, "bytes_in": 120, "bytes": 180,
        "packets_out": 1, "packets_in": 2, "packets": 3,
    }  # fmt: skip
    assert (event["duration"], event["time"] - event["start_time"]) == (250, 250)
    assert event["connection_info"]["protocol_num"] == 17
    assert event["connection_info"]["protocol_ver_id"] == 6


def test_bounded() -> None:
    """However long a line is, its event is short, and valid."""
    groups = [f"group {i:04}" * 30 for i in range(2000)]
    fields = {**LINES["denied"], "groups": groups, "why": "x" * 100_000}
    octets = ocsf(fields, _ORIGIN)
    assert octets is not None
    assert len(octets) <= 7168
    _event(fields)
