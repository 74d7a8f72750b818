"""
C{listen.ipsec_mark}: who counts as coming by IPsec, and the firewall's part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Config, Listen
from socksgw.gateway.examining.problems import Problems
from socksgw.policy.rules import Rule as Compiled
from socksgw.wire.levels import IPSEC, factsOf

__all__ = ["ACCEPTS", "examineIPsec", "examineWanted", "firewall", "toldIPsec"]

#: Whether an accepted socket has the mark of the packet that opened it.
ACCEPTS: Final = Path("/proc/sys/net/ipv4/tcp_fwmark_accept")
#: Of a mark, 32 bits.
_MOST: Final = 0xFFFFFFFF
_TABLE: Final = "socksgw_ipsec"


def examineIPsec(config: Config, problems: Problems, accepts: Path = ACCEPTS) -> None:
    """
    Examine the marks of listeners.

    @param accepts: as L{ACCEPTS}.
    """
    for i, listen in enumerate(config.listen):
        path = f"listen[{i}]"
        if not listen.ipsec_mark:
            if listen.ipsec_ruleset:
                problems.wrong(
                    f"{path}.ipsec_ruleset", "has no effect without ipsec_mark"
                )
            continue
        for key, why in _wrong(listen):
            problems.wrong(f"{path}.{key}", why)
        if not listen.netns and _off(accepts):
            problems.odd(
                f"{path}.ipsec_mark",
                "no client counts as coming by IPsec on this host: "
                "net.ipv4.tcp_fwmark_accept is 0; set it to 1 (sysctl)",
            )


def _off(accepts: Path) -> bool:
    try:
        return accepts.read_text().strip() == "0"
    except OSError:
        # In a container /proc may not have it: nothing is known.
        return False


def _wrong(listen: Listen) -> Iterator[tuple[str, str]]:
    """
    Yield what must be mended at a listener.

    @return: its keys, each with the reason and the remedy.
    """
    mark = listen.ipsec_mark
    if not 0 < mark <= _MOST or mark & (mark - 1):
        yield (
            "ipsec_mark",
            f"{mark:#x} is not one bit of a mark: say one that nothing else here uses, "
            "such as 0x1000000",
        )
    elif not listen.ipsec_ruleset:
        yield (
            "ipsec_mark",
            "a mark proves nothing by itself: it speaks of the first packet alone, and "
            "any rule can set it. Load what socksgw client-config ipsec --config "
            "prints (check prints it, too), have it loaded at every boot before the "
            "gateway, and then say ipsec_ruleset = true",
        )
    if listen.proxy_protocol_from is not None:
        yield (
            "ipsec_mark",
            "does not go with proxy_protocol_from: the mark is of the balancer's "
            "connection, not of its client's",
        )
    if listen.transparent == "tproxy":
        yield (
            "ipsec_mark",
            "does not go with tproxy, whose connections have no port of ours",
        )
    if not _ports(listen):
        yield (
            "ipsec_mark",
            "needs an address with a port: the rules of the firewall name it",
        )


def examineWanted(
    config: Config, rules: Sequence[Compiled], problems: Problems
) -> None:
    """
    Report the rules that want IPsec where no listener can tell of it.

    @param rules: the compiled ones, in the order of the configuration.
    """
    marked = {each.name for each in config.listen if each.ipsec_mark}
    wanted = factsOf(IPSEC)
    for i, (rule, compiled) in enumerate(zip(config.rule, rules, strict=True)):
        if not compiled.secured or not compiled.secured <= wanted:
            continue
        listeners = compiled.listeners
        if marked if listeners is None else marked & listeners:
            continue
        problems.odd(
            f"{rule.place or f'rule[{i}]'}.secured",
            "can never match: no listener of this rule has ipsec_mark "
            "(socksgw help ipsec_mark)",
        )


def _ports(listen: Listen) -> list[int]:
    """Return the TCP ports that a listener has; none if one of them is not known."""
    ports = []
    for text in listen.address:
        try:
            port = parseListenAddress(text)[1]
        except ValueError:
            return []
        if not port:
            return []
        ports.append(port)
    return sorted(set(ports))


def toldIPsec(config: Config) -> Iterator[str]:
    """Yield the firewall's rules for people, if there have to be any."""
    if any(listen.ipsec_mark for listen in config.listen):
        yield "sysctl net.ipv4.tcp_fwmark_accept=1"
        yield from firewall(config)


def firewall(config: Config, interfaces: Sequence[str] = ()) -> Iterator[str]:
    """
    Yield the rules for nftables that L{socksgw.accept.ipsec} relies on.

    @param interfaces: where the packets come in that IPsec has let through, if that is
        a program's (such as C{ipsec0} of strongSwan's libipsec). Else the kernel's own
        IPsec tells (C{meta ipsec}).
    """
    yield "# So that it can be loaded again."
    yield f"table inet {_TABLE}"
    yield f"delete table inet {_TABLE}"
    yield ""
    yield f"table inet {_TABLE} {{"
    yield "    chain input {"
    yield "        type filter hook input priority filter; policy accept;"
    by, missing = "meta ipsec exists", "meta ipsec missing"
    if interfaces:
        names = ", ".join(f'"{each}"' for each in interfaces)
        by, missing = f"iifname {{ {names} }}", f"iifname != {{ {names} }}"
    bits: dict[int, list[int]] = {}
    for listen in config.listen:
        if listen.ipsec_mark:
            bits.setdefault(listen.ipsec_mark, []).extend(_ports(listen))
    for mark, ports in bits.items():
        some = ", ".join(map(str, sorted(set(ports))))
        what = f"tcp dport {{ {some} }}"
        bit, others = f"{mark:#x}", f"{_MOST ^ mark:#x}"
        yield "        # A mark that another rule, or a program of this host, has set."
        yield f"        meta l4proto {{ tcp, udp }} meta mark set meta mark and {others}"
        yield "        # What began by IPsec goes on by it."
        yield f"        {what} ct mark and {bit} != 0 {missing} drop"
        yield (
            f"        {what} {by} ct mark set ct mark or {bit} "
            f"meta mark set meta mark or {bit}"
        )
        yield "        # Datagrams of associations."
        yield f"        meta l4proto udp {by} meta mark set meta mark or {bit}"
    yield "    }"
    yield "}"
