"""
What was imported decides as the original does: Debian's danted and a gateway are asked
the same, in one network; the requests are made of the file.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from socksgw.importing.dante.writing import draftOf
from socksgw.importing.host import Host
from tests.live.netns import alone
from tests.live.servers import program

HEAD = """\
logoutput: stderr
internal: 10.0.0.1 port = 1080
external: 10.0.0.1
clientmethod: none
user.privileged: root
user.unprivileged: nobody
"""
#: Rules as in the examples of Dante and its FAQ.
OFFICE = """\
socksmethod: none username
client block { from: 10.0.5.0/24 to: 0/0 }
client pass { from: 10.0.0.0/8 to: 0/0 log: connect disconnect }
socks block { from: 0/0 to: 127.0.0.0/8 }
socks block { from: 0/0 to: 10.1.0.0/16 port = smtp log: connect }
socks pass { from: 10.0.0.0/16 to: 10.1.0.0/16 port 20-25
   command: connect
   socksmethod: username
}
socks pass {
   from: 0/0 to: 10.2.0.0/16
   protocol: tcp
   user: alice bob
}
socks pass { from: 0/0 to: 0/0 port != 25
   command: connect bind udpassociate udpreply bindreply
   socksmethod: none
}
"""
#: Several rules of clients, groups, conditions of ports; peers of BIND judged apart.
BRANCHES = """\
socksmethod: username none
client pass { from: 10.3.0.0/16 to: 0/0 socksmethod: username }
client block { from: 10.4.0.0/24 to: 0/0 }
client pass { from: 10.0.0.0/8 to: 10.0.0.1/32 }
socks block { from: 10.9.0.0/16 to: 0/0
   command: bindreply
}
socks block { from: 0/0 to: 10.7.0.0/16 port 1000-2000
   user: bob
}
socks pass { from: 10.4.0.0/15 to: 10.7.0.0/16
   group: staff-7
   command: connect udpassociate
}
socks block { from: 10.3.0.0/16 to: 10.8.0.0/16 port < 1024 }
socks pass { from: 0.0.0.0/0 to: 10.8.0.0/16 port >= 1000
  protocol: udp tcp
}
socks pass { from: 10.0.0.0/8 to: 10.9.0.0/16 port = 443
  command: bind connect
  socksmethod: none
}
socks pass { from: 10.0.0.0/8 to: 10.0.0.1/32
  command: bind
}
socks pass { from: 0/0 to: 10.0.0.0/8
   command: udpreply bindreply
}
"""
#: Names, limits and versions of SOCKS.
NAMED = """\
socksmethod: none
client pass { from: 10.0.0.0/8 to: 0/0 }
socks pass { from: 0/0 to: .corp.example port 80 - 443 }
socks pass { from: 10.3.0.0/16 to: www.partner.example
   command: connect udpassociate
}
socks block { from: 0/0 to: .partner.example
   command: connect
   proxyprotocol: socks_v4 socks_v5
}
socks pass { from: 0/0 to: 10.8.0.0/16 }
socks pass { from: 0/0 to: 0/0
   command: udpreply bindreply
   proxyprotocol: socks_v5
   proxyprotocol: socks_v4
}
socks pass { from: 0/0 to: .shop.example
   timeout.connect: 20
   session.throttle: 1000/10
}
"""
#: Proxies that CONNECT leaves by; UDP leaves by nothing then.
ROUTES = """\
route { from: 0/0 to: 10.8.1.0/24 via: 10.0.0.50 port = 1080
   proxyprotocol: socks_v5
   method: none
}
route { from: 10.3.0.0/16 to: .corp.example via: 10.0.0.51 port = 8080
   proxyprotocol: http
}
route { from: 0/0 to: .shop.example port = 443 via: direct }
"""
#: Both versions of IP.
BOTH = """\
internal: fd00::1 port = 1080
external: fd00::1
socksmethod: none
client block { from: fd00:7::/32 to: ::/0 }
client pass { from: fd00::/16 to: fd00::1/128 }
client pass { from: 10.0.0.0/8 to: 0/0 }
socks block { from: ::/0 to: fd00:9::/32 port = 25 }
socks pass { from: fd00:5::/32 to: fd00:9::/32 }
socks pass { from: 0.0.0.0/0 to: 10.8.0.0/16 }
socks pass { from: fd00:5::/32 to: fd00::1/128
   command: bind
}
socks pass { from: 0/0 to: 0/0
   command: udpreply bindreply
}
"""


@pytest.mark.parametrize(
    ("rules", "isWider"),
    [
        (OFFICE, False),
        (BRANCHES, False),
        (NAMED, True),
        (NAMED + ROUTES, True),
        (BOTH, False),
    ],
    ids=["office", "branches", "named", "routes", "both"],
)
def test_dante(tmp_path: Path, rules: str, isWider: bool) -> None:
    """Some hundred requests get the same verdict from each of them."""
    program("danted", "dante-server")
    program("openssl", "openssl")
    file = tmp_path / "danted.conf"
    protocol = "external.protocol: ipv4\n" if NAMED in rules else ""
    file.write_text(protocol + HEAD + rules)
    options = ["--wider"] if isWider else []
    said = alone("tests.interop.importing", str(file), str(tmp_path), *options)
    asked = json.loads(said)
    assert len(asked) > 80
    assert [each for each in asked if len(set(each[2])) > 1] == []
    verdicts: dict[str, set[bool]] = {}
    for _, (command, *_), (theirs, *_), _ in asked:
        verdicts.setdefault(command, set()).add(theirs)
    both = {"connect"} if ROUTES in rules else {"connect", "udp"}
    both |= set() if NAMED in rules else {"bind"}
    assert {each for each, said in verdicts.items() if len(said) == 2} == both


@pytest.mark.parametrize(
    ("address", "isTaken"),
    [("10.0.0.2", False), ("10.0.0.2/32", True), ("fd00::5", False)],
)
def test_netmask(tmp_path: Path, address: str, isTaken: bool) -> None:
    """A rule's address without a netmask is taken neither by Dante nor here."""
    danted = program("danted", "dante-server")
    file = tmp_path / "danted.conf"
    rule = f"socks pass {{ from: 0/0 to: {address} }}"
    # It wants addresses that this host has.
    file.write_text(
        HEAD.replace("10.0.0.1", "127.0.0.1") + f"socksmethod: none\n{rule}\n"
    )
    done = subprocess.run(
        [danted, "-V", "-f", str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is isTaken, done.stderr
    host = Host(lambda name: (), lambda name: None, lambda name: None)
    left = [each.said for each in draftOf(file.read_text(), host).left]
    assert ("socks pass" not in left) is isTaken
