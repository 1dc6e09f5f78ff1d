"""The watch over blocking calls can fail, and lets through what does not hold up the loop."""

import asyncio
import time
from pathlib import Path
from types import CodeType

import pytest

from tests.blocking import BlockingCall

ROOT = Path(__file__).parent.parent


def as_if_in(path: str, source: str) -> CodeType:
    return compile(source, str(ROOT / path), "exec")


@pytest.mark.parametrize(
    "source",
    [
        "import time; time.sleep(0)",
        "import socket; socket.getaddrinfo('127.0.0.1', 80)",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import subprocess; subprocess.run(['true'])",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
    ],
)
async def test_a_blocking_call_in_a_room_is_caught(source: str) -> None:
    with pytest.raises(BlockingCall, match=r"blocks the event loop, called from .*senders/made_up\.py:1"):
        exec(as_if_in("senders/made_up.py", source))


async def test_tests_threads_and_code_without_a_loop_may_block() -> None:
    time.sleep(0)  # noqa: ASYNC251
    exec(as_if_in("tests/made_up.py", "import time; time.sleep(0)"))
    await asyncio.to_thread(exec, as_if_in("senders/made_up.py", "import time; time.sleep(0)"))


def test_without_a_loop_anything_goes() -> None:
    exec(as_if_in("senders/made_up.py", "import time; time.sleep(0)"))
