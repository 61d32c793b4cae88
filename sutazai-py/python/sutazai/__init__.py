"""SutazAI: the operations kernel for programs that run AI agents, in the process.

>>> import sutazai
>>> with sutazai.Kernel() as kernel:
...     @kernel.agent(skills=["shout"])
...     def shout(text):
...         return text.upper()
...     kernel.call("shout", "hello")
'HELLO'
"""

from sutazai._errors import (
    AgentError,
    AlreadyExists,
    BadAnswer,
    BreakerOpen,
    BulkheadFull,
    CallCancelled,
    ConfigError,
    CoreError,
    DeadlineExceeded,
    Degraded,
    EventError,
    Forked,
    HostError,
    Invalid,
    KernelError,
    Location,
    NoSkill,
    NotFound,
    NotRunning,
    ObserveError,
    OperationUnknown,
    Overloaded,
    PermissionDenied,
    Poison,
    Quarantined,
    RateLimited,
    RecoveryError,
    RequestInvalid,
    SafeState,
    SagaStuck,
    SagaUndone,
    SecurityError,
    StoreError,
    SubscriptionClosed,
    SurfaceError,
    SutazaiError,
    TooLate,
    Unsupported,
    WaitTimeout,
    WouldDeadlock,
)
from sutazai._kernel import Delivered, Kernel
from sutazai._logging import LogHandler
from sutazai._plugins import plugins
from sutazai._sutazai import (
    Context,
    Event,
    Reply,
    Scope,
    Subscription,
    Task,
    Ticket,
    __version__,
)

# Registers what has to run after a fork and at the interpreter's exit.
from sutazai import _process as _process  # isort: skip

__all__ = [
    "AgentError",
    "AlreadyExists",
    "BadAnswer",
    "BreakerOpen",
    "BulkheadFull",
    "CallCancelled",
    "ConfigError",
    "Context",
    "CoreError",
    "DeadlineExceeded",
    "Degraded",
    "Delivered",
    "Event",
    "EventError",
    "Forked",
    "HostError",
    "Invalid",
    "Kernel",
    "KernelError",
    "Location",
    "LogHandler",
    "NoSkill",
    "NotFound",
    "NotRunning",
    "ObserveError",
    "OperationUnknown",
    "Overloaded",
    "PermissionDenied",
    "Poison",
    "Quarantined",
    "RateLimited",
    "RecoveryError",
    "Reply",
    "RequestInvalid",
    "SafeState",
    "SagaStuck",
    "SagaUndone",
    "Scope",
    "SecurityError",
    "StoreError",
    "Subscription",
    "SubscriptionClosed",
    "SurfaceError",
    "SutazaiError",
    "Task",
    "Ticket",
    "TooLate",
    "Unsupported",
    "WaitTimeout",
    "WouldDeadlock",
    "__version__",
    "plugins",
]
