"""
The admin interface's HTTP, as a gateway serves it, and what it refuses.
"""

from __future__ import annotations

import pytest

from tests.live import raw
from tests.live.serving import Serving


@pytest.mark.parametrize(
    ("method", "path", "fields", "status"),
    [
        ("GET", "/nix", {}, 404),
        ("GET", "/healthz/../healthz", {}, 404),
        ("POST", "/healthz", {}, 405),
        ("OPTIONS", "/healthz", {}, 405),
        ("GET", "/healthz", {"Host": "evil.example"}, 421),
        ("GET", "/healthz", {"Origin": "http://evil.example"}, 403),
        ("GET", "/healthz?verbose=1", {}, 400),
    ],
)
def test_refused(
    serving: Serving, method: str, path: str, fields: dict[str, str], status: int
) -> None:
    """What is not served, and what comes from elsewhere, is refused at both places."""
    for client in (serving.own, serving.operator):
        answered = client.ask(path, method, **fields)
        assert answered.status == status
        assert answered.json["error"]


def test_fields(serving: Serving) -> None:
    """No answer is kept, run or framed; HEAD is GET without a body."""
    for path, status in (("/healthz", 200), ("/nix", 404)):
        answered = serving.nobody.ask(path)
        assert answered.status == status
        assert answered.fields["cache-control"] == "no-store"
        assert answered.fields["content-type"] == "application/json"
        assert answered.fields["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answered.fields["content-security-policy"]
        head = serving.nobody.ask(path, "HEAD")
        assert (head.status, head.octets) == (status, b"")
        assert head.fields["content-length"] == answered.fields["content-length"]


def test_versions(serving: Serving) -> None:
    """Checks of HTTP/1.0 have no Host; later versions are not spoken."""
    for first, status in (
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
    ):
        with raw.dial(serving.port) as client:
            client.sendall(first)
            answer = client.makefile("rb").read()
            assert answer.split()[1] == status, (first, answer)
