"""Every station is killed in turn while 2,000 notifications are under way; each arrives, and the ledger says so.

Real processes as `tidings up` starts them, which also starts what was killed again. The sandbox is slow on purpose, so that
most of what was accepted is still under way when the next station dies.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.helpers import eventually
from tests.running import Up, system
from tidings.aio import AsyncClient
from tidings.messages import ChannelName, NotificationFields
from tidings.up.plan import STATIONS
from tidings.values import Notification

TOTAL = 2_000
CHANNELS: tuple[ChannelName, ...] = ("email", "sms", "push", "in_app")
ARRIVED = frozenset({"sent", "delivered", "opened", "clicked", "read"})
SLOW_S = 3  # of every provider's answer, until the last station was killed
PEOPLE = 20
KIND = "parcel_update"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with system(tmp_path / "data") as found:
        yield found


def wanted(number: int) -> NotificationFields:
    """The notification of that number; every channel in turn, and FCM and APNs in turn by the recipient."""
    return {
        "type": KIND,
        "template": "parcel",
        "recipient": f"person-{number // len(CHANNELS) % PEOPLE}",
        "channels": [CHANNELS[number % len(CHANNELS)]],
        "data": {"number": number},
        "idempotency_key": f"parcel-{number}",
    }


async def prepare(client: AsyncClient) -> None:
    text = "Parcel {{ number }} is on its way"
    contents: dict[str, Any] = {
        "email": {"en": {"subject": text, "text": text, "html": f"<p>{text}</p>"}},
        "sms": {"en": {"text": text}},
        "push": {"en": {"title": "Parcel", "body": text}},
        "in_app": {"en": {"title": "Parcel", "body": text}},
    }
    await client.put_template("parcel", contents, variables=["number"])
    for i in range(PEOPLE):
        await client.upsert_recipient(
            recipient_id=f"person-{i}",
            email=f"person-{i}@example.com",
            phone=f"+49151123456{i:02}",
            devices=[("fcm", f"token-of-person-{i}-0123456789")] if i % 2 else [("apns", f"{i:064x}")],
        )


async def members(client: AsyncClient, station: str) -> set[str]:
    """Names of the station's living processes; a process that was started again has another one."""
    return {member.name for member in (await client.stations()).members if member.station == station}


async def kill(up: Up, client: AsyncClient, station: str) -> None:
    """SIGKILL, and wait until another process works in its place."""
    before = await members(client, station)
    os.kill(up.processes[station], signal.SIGKILL)
    if station == "gateway":
        await client.stations()  # repeated by the client until it is answered
    else:
        await eventually(lambda: differs(client, station, before), 60)


async def differs(client: AsyncClient, station: str, before: set[str]) -> bool:
    return bool(await members(client, station) - before)


async def send(client: AsyncClient, numbers: range) -> list[str]:
    """Ids of the notifications of these numbers; the client repeats what was not answered."""
    results = await client.send_many([wanted(number) for number in numbers])
    assert [result.error for result in results if result.error] == []
    return [result.notification_id for result in results]


async def send_while_killing(up: Up, client: AsyncClient) -> list[str]:
    """All ids. For each station: a wave of notifications, half of them before it dies and half while it is dead."""
    stations = [name for name, _ in STATIONS]
    waves = [range(TOTAL)[i * TOTAL // len(stations) : (i + 1) * TOTAL // len(stations)] for i in range(len(stations))]
    ids: list[str] = []
    for station, wave in zip(stations, waves, strict=True):
        half = len(wave) // 2
        ids += await send(client, wave[:half])
        found = await client.list_notifications(type=KIND, limit=TOTAL)
        assert sum(map(arrived, found)) < len(ids), f"nothing is under way that the death of {station} could harm"
        late = asyncio.create_task(send(client, wave[half:]))
        await kill(up, client, station)
        ids += await late
    return ids


def arrived(notification: Notification) -> bool:
    return bool(notification.deliveries) and all(delivery.status in ARRIVED for delivery in notification.deliveries)


@pytest.mark.timeout(300)
async def test_every_station_may_be_killed(up: Up) -> None:
    async with (
        AsyncClient(up.target, up.api_key, tls=False, timeout=60) as client,
        aiohttp.ClientSession(up.sandbox) as providers,
    ):
        await prepare(client)
        fault = {"provider": "*", "kind": "slow", "seconds": SLOW_S}
        assert (await providers.post("/faults", json=fault)).status == 201
        ids = await send_while_killing(up, client)
        assert len(set(ids)) == TOTAL
        assert (await providers.delete("/faults", json={})).status == 200

        async def all_arrived() -> bool:
            found = await client.list_notifications(type=KIND, limit=2 * TOTAL)
            states = Counter(d.status for n in found for d in n.deliveries)
            assert sum(map(arrived, found)) == TOTAL, states
            return {notification.notification_id for notification in found} == set(ids)

        await eventually(all_arrived, 120)

        counts = (await (await providers.get("/counts")).json())["counts"]
        inboxes = [await client.inbox(f"person-{i}", limit=TOTAL) for i in range(PEOPLE)]
        received = Counter({id_: sum(places.values()) for id_, places in counts.items()})
        received.update(message.notification_id for inbox in inboxes for message in inbox)
        assert received.keys() == set(ids), "every one arrived at its provider or in its inbox, and nothing else did"
