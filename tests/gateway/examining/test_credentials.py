"""
What an order of methods does to clients that offer several.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve

from socksgw.config.loading import loads
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.examining import LISTEN, examined

ANY = '[[rule]]\nid = "r"\nallow = ["connect"]\n'


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (["userpass", "none"], '"userpass" comes before "none": clients that always'),
        (["none", "userpass"], '"none" comes before "userpass": clients that offer'),
        (["gssapi", "none"], '"gssapi" comes before "none"'),
        (["gssapi", "userpass"], "programs on libcurl"),
        (["userpass", "gssapi"], None),
        (["certificate", "none"], None),
        (["gssapi"], None),
        (["none"], None),
        (["userpass"], None),
    ],
)
@pytest.mark.parametrize("secured", [False, True])
def test_whatAnOrderDoes(
    tmp_path: Path, methods: list[str], said: str | None, secured: bool
) -> None:
    """A warning, since each order is what somebody wants; TLS spares libcurl."""
    root = Authority()
    server(root).write(tmp_path, "gw")
    (tmp_path / "ca.pem").write_bytes(pemOf(root.certificate))
    tls = (
        '[listen.tls]\ncertificate = "gw.pem"\nkey = "gw.key"\nclient_ca = "ca.pem"\n'
        'client_certificate = "optional"\n'
    )
    text = (
        f"{LISTEN}{tls if secured or 'certificate' in methods else ''}"
        f'[[auth.choose]]\nmethods = {json.dumps(methods)}\nfrom = ["127.0.0.1"]\n'
        f'[auth.gssapi]\nmechanism = "stub"\n{ANY}'
    )
    found = examined(evolve(loads(text, "f"), directory=tmp_path))
    assert found.errors == []
    texts = [
        each.text for each in found.warnings if each.path == "auth.choose[0].methods"
    ]
    if said is None or (secured and "libcurl" in said):
        assert texts == []
    else:
        (text,) = texts
        assert said in text
