"""
The C{twistd socksgw} command.
"""

from typing import Any

from twisted.application.service import ServiceMaker


class EarlySignals(ServiceMaker):
    """
    Catches signals before all the rest is imported, which takes a while: a
    SIGHUP in that time would end the process.
    """

    @property
    def options(self) -> Any:
        """The class of the command line's options."""
        from socksgw.system.signals import hangups

        hangups()
        from socksgw.tap import Options

        return Options


socksgw = EarlySignals(
    "socksgw",
    "socksgw.tap",
    "A policed, authenticated, audited SOCKS gateway.",
    "socksgw",
)
