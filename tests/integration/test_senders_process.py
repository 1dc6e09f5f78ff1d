"""`python -m senders` as a process: sends, drains on SIGTERM, and says what is missing."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core import keys
from core.config import child_environment
from core.model import Channel, Part, Priority, Status
from core.process import EXIT_CONFIG
from core.settings import Settings
from core.store import Store
from core.streams import Append, Streams
from fastpath import pack_frame, unpack_frame
from tests.helpers import eventually
from tests.unit.senders.kit import delivery
from tidings.sandbox import server
from tidings.sandbox.server import Plan
from tidings.sandbox.store import Query


@asynccontextmanager
async def process(*channels: str, environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "senders", *channels, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def test_two_channels_in_one_process(settings: Settings, store: Store, tmp_path: Path) -> None:
    sandbox = await server.start(Plan(tmp_path))
    stated = settings.model_copy(update={"email_from": "a@example.org", "allow_pure": True, "partitions": 2})
    async with process("email", "sms", environment=child_environment(stated) | sandbox.environment) as started:
        letters = [delivery(f"u{i}@example.org", partition=1) for i in range(30)]
        texts = [delivery("+4915112345678", {Part.TEXT: "hello"}, channel=Channel.SMS)]
        await Streams(store).append(
            [
                Append(keys.outbound(1, Channel.EMAIL, Priority.MEDIUM), pack_frame(letters)),
                Append(keys.outbound(0, Channel.SMS, Priority.MEDIUM), pack_frame(texts)),
            ]
        )

        async def told() -> bool:
            rows = [row for p in (0, 1) for row in await Streams(store).peek(keys.outcomes(p), 0, 2**53, 1000)]
            found = [outcome for _, frame in rows for outcome in unpack_frame(frame)]
            assert len(found) == 31
            assert {outcome.status for outcome in found} == {Status.SENT}
            return True

        await eventually(told, 30)
        assert len(sandbox.sandbox.store.find(Query(provider="sendgrid"))) == 30
        assert len(sandbox.sandbox.store.find(Query(provider="twilio"))) == 1
        started.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(started.communicate(), 30)
    await sandbox.stop()
    assert started.returncode == 0
    assert b"drained" in log
    assert b"example.org" not in log
    assert b"49151" not in log


@pytest.mark.parametrize(("channel", "missing"), [("email", b"TIDINGS_EMAIL_FROM"), ("sms", b"TIDINGS_TWILIO__ACCOUNT_SID")])
async def test_missing_credentials_end_it_at_once(settings: Settings, channel: str, missing: bytes) -> None:
    environment = child_environment(settings.model_copy(update={"allow_pure": True}))
    async with process(channel, environment=environment) as started:
        _, words = await asyncio.wait_for(started.communicate(), 30)
    assert started.returncode == EXIT_CONFIG
    assert missing in words
    assert b"Traceback" not in words


async def test_an_unknown_channel_is_refused(settings: Settings) -> None:
    async with process("pigeon", environment=child_environment(settings)) as started:
        _, words = await asyncio.wait_for(started.communicate(), 30)
    assert started.returncode == 1
    assert b"email, sms, push, in_app" in words
