"""`python -m dispatcher` as a real process: it works, hears of changes, links its spans, and drains on SIGTERM."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from core import keys, telemetry
from core.changes import RECIPIENT, Changes
from core.config import Settings, child_environment
from core.marks import Marks
from core.model import Channel, Priority
from core.station import Batch
from core.store import Store
from core.streams import Append, Entry, Streams
from dispatcher.decide import Decider
from dispatcher.dedupe import Dedupe
from dispatcher.people import People
from dispatcher.station import DispatcherHandler
from dispatcher.templates import Templates
from fastpath import Record, RenderCache, pack_frame, unpack_frame
from ledger import Ledger
from tests.helpers import eventually
from tests.unit.dispatcher.values import ADA, ORDER, notification

EMAIL = Channel.EMAIL
INBOUND = keys.inbound(0, Priority.HIGH)


@asynccontextmanager
async def dispatcher(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = child_environment(settings.model_copy(update={"allow_pure": True}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dispatcher", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def sent(streams: Streams) -> list[Record]:
    entries = await streams.peek(keys.outbound(0, EMAIL, Priority.HIGH), 0, 2**45, 1000)
    return [record for _, frame in entries for record in unpack_frame(frame)]


async def test_it_works_hears_of_changes_and_drains(settings: Settings, store: Store, ledger: Ledger) -> None:
    for _ in range(ORDER.version):
        await ledger.templates.put(ORDER)
    await ledger.recipients.upsert(ADA)
    streams = Streams(store)

    async def post() -> None:
        await streams.append([Append(INBOUND, pack_frame([notification(EMAIL)]))])

    async def reached(*addresses: str) -> bool:
        return [delivery.address for delivery in await sent(streams)] == list(addresses)

    async with dispatcher(settings) as process:
        await post()
        await eventually(lambda: reached("ada@example.com"), 20)
        await ledger.recipients.upsert(replace(ADA, email="new@example.com"))
        await Changes(store).publish(RECIPIENT, "ada")
        await post()
        await eventually(lambda: reached("ada@example.com", "new@example.com"))
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
        assert process.returncode == 0, log.decode()
        assert b"ada@example.com" not in log


async def test_a_traced_notification_has_a_span_that_the_sender_goes_on_from(store: Store, ledger: Ledger) -> None:
    await ledger.templates.put(ORDER)
    await ledger.recipients.upsert(ADA)
    dedupe = Dedupe(await Marks(store).open())
    handler = DispatcherHandler(
        People(ledger.recipients.contacts), Templates(ledger.templates.get), Decider(RenderCache(1 << 20)), dedupe
    )
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    quiet = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203332-00"
    records = [notification(EMAIL, version=1, traceparent=text) for text in (parent, quiet, "")]
    telemetry.use(provider)
    try:
        entry = Entry(INBOUND, "1-0", pack_frame(records))
        (settlement,) = await handler.handle(Batch(0, [entry], lambda _: asyncio.sleep(0, [])))
    finally:
        telemetry.use(None)
    (span,) = [span for span in exporter.get_finished_spans() if span.name == "dispatch"]
    assert span.context is not None
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (parent[3:35], parent[36:52])
    out, outcomes = (unpack_frame(append.frame) for append in settlement.appends)
    assert [delivery.traceparent for delivery in out] == [f"00-{parent[3:35]}-{span.context.span_id:016x}-01", quiet, ""]
    assert [outcome.traceparent for outcome in outcomes] == [parent, quiet, ""]
