"""
The C{twistd socksgw} command.
"""

from twisted.application.service import ServiceMaker

socksgw = ServiceMaker(
    "socksgw",
    "socksgw.tap",
    "A policed, authenticated, audited SOCKS gateway.",
    "socksgw",
)
