"""
Names that a program looks up, and the addresses that stand for them.

The gateway looks names up, and judges by them. A program wants an address first: it
gets one of 198.18.0.0/15, which is for benchmarks and no destination's (RFC 2544), and
the request to the gateway has the name again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, final

from dns.exception import DNSException
from dns.flags import RA
from dns.message import Message, from_wire, make_response
from dns.name import Name, from_text
from dns.rcode import FORMERR, NOTIMP, NXDOMAIN
from dns.rdataclass import IN
from dns.rdatatype import AAAA, HTTPS, PTR, SVCB, A
from dns.reversename import to_address
from dns.rrset import RRset
from dns.rrset import from_text as recordOf

from socksgw.wire.address import Address, BadHost, parseHost

__all__ = ["Names"]

_FIRST: Final = int.from_bytes(bytes((198, 18, 0, 1)), "big")
#: The addresses of the network without its first and its last.
_ALL: Final = (1 << 17) - 2
#: Seconds for which a program may keep an address.
_TTL: Final = 60
#: Types with an empty answer: there is such a name, and it has none of them.
_EMPTY: Final = (AAAA, HTTPS, SVCB)
_LOCALHOST: Final = from_text("localhost.")
_OWN: Final = {A: "127.0.0.1", AAAA: "::1"}


@final
class Names:
    """
    The names that were looked up. When all addresses are used, the oldest names go.
    """

    def __init__(self, most: int = _ALL) -> None:
        """@param most: so many names are known at a time."""
        self._addresses: OrderedDict[str, Address] = OrderedDict()
        self._names: dict[Address, str] = {}
        self._most = most

    def addressFor(self, name: str) -> Address:
        """Return the address that stands for a name."""
        found = self._addresses.get(name)
        if found is not None:
            self._addresses.move_to_end(name)
            return found
        if len(self._addresses) < self._most:
            number = _FIRST + len(self._addresses)
            found = Address(number.to_bytes(4, "big"))
        else:
            _, found = self._addresses.popitem(last=False)
        self._addresses[name] = found
        self._names[found] = name
        return found

    def hostOf(self, address: Address) -> Address | str:
        """Return what to ask the gateway for: the name, if the address stands for one."""
        return self._names.get(address, address)

    def answer(self, octets: bytes) -> bytes | None:
        """
        Return the answer to a message of DNS (RFC 1035 section 4).

        @return: L{None} where it is no question.
        """
        try:
            asked = from_wire(octets)
            told = make_response(asked)
        except (DNSException, ValueError):
            return None
        told.flags |= RA
        if len(asked.question) != 1 or asked.question[0].rdclass != IN:
            told.set_rcode(FORMERR)
        else:
            told.answer.extend(self._records(asked.question[0], told))
        return told.to_wire()

    def _records(self, question: RRset, told: Message) -> Iterator[RRset]:
        name, kind = question.name, question.rdtype
        if name.is_subdomain(_LOCALHOST):
            if kind in _OWN:
                yield recordOf(name, _TTL, IN, kind, _OWN[kind])
        elif kind == A:
            host = _host(name)
            if host is None:
                told.set_rcode(NXDOMAIN)
            else:
                yield recordOf(name, _TTL, IN, A, self.addressFor(host).text)
        elif kind == PTR:
            known = self._reverse(name)
            if known is None:
                told.set_rcode(NXDOMAIN)
            else:
                yield recordOf(name, _TTL, IN, PTR, f"{known}.")
        elif kind not in _EMPTY:
            told.set_rcode(NOTIMP)

    def _reverse(self, name: Name) -> str | None:
        try:
            return self._names.get(Address.parse(to_address(name)))
        except (DNSException, ValueError):
            return None


def _host(name: Name) -> str | None:
    """Return a name as a request has it; L{None} if it can be none of a host."""
    host = parseHost(name.to_text(omit_final_dot=True).encode("ascii").lower())
    return host if isinstance(host, str) and not isinstance(host, BadHost) else None
