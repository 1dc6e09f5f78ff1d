"""A blocking call inside a running event loop fails the test: one such call in a station stalls every notification behind it.

Watches sleeping, name look-ups, blocking sockets and waiting for processes; a test's own calls and threads may block.
"""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
TESTS = str(ROOT / "tests")
ROOMS = tuple(
    str(ROOT / room) for room in ("core", "dispatcher", "fastpath", "gateway", "ledger", "senders", "tidings/sandbox")
)


class BlockingCall(BaseException):
    """Not an Exception, so that no retry loop takes it for an outage."""


def _always(*_: object, **__: object) -> bool:
    return True


def _would_wait(connection: socket.socket, *_: object, **__: object) -> bool:
    return connection.gettimeout() != 0


WATCHED: tuple[tuple[Any, str, Callable[..., bool]], ...] = (
    (time, "sleep", _always),
    (socket, "getaddrinfo", _always),
    (socket.socket, "connect", _would_wait),
    (socket.socket, "recv", _would_wait),
    (socket.socket, "sendall", _would_wait),
    (subprocess, "run", _always),
    (subprocess.Popen, "wait", _always),
    (subprocess.Popen, "communicate", _always),
)


def watch(patch: pytest.MonkeyPatch) -> None:
    """Make the watched calls raise BlockingCall where they would hold up the loop; for as long as the patch lasts."""
    for owner, name, blocks in WATCHED:
        patch.setattr(owner, name, _guarded(getattr(owner, name), blocks))


def _guarded(original: Callable[..., Any], blocks: Callable[..., bool]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if blocks(*args, **kwargs) and _in_a_loop() and (room := _room()):
            raise BlockingCall(f"{original.__qualname__} blocks the event loop, called from {room}")
        return original(*args, **kwargs)

    return guarded


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _room() -> str | None:
    """The file and line of ours that is nearest to the call; None if that is a test, or if none of ours called."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith(TESTS):
        if frame.f_code.co_filename.startswith(ROOMS):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return None
