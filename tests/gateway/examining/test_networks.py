"""
C{device}, C{netns} and C{resolver} of listeners, and addresses that need one.
"""

from __future__ import annotations

import pytest

from socksgw.config.loading import loads
from socksgw.gateway.examining.networks import examineNetworks
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.links import Link
from socksgw.policy.networks import Network
from socksgw.wire.address import Address
from tests.tools.examining import HEAD, examined, wrong

RULE = '[[rule]]\nid = "a"\nallow = "any"\n'


def listening(*listens: str) -> str:
    """Return a configuration with listeners of these keys."""
    return "".join(
        f'[[listen]]\nname = "l{i}"\n{text}\n' for i, text in enumerate(listens)
    )


@pytest.mark.parametrize(
    ("keys", "path", "said"),
    [
        (
            'address = ["10.0.0.1:1"]\ndevice = "a"\nnetns = "b"',
            "device",
            "leave one out",
        ),
        ('endpoint = "tcp:1"\nnetns = "b"', "netns", "goes with address"),
        ('endpoint = "tcp:1"\ndevice = "b"', "device", "goes with address"),
        ('address = ["unix:/x"]\nnetns = "b"', "address[0]", "is in no network"),
        ('address = ["10.0.0.1:1"]\nnetns = "../b"', "netns", "no name of a network"),
        ('address = ["10.0.0.1:1"]\nnetns = ".."', "netns", "no name of a network"),
        ('address = ["10.0.0.1:1"]\ndevice = "0123456789abcdef"', "device", "no name"),
        ('address = ["10.0.0.1:1"]\n[listen.resolver]', "resolver", "have [resolver]"),
        (
            'address = ["10.0.0.1:1"]\nnetns = "b"\n[listen.resolver]\nservers = ["x"]',
            "resolver.servers[0]",
            '"x"',
        ),
    ],
)
def test_whatDoesNotGo(keys: str, path: str, said: str) -> None:
    """Each is an error, with what to do instead."""
    text = HEAD.partition("[[auth")[2]
    found = wrong(listening(keys) + "[[auth" + text + RULE)
    (problem,) = [why for where, why in found if where == f"listen[0].{path}"]
    assert said in problem


def problems(text: str, *links: Link) -> Problems:
    """Examine listeners on a host with these addresses."""
    found = Problems()
    examineNetworks(loads(text, "gw.toml"), links, found)
    return found


def link(address: str, network: str, device: str) -> Link:
    return Link(Address.parse(address), Network.parse(network), device)


ONE = link("10.0.0.251", "10.0.0.0/8", "hko1")
TWO = link("10.0.0.252", "10.0.0.0/24", "hko2")
FIRST, SECOND = 'address = ["10.0.0.251:1080"]', 'address = ["10.0.0.252:1080"]'


def test_anAddressAloneChoosesNoNetwork() -> None:
    """
    Two listeners at two interfaces whose networks overlap: shown by the kernel to leave
    by the same one. Each is told what to add.
    """
    found = problems(listening(FIRST, SECOND), ONE, TWO).errors
    assert [each.path for each in found] == [
        "listen[0].address[0]",
        "listen[1].address[0]",
    ]
    assert 'add device = "hko1", and device = "hko2" there' in found[0].text
    assert "an address alone does not choose a network" in found[1].text
    one = problems(listening(FIRST + '\ndevice = "hko1"', SECOND), ONE, TWO).errors
    assert [each.path for each in one] == ["listen[1].address[0]"]


@pytest.mark.parametrize(
    "listens",
    [
        (FIRST + '\ndevice = "hko1"', SECOND + '\ndevice = "hko2"'),
        (FIRST, SECOND + '\nnetns = "blue"'),
        # One network with two ways to it: a laptop.
        ('address = ["10.0.0.251:1080", "10.0.0.252:1080"]',),
        (FIRST, 'address = ["127.0.0.1:1080"]'),
        (FIRST, 'address = ["0.0.0.0:1081"]'),
    ],
)
def test_whatBelievesNoSuchThing(listens: tuple[str, ...]) -> None:
    """Those that say which is meant, and those that do not mean two."""
    lo = link("127.0.0.1", "127.0.0.0/8", "lo")
    assert problems(listening(*listens), ONE, TWO, lo).errors == []


def test_linkLocalNetworksAreNotTheSame() -> None:
    """Each interface has fe80::/64."""
    links = [link("fe80::1", "fe80::/64", "a"), link("fe80::2", "fe80::/64", "b")]
    text = listening('address = ["[fe80::1]:1"]', 'address = ["[fe80::2]:1"]')
    assert problems(text, *links).errors == []


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("", "", True),
        ('device = "a"', "", True),
        ('device = "a"', 'device = "a"', True),
        ('device = "a"', 'device = "b"', False),
        ('netns = "a"', "", False),
        ('netns = "a"', 'netns = "b"', False),
        ('netns = "a"', 'netns = "a"', True),
    ],
)
def test_theSameAddressTwice(first: str, second: str, clash: bool) -> None:
    """It is good in two networks, and an error in one."""
    text = listening(f"{FIRST}\n{first}", f"{FIRST}\n{second}")
    found = problems(text).errors
    assert [each.path for each in found] == ["listen[1].address[0]"] * clash
    assert all("say device or netns on each" in each.text for each in found)


def test_noNameServers() -> None:
    """That names are refused is said, unless it is meant."""
    text = listening(FIRST + '\nnetns = "blue"')
    (odd,) = problems(text).warnings
    assert odd.path == "listen[0].resolver"
    assert "requests with names are refused" in odd.text
    assert problems(text + "[listen.resolver]\n").warnings == []


def test_noSuchDevice() -> None:
    """It is said: a device may be made before the start."""
    text = listening(FIRST + '\ndevice = "none"\n[listen.resolver]')
    (odd,) = problems(text).warnings
    assert odd.path == "listen[0].device"
    assert "does not start without it" in odd.text
    assert problems(text.replace("none", "lo")).warnings == []


def test_exposure() -> None:
    """What is reached without a login is told with the network."""
    text = listening(FIRST + '\ndevice = "lo"\n[listen.resolver]')
    text += '[[auth.choose]]\nmethods = ["none"]\nfrom = ["private"]\n' + RULE
    (line,) = examined(text).exposures
    assert line.startswith('anonymous on "l0" (device "lo") from private: ')
