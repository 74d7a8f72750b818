"""
Every extension point, and every seam between the stages.

What is discovered at run time (plug-ins) is a zope C{Interface}; what is
passed in from another stage is a C{typing.Protocol}. All are imported from here.
"""

from __future__ import annotations

from socksgw.config.reserved import ANONYMOUS
from socksgw.config.settings import Settings
from socksgw.interfaces.credentials import (
    IAssertedIdentity,
    IBearerToken,
    IForgetful,
    ILocalIdentity,
    IVerifiedIdentity,
)
from socksgw.interfaces.inspection import (
    MALFORMED,
    NOT_MINE,
    OTHER,
    UNKNOWN,
    Finding,
    IInspector,
    Look,
    nameIn,
)
from socksgw.interfaces.methods import (
    IAnswering,
    IAnswers,
    IAuthenticator,
    IAuthMethod,
    IConditional,
    IExchange,
    IMethodCapabilities,
    IProtectingMethod,
    IRenumbered,
    IVerifyingMethod,
    IWrapper,
)
from socksgw.interfaces.probing import Answer, IProbed, IProbedSink, ProbeFailed
from socksgw.interfaces.sinks import (
    AuditSink,
    Entry,
    IAuditSink,
    IReadableSink,
    SinkFailed,
    SinkSettings,
)
from socksgw.interfaces.stores import (
    IAlteredStore,
    IChangingStore,
    IConfigurableCheckerFactory,
    IFileCheckerFactory,
    IGroupCatalogue,
    IGroupSource,
    ILockingStore,
    INamingStore,
    IReportingStore,
)
from socksgw.interfaces.timing import SetDeadline, Timer
from socksgw.interfaces.users import Asker, ISocksUser, User
from socksgw.system.program import Program
from socksgw.wire.levels import CLEAR, CONFIDENTIALITY, INTEGRITY
from socksgw.wire.protection import Protection, StreamProtection

__all__ = [
    "IAssertedIdentity",
    "ANONYMOUS",
    "CLEAR",
    "CONFIDENTIALITY",
    "INTEGRITY",
    "MALFORMED",
    "NOT_MINE",
    "OTHER",
    "UNKNOWN",
    "Answer",
    "Asker",
    "AuditSink",
    "Entry",
    "Finding",
    "IAnswering",
    "IAnswers",
    "IAuditSink",
    "IAuthMethod",
    "IAuthenticator",
    "IBearerToken",
    "IAlteredStore",
    "IChangingStore",
    "IConditional",
    "IConfigurableCheckerFactory",
    "IExchange",
    "IForgetful",
    "IFileCheckerFactory",
    "IGroupCatalogue",
    "IGroupSource",
    "IInspector",
    "ILocalIdentity",
    "ILockingStore",
    "INamingStore",
    "IMethodCapabilities",
    "IProbed",
    "IProbedSink",
    "IProtectingMethod",
    "IReadableSink",
    "IRenumbered",
    "IReportingStore",
    "ISocksUser",
    "IVerifiedIdentity",
    "IVerifyingMethod",
    "IWrapper",
    "Look",
    "ProbeFailed",
    "Program",
    "Protection",
    "SetDeadline",
    "Settings",
    "SinkFailed",
    "SinkSettings",
    "StreamProtection",
    "Timer",
    "User",
    "nameIn",
]
