"""
The share of a worker: never more in all than is configured.
"""

from __future__ import annotations

from pathlib import Path

from socksgw.config.loading import loads
from socksgw.workers.orders import configIn, packed
from socksgw.workers.share import shareOf

_TEXT = """
[gateway]
workers = 3
reload_on_change = true
[relay]
memory = "100MB"
[[listen]]
name = "a"
half_open = 100
[auth.throttle]
per_user = 10
per_source = 50
[audit]
sinks = ["stdout:native"]
signing_key = "key"
[admin]
endpoint = "unix:a.sock"
"""


def test_divided() -> None:
    """What is bounded in all is divided; what is done once is the supervisor's."""
    config = loads(_TEXT, "gw.toml", Path())
    share = shareOf(config, 3)
    assert share.relay.memory == 33_333_333
    assert share.listen == config.listen
    assert share.auth == config.auth
    assert share.admin is None
    assert (share.audit.sinks, share.audit.signing_key) == ((), "")
    assert share.audit.max_size == config.audit.max_size
    assert (share.gateway.workers, share.gateway.reload_on_change) == (1, False)


def test_whatIsTold() -> None:
    """A configuration comes as it was."""
    config = loads(_TEXT, "gw.toml", Path())
    assert configIn({"config": packed(config, None)}) == (config, None)
