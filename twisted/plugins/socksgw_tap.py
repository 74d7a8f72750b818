"""
The plug-in for the command C{twistd socksgw}.
"""

from typing import Any

from twisted.application.service import ServiceMaker


class EarlySignals(ServiceMaker):
    """
    Catches SIGHUP before the gateway is imported.

    The import takes a while, and without a handler the signal ends the process.
    """

    @property
    def options(self) -> Any:
        """The class of the command's options."""
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
