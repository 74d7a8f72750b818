"""
For the tests of plug-ins: contracts that they have to hold, and fakes.
"""

from socksgw.testing.contract import AuthMethodContract, Script
from socksgw.testing.datagrams import DatagramNetwork, FakeDatagramSocket

__all__ = ["AuthMethodContract", "DatagramNetwork", "FakeDatagramSocket", "Script"]
