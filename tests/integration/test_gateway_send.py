"""Sending through the gateway: what an OK means, idempotency, batches and streams."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from core.ids import parse_id, partition_of
from core.settings import Settings
from core.store import Store
from ledger import Ledger
from tests.integration.gateway_kit import Door, details, gateway, notification
from tidings.v1 import notifications_pb2 as pb
from tidings.v1.types_pb2 import Recipient


@pytest.fixture
async def door(settings: Settings, store: Store, ledger: Ledger) -> AsyncIterator[Door]:
    async with gateway(settings, store, ledger) as running:
        await running.put()
        yield running


async def test_an_ok_means_that_the_record_is_in_redis(door: Door) -> None:
    reply = await door.send(notification())
    ((stream, record),) = await door.accepted()
    assert record.id == parse_id(reply.notification_id) and not reply.duplicate
    assert stream.endswith("in:medium") and f"{{p{partition_of(record.id)}}}" in stream
    assert (record.type, record.template, record.version, record.email) == ("welcome", "welcome", 1, "ada@example.com")
    assert record.data == b'{"name":"Ada"}'
