"""What a person holds: the client, the command line, the local supervisor and the provider sandbox.

    client = tidings.Client()
    client.send(type="order_confirmation", template="order_confirmation", recipient={"email": "ada@example.com"}, data={...})

Importing this is free: the stations import the stubs in tidings.v1 and with them this module, so each name is loaded on use.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidings.aio import AsyncClient
    from tidings.channel import Tls
    from tidings.client import Client
    from tidings.errors import (
        ClientError,
        Conflict,
        DeadlineExceeded,
        DeliveryEnded,
        InvalidRequest,
        NotFound,
        Overloaded,
        PermissionDenied,
        ServerError,
        Unauthenticated,
        Unavailable,
        Violation,
    )
    from tidings.values import DeadLetter, Delivery, Event, InboxMessage, Notification, Recipient, Result, Template

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "DeadLetter",
    "DeadlineExceeded",
    "Delivery",
    "DeliveryEnded",
    "Event",
    "InboxMessage",
    "InvalidRequest",
    "NotFound",
    "Notification",
    "Overloaded",
    "PermissionDenied",
    "Recipient",
    "Result",
    "ServerError",
    "Template",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "Violation",
]

_VALUES = {"DeadLetter", "Delivery", "Event", "InboxMessage", "Notification", "Recipient", "Result", "Template"}
_HOMES = {"AsyncClient": "aio", "Client": "client", "Tls": "channel"} | dict.fromkeys(_VALUES, "values")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'tidings' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tidings.{_HOMES.get(name, 'errors')}"), name)
