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
    CallCancelled,
    ConfigError,
    CoreError,
    DeadlineExceeded,
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
    RecoveryError,
    RequestInvalid,
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
from sutazai._guard import (
    BreakerPolicy,
    BudgetPolicy,
    BulkheadPolicy,
    Guard,
    HedgePolicy,
    RatePolicy,
    RetryPolicy,
    Share,
    guard,
)
from sutazai._kernel import Delivered, Kernel
from sutazai._logging import LogHandler
from sutazai._plugins import plugins
from sutazai._saga import SagaContext, SagaStep
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
    "BreakerPolicy",
    "BudgetPolicy",
    "BulkheadPolicy",
    "CallCancelled",
    "ConfigError",
    "Context",
    "CoreError",
    "DeadlineExceeded",
    "Delivered",
    "Event",
    "EventError",
    "Forked",
    "Guard",
    "HedgePolicy",
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
    "RatePolicy",
    "RecoveryError",
    "Reply",
    "RequestInvalid",
    "RetryPolicy",
    "SagaContext",
    "SagaStep",
    "SagaStuck",
    "SagaUndone",
    "Scope",
    "SecurityError",
    "Share",
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
    "guard",
    "plugins",
]
