"""
Plug-ins: one file each; the built-in ones have no privileges.

Other packages add theirs as Twisted's plug-ins are added: a directory
C{socksgw/plugins} without C{__init__.py}, anywhere on C{sys.path}.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
