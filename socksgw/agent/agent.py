"""
The settings in force, and the credentials that they name.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import final

from socksgw.agent.configuring import PRINTED, configuration
from socksgw.agent.credentials import troubleWith
from socksgw.agent.settings import Settings
from socksgw.agent.trouble import Trouble
from socksgw.agent.wallet import Wallet
from socksgw.config.loading import loads
from socksgw.config.schema import Config

__all__ = ["Agent"]


@final
class Agent:
    """
    The settings in force, and what is known by them.

    @ivar settings: the settings.
    """

    def __init__(self, settings: Settings, state: Path) -> None:
        """
        @param state: the directory of the journal.
        """
        self.settings = settings
        self._state = state
        self._wallet: Wallet | None = None

    def adopt(self, settings: Settings) -> None:
        """Use these settings from now on."""
        self.settings = settings
        account = settings.account if settings.keyring else None
        if account is None or self._wallet is None or self._wallet.account != account:
            self._wallet = account and Wallet(account, time.monotonic)

    def configured(self, settings: Settings) -> Config:
        """
        Use settings, and return the configuration that they make.

        @raise ConfigError: no gateway can be made of them.
        """
        self.adopt(settings)
        passed = ""
        if self._wallet is not None:
            # Its file has to hold the password when it is read first.
            self._wallet.look()
            passed = self._wallet.path
        text = configuration(settings, os.getuid(), self._state, passed)
        return loads(text, PRINTED, Path("/"))

    def look(self, doubted: bool) -> Trouble | None:
        """
        Look at the user's credentials; it may block.

        @param doubted: whether the gateway has refused them.
        """
        if self._wallet is not None:
            return self._wallet.look(doubted)
        return troubleWith(self.settings, time.time())
