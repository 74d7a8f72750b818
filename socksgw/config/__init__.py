"""
The configuration: its file, its schema, its defaults.
"""

from socksgw.config.defaults import defaultConfig
from socksgw.config.loading import ConfigError, load, loads

__all__ = ["ConfigError", "defaultConfig", "load", "loads"]
