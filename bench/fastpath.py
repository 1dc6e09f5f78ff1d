"""`python -m bench.fastpath`: each native function against what it replaces, one thread, no I/O.

Against its pure twin; rendering against Jinja2; packing against redis-py's; records against protobuf's own parsing. The two of
a pair take turns in the same run. `per_s` is by CPU second; `ratio` is how many times as fast the native one is.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import jinja2
import orjson
from redis.connection import Connection, PythonRespSerializer

import fastpath
from bench.meter import machine
from fastpath import canonical, layout
from fastpath.pure import dedupe as pure_dedupe
from fastpath.pure import intake as pure_intake
from fastpath.pure import records as pure_records
from fastpath.pure import render as pure_render
from fastpath.pure import resp as pure_resp
from fastpath.pure import router as pure_router
from fastpath.pure.batches import pack_frames as twin_frames
from fastpath.pure.batches import pack_results as twin_results
from tidings.v1 import notifications_pb2 as pb
from tidings.v1.types_pb2 import CHANNEL_EMAIL

BATCH = 100  # records of a frame, commands of a pipeline
ROUNDS = 7  # turns of each pair
WARM_UP = 0.1  # of the seconds of a pair

SUBJECT = "Your order {{ order.id }} is on its way, {{ name }}"
HTML = (
    "<html><body><h1>Hello {{ name }}</h1><p>Your order <b>{{ order.id }}</b> over {{ order.total }} {{ currency }} was shipped"
    ' on {{ date }}.</p><p>Track it: <a href="{{ link }}">{{ link }}</a></p><p>Kind regards, {{ shop }}</p></body></html>'
)
TEXT = "Hello {{ name }}, your order {{ order.id }} over {{ order.total }} {{ currency }} was shipped on {{ date }}: {{ link }}"
ROWS = "<ul>{% for row in rows %}<li>{{ loop.index }}. {{ row.title }}: {{ row.price }}</li>{% endfor %}</ul>"
PARTS = ((1, SUBJECT, False), (2, HTML, True), (3, TEXT, False))


@dataclass(frozen=True, slots=True)
class Pair:
    """What is measured against what. Each call does `units` of the work."""

    name: str
    against: str
    native: Callable[[], object]
    other: Callable[[], object]
    units: int = 1


def sample(dice: random.Random) -> dict[str, Any]:
    """Data of an order confirmation."""
    rows = [{"title": f"Thing & <{dice.randrange(100)}>", "price": f"{dice.randrange(9900) / 100:.2f}"} for _ in range(5)]
    order = {"id": f"ord_{dice.randrange(10**6)}", "total": "99.99"}
    link = "https://example.com/track?order=1&lang=en"
    words = {"name": "Zoë O'Neil", "currency": "EUR", "date": "2024-12-19", "link": link, "shop": "The Shop"}
    return {**words, "order": order, "rows": rows}


def deciding(dice: random.Random) -> Iterator[Pair]:
    """Routing and dedupe of a batch of different notifications, every second one seen before."""
    rules = (
        fastpath.Rule(name="critical", priorities=0b0001, channels=(2, 3, 1, 4)),
        fastpath.Rule(name="promotional", klasses=0b010, channels=(3, 1, 4)),
        fastpath.Rule(name="default", channels=(3, 1, 2, 4)),
    )
    routed = [(f"order_{dice.randrange(20)}", dice.randrange(1, 5), 1, 0, dice.randrange(16)) for _ in range(BATCH)]
    orders = [orjson.dumps({"order_id": f"ord_{dice.randrange(10**6)}", "total": "99.99", "name": "Zoë"}) for _ in routed]
    contents = [(b"usr_%d" % dice.randrange(10**6), r[0], "order", 3, order) for r, order in zip(routed, orders, strict=True)]
    whole = [(*each[1:], *content) for each, content in zip(routed, contents, strict=True)]

    def halves(router: Any, seen: Any, content_hash: Any) -> tuple[Callable[[], object], ...]:
        for content in contents[::2]:
            seen.put(content_hash(*content), bytes(16), 2000)
        route, get = router.route, seen.get

        def routes() -> None:
            for type, priority, klass, asked, has in routed:
                route(type, priority, klass, asked, has)

        def hashes() -> None:
            for to, type, template, version, data in contents:
                content_hash(to, type, template, version, data)

        def both() -> None:
            for priority, klass, asked, has, to, type, template, version, data in whole:
                route(type, priority, klass, asked, has)
                get(content_hash(to, type, template, version, data), 1000)

        return routes, hashes, both

    native = halves(fastpath.Router(rules), fastpath.LocalFilter(100_000), fastpath.content_hash)
    twin = halves(pure_router.Router(rules), pure_dedupe.LocalFilter(100_000), pure_dedupe.content_hash)
    for name, ours, theirs in zip(("route", "content_hash", "route_dedupe"), native, twin, strict=True):
        yield Pair(name, "twin", ours, theirs, BATCH)


def rendering(dice: random.Random) -> Iterator[Pair]:
    """Plain variables, a loop, both by way of the cache."""
    data = sample(dice)
    encoded = orjson.dumps(data)
    stock = {html: jinja2.Environment(autoescape=html) for html in (False, True)}
    templates = [stock[html].from_string(source) for _, source, html in PARTS]
    rows = stock[True].from_string(ROWS)
    plain, loop = fastpath.compile_parts(PARTS), fastpath.compile_parts([(2, ROWS, True)])
    twin = pure_render.compile_parts(PARTS)
    cache, key = fastpath.RenderCache(1 << 20), ("order", 3, "en", 1)
    expected = {number: template.render(data).encode() for (number, *_), template in zip(PARTS, templates, strict=True)}
    if not (plain.plain and loop.plain and fastpath.unpack_parts(plain.render(data)) == expected):
        raise RuntimeError("rendered natively it differs from what Jinja2 renders")

    def by_jinja() -> object:
        return [template.render(data) for template in templates]

    yield Pair("render_plain", "jinja2", lambda: plain.render(data), by_jinja)
    yield Pair("render_plain_twin", "twin", lambda: plain.render(data), lambda: twin.render(data))
    yield Pair("render_loop", "jinja2", lambda: loop.render(data), lambda: rows.render(data))
    yield Pair("render_cached", "jinja2", lambda: cache.render(key, plain, encoded), by_jinja)


def packing(dice: random.Random) -> Iterator[Pair]:
    """A pipeline of XADDs, as bytes; and the reply of XREADGROUP."""
    commands = [("XADD", f"stream-{index % 4}", "*", "f", dice.randbytes(500)) for index in range(BATCH)]
    default: Any = _connection()
    python: Any = _connection()
    python._command_packer = PythonRespSerializer(python._buffer_cutoff, python.encoder.encode)
    reply = [[b"stream", [[b"1700000000000-%d" % index, [b"f", dice.randbytes(500)]] for index in range(BATCH)]]]
    if b"".join(default.pack_commands(commands)) != fastpath.pack_commands(commands):
        raise RuntimeError("packed natively it differs from what redis-py packs")

    def ours() -> object:
        return fastpath.pack_commands(commands)

    yield Pair("pack", "redis-py", ours, lambda: python.pack_commands(commands), BATCH)
    yield Pair("pack_hiredis", "redis-py with hiredis", ours, lambda: default.pack_commands(commands), BATCH)
    yield Pair("pack_twin", "twin", ours, lambda: pure_resp.pack_commands(commands), BATCH)
    yield Pair("read_entries", "twin", lambda: fastpath.read_entries(reply), lambda: pure_resp.read_entries(reply), BATCH)


def _connection() -> Any:
    return cast(Any, Connection)()  # redis-py leaves it untyped


NAMES = ("type", "recipient_id", "template", "data", "source", "priority", "accepted_ms")
READ = ("type", "recipient_id", "email", "language", "template", "data", "source", "priority", "channel", "expires_ms")


def coding(dice: random.Random) -> Iterator[Pair]:
    """Records and frames against protobuf messages of the same notification: both are read in ten fields."""
    encoded = orjson.dumps({"name": "Zoë O'Neil", "order": "ord_789", "total": "99.99"})
    values = ("order_update", "usr_456", "order", encoded, "order-service", 2, 1_700_000_000_000)
    message = pb.Notification(type=values[0], template=values[2], source=values[4], priority=pb.Notification().priority)
    message.recipient.recipient_id = values[1]
    message.data.update(orjson.loads(encoded))
    parcel = message.SerializeToString()
    writer, id = fastpath.Writer(layout.NOTIFICATION, NAMES), dice.randbytes(16)
    twin_writer = pure_records.Writer(layout.NOTIFICATION, NAMES)
    records = [writer(id, *values)] * BATCH
    frame, twins = fastpath.pack_frame(records), [twin_writer(id, *values)] * BATCH

    def read(unpack: Any) -> Callable[[], object]:
        return lambda: [[getattr(each, name) for name in READ] for each in unpack(frame)]

    def parse() -> object:
        return [_ten_fields(pb.Notification.FromString(parcel)) for _ in range(BATCH)]

    yield Pair("make_record", "twin", lambda: writer(id, *values), lambda: twin_writer(id, *values))
    yield Pair("read_frame", "protobuf", read(fastpath.unpack_frame), parse, BATCH)
    yield Pair("read_frame_twin", "twin", read(fastpath.unpack_frame), read(pure_records.unpack_frame), BATCH)
    yield Pair("pack_frame", "twin", lambda: fastpath.pack_frame(records), lambda: pure_records.pack_frame(twins), BATCH)


def reading(dice: random.Random) -> Iterator[Pair]:
    """A request of plainly good notifications to records, and what surrounds them; their data as JSON."""
    item = pb.Notification(type="order_update", template="order", channels=[CHANNEL_EMAIL], source="order-service")
    item.recipient.email, item.recipient.language = "zoe@example.com", "de"
    item.data.update(sample(dice))
    wire, data = pb.SendBatchRequest(notifications=[item] * BATCH).SerializeToString(), item.data.SerializeToString()
    checks = fastpath.Checks(str, str, str, str, frozenset())
    known = {("order", 0): fastpath.Terms("order", 3, frozenset({"name", "order"}), 15)}
    asked: dict[str, Any] = {"admitted": 15, "now_ms": 1_700_000_000_000, "random": dice.randbytes(8 * BATCH)}
    asked |= {"traceparent": "", "mark": str}

    def read(reader: Any) -> Callable[[], Any]:
        return lambda: reader.read(wire, 0, known, **asked)

    native, twin = read(fastpath.Reader(4, checks)), read(pure_intake.Reader(4, checks))
    records, twins = native(), twin()
    if [each.raw for each in records] != [each.raw for each in twins]:
        raise RuntimeError("read natively it differs from what the twin reads")

    def by_protobuf() -> object:
        return [_ten_fields(each) for each in pb.SendBatchRequest.FromString(wire).notifications]

    writer, frames = canonical.Canonical(), (256, 1 << 19)
    yield Pair("read_request", "protobuf", native, by_protobuf, BATCH)
    yield Pair("read_request_twin", "twin", native, twin, BATCH)
    yield Pair("struct_json", "orjson of read_struct", lambda: writer.write(data), lambda: _json(fastpath.read_struct(data)))
    yield Pair(
        "pack_frames", "twin", lambda: fastpath.pack_frames(records, *frames), lambda: twin_frames(twins, *frames), BATCH
    )
    yield Pair("pack_results", "twin", lambda: fastpath.pack_results(records), lambda: twin_results(twins), BATCH)


def _json(values: object) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)


def _ten_fields(message: pb.Notification) -> object:
    to = message.recipient
    return (
        message.type, to.recipient_id, to.email, to.language, message.template, message.data, message.source, message.priority,
        message.channels, message.expires_at,
    )  # fmt: skip


def seconds_of(call: Callable[[], object], times: int) -> float:
    """CPU seconds that so many calls take: other processes on the machine do not count."""
    began = time.process_time()
    for _ in range(times):
        call()
    return time.process_time() - began


def measure(pair: Pair, seconds: float) -> dict[str, Any]:
    """Units per CPU second of both, taking turns for about `seconds` in all."""
    times = {}
    for call in (pair.native, pair.other):
        one = seconds_of(call, 3) / 3
        warm = max(1, int(seconds * WARM_UP / 2 / one))
        times[call] = max(1, int(seconds / 2 / ROUNDS / (seconds_of(call, warm) / warm)))
    rounds = [[times[call] * pair.units / seconds_of(call, times[call]) for call in times] for _ in range(ROUNDS)]
    native, other = ([each[side] for each in rounds] for side in (0, 1))
    return {
        "per_s": round(statistics.median(native)),
        "min": round(min(native)),
        "max": round(max(native)),
        "ratio": round(statistics.median(native) / statistics.median(other), 2),
        "against": pair.against,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each pair")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    knobs = parser.parse_args()
    if not fastpath.NATIVE:
        sys.exit(f"the native modules of fastpath are not built ({fastpath.WHY}): run `make build`")
    dice = random.Random(knobs.seed)
    found = {}
    for pair in (*deciding(dice), *rendering(dice), *packing(dice), *coding(dice), *reading(dice)):
        figures = found[pair.name] = measure(pair, knobs.seconds)
        if not knobs.json:
            print(f"{pair.name:18} {figures['per_s']:>12,}/s  {figures['ratio']:>8.1f} x {pair.against}", flush=True)
    knobs_said = {"seconds": knobs.seconds, "seed": knobs.seed, "rounds": ROUNDS, "batch": BATCH}
    print(json.dumps({"workload": "fastpath", **machine(), "knobs": knobs_said, **found}))


if __name__ == "__main__":
    main()
