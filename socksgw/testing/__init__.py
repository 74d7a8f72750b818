"""
What the tests of plug-ins use: contracts that a plug-in has to hold, and fakes.
"""

from socksgw.testing.contract import AuthMethodContract, Script
from socksgw.testing.datagrams import DatagramNetwork, FakeDatagramSocket
from socksgw.testing.sinks import AuditSinkContract, entriesOf, sinkSettings

__all__ = [
    "AuditSinkContract",
    "AuthMethodContract",
    "DatagramNetwork",
    "FakeDatagramSocket",
    "Script",
    "entriesOf",
    "sinkSettings",
]
