"""The providers' simulators for the senders' tests: settings that lead to them, and what arrived there."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.model import ErrorClass
from core.settings import Settings
from fastpath import Record
from senders.provider import Answer, Carrier
from tests.unit.senders.kit import Notes, messages
from tidings.sandbox import server
from tidings.sandbox.server import Plan, Running
from tidings.sandbox.store import Message, Query

SECRET = "only-for-tests-0123456789"

OK, TEMPORARY, THROTTLED, PERMANENT, UNREGISTERED, AMBIGUOUS, MISCONFIGURED, UNREACHABLE = (
    ErrorClass.NONE,
    ErrorClass.TEMPORARY,
    ErrorClass.THROTTLED,
    ErrorClass.PERMANENT,
    ErrorClass.UNREGISTERED,
    ErrorClass.AMBIGUOUS,
    ErrorClass.MISCONFIGURED,
    ErrorClass.UNREACHABLE,
)


@asynccontextmanager
async def sandboxed(folder: Path) -> AsyncIterator[Running]:
    """A sandbox that wants logins; its keys stay in `folder`."""
    running = await server.start(Plan(folder, smtp_login=True))
    yield running
    await running.stop()


def settings_of(running: Running, **more: Any) -> Settings:
    tree: dict[str, Any] = {"secret_key": SECRET, "email_from": "Shop <news@shop.example>", "web_public_url": "http://web.test"}
    for name, value in running.environment.items():
        path = name.removeprefix("TIDINGS_").lower().split("__")
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    for name, value in more.items():
        tree[name] = {**tree.get(name, {}), **value} if isinstance(value, dict) else value
    return Settings.model_validate(tree)


async def send(provider: Carrier, items: Sequence[Record]) -> list[Answer]:
    """The answers to one batch, in its order; closes the provider."""
    desk = Notes()
    try:
        await provider.send(messages(items), desk)
    finally:
        await provider.close()
    return [desk.answers[i] for i in range(len(items))]


def arrived(running: Running, provider: str) -> list[Message]:
    return running.sandbox.store.find(Query(provider=provider, limit=10_000))


def classes(answers: Sequence[Answer]) -> list[ErrorClass]:
    return [answer.error_class for answer in answers]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
