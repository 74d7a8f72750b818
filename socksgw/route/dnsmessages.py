"""
DNS messages (RFC 1035): what the gateway asks, and what the answers say.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from secrets import token_bytes
from typing import Any, Final, final

import dns.exception
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
from dns.flags import AA, RA

from socksgw.errors import LookupFailed
from socksgw.route.dnswire import Unusual, addressesIn, nameOctets, questionOctets
from socksgw.wire.address import Address

__all__ = [
    "ENDS",
    "LONGEST",
    "RECORDS",
    "TYPES",
    "Asked",
    "BadAnswer",
    "NoSuchName",
    "Query",
    "Truncated",
]

#: Octets of the longest answer that is read.
LONGEST: Final = 8192
#: Records of an answer that are parsed, and of what comes with one. Each takes 30
#: microseconds of the reactor's time, and a client that asks for a name of its own
#: decides how many there are. 32 addresses of a name are kept, behind 16 aliases at
#: most.
RECORDS: Final = 48
_OTHERS: Final = 4
#: In the third octet: a response (QR), and truncated (TC).
_CUT: Final = 0x82

TYPES: Final = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}
_ADDRESSES: Final = frozenset(TYPES.values())
#: What stands behind a name in a question for each type.
ENDS: Final = {
    kind: struct.pack("!HH", kind, dns.rdataclass.IN)
    for kind in (*_ADDRESSES, dns.rdatatype.PTR, dns.rdatatype.NS)
}


class BadAnswer(Exception):
    """
    An answer that is of no use; another server may have a better one.

    @ivar edns: whether the server may know the question without EDNS.
    """

    def __init__(self, why: str, edns: bool = False) -> None:
        super().__init__(why)
        self.edns = edns


class NoSuchName(LookupFailed):
    """The name does not exist, whatever it is asked for (RFC 8020)."""

    def __init__(self) -> None:
        super().__init__("no such host")


class Truncated(Exception):
    """The answer is whole only over TCP (RFC 2181 section 9)."""


@final
class Query:
    """
    One message that asks.

    @ivar number: its identifier, two octets that cannot be guessed.
    @ivar edns: whether it is one with EDNS (RFC 6891).
    @ivar octets: the message.
    """

    __slots__ = ("edns", "number", "octets")

    def __init__(self, question: bytes, edns: bool, number: bytes = b"") -> None:
        """
        @param number: by default another one each time.
        """
        self.number = number or token_bytes(2)
        self.edns = edns
        self.octets = questionOctets(self.number, question, edns)


@final
class Asked:
    """
    One question.
    """

    __slots__ = ("_kind", "_question")

    def __init__(self, name: bytes, kind: dns.rdatatype.RdataType) -> None:
        """
        @param name: as it stands in a message.
        """
        self._kind = kind
        self._question = name + ENDS[kind]

    @classmethod
    def addresses(cls, name: str, version: int) -> Asked:
        """
        Return a question for a name's addresses.

        @param name: in normal form (L{socksgw.wire.address.parseHost}).
        @param version: 4 or 6.
        """
        return cls(nameOctets(name), TYPES[version])

    @classmethod
    def pointer(cls, address: Address) -> Asked:
        """Return a question for an address's name."""
        reverse = ip_address(address.packed).reverse_pointer
        return cls(nameOctets(reverse), dns.rdatatype.PTR)

    @classmethod
    def probe(cls) -> Asked:
        """
        Return a question that each server which works can answer.

        It is for the name servers of the root (RFC 8109 section 3).
        """
        return cls(b"\0", dns.rdatatype.NS)

    def query(self, edns: bool, number: bytes = b"") -> Query:
        """Return a message that asks, as L{Query}."""
        return Query(self._question, edns, number)

    def read(self, query: Query, octets: bytes) -> list[Any] | None:
        """
        Read an answer.

        @return: its addresses as L{Address}es, or the data of its other records as
            dnspython has it; L{None} when the octets are no answer to the query (RFC
            5452 section 9.1).
        @raise BadAnswer: another server may have a better one.
        @raise NoSuchName: there is no such name.
        @raise Truncated: it is cut.
        """
        if len(octets) < 12 or octets[:2] != query.number:
            return None
        if octets[2] & _CUT == _CUT:
            # It may end within a record. If it is forged, TCP will tell.
            raise Truncated
        if self._kind in _ADDRESSES:
            try:
                found = addressesIn(octets, self._question, self._kind, RECORDS)
            except Unusual:
                pass
            else:
                if found is None:
                    raise NoSuchName
                return list(map(Address, found))
        return self._readUnusual(query, octets)

    def _readUnusual(self, query: Query, octets: bytes) -> list[Any] | None:
        try:
            answer = dns.message.from_wire(_bounded(octets), ignore_trailing=True)
        except (dns.exception.DNSException, ValueError):
            # The identifier is right: it is the server's, or a very lucky guess.
            raise BadAnswer("an answer that cannot be read") from None
        if not isinstance(answer, dns.message.QueryMessage):
            return None
        asked = dns.message.from_wire(query.octets)
        if not asked.is_response(answer):
            return None
        records = self._records(query, answer)
        if self._kind in _ADDRESSES:
            return [Address.parse(each.address) for each in records]
        return records

    def _records(self, query: Query, answer: dns.message.QueryMessage) -> list[Any]:
        rcode = answer.rcode()
        if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            refusals = (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS)
            edns = query.edns and rcode in refusals
            raise BadAnswer(dns.rcode.to_text(rcode), edns)
        if not answer.question:
            raise BadAnswer("an answer without its question")
        try:
            found = answer.resolve_chaining()
        except dns.exception.DNSException:
            raise BadAnswer("aliases without end") from None
        if found.answer is not None:
            return list(found.answer)
        if rcode == dns.rcode.NXDOMAIN:
            raise NoSuchName
        if not answer.answer and not answer.flags & (AA | RA):
            raise BadAnswer("a referral")
        return []


def _bounded(octets: bytes) -> bytes:
    """
    Return a message that holds no more records than are parsed.

    @raise ValueError: it has several questions, as no answer has.
    """
    questions, answers, authorities, more = struct.unpack_from("!4H", octets, 4)
    if questions > 1:
        raise ValueError("several questions")
    if answers:
        # What stands behind the answers is not looked at.
        answers, authorities, more = min(answers, RECORDS), 0, 0
    elif authorities > _OTHERS:
        authorities, more = _OTHERS, 0
    counts = struct.pack("!4H", questions, answers, authorities, min(more, _OTHERS))
    return octets[:4] + counts + octets[12:]
