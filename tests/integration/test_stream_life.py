"""One stream's life against a model: append, read, claim, progress, acknowledge, retry, die, replay, drop, in any order.

Two consumers, a clock that the test turns, a real Redis. After each step Redis holds what the model says, and every item is
in exactly one place: unread, in a hand, waiting, among the dead letters, or ended.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from core import keys
from core.clock import ManualClock
from core.deadletters import DeadLetters, Fate, Letter
from core.ids import new_id
from core.model import Channel, Priority, Status
from core.store import Command, Store
from core.streams import LEASE_MS, Append, Entry, Settlement, Streams, Wait
from fastpath import Record, pack_frame, record, unpack_frame
from fastpath.layout import DELIVERY, OUTCOME

T = TypeVar("T")
STREAM = keys.outbound(0, Channel.EMAIL, Priority.MEDIUM)
WAITING, OUTCOMES, DEAD = keys.waiting(STREAM), keys.outcomes(0), keys.dead(0, Channel.EMAIL)
NAMES = ("alice", "bob")
NAME = st.sampled_from(NAMES)
PICK = st.integers(0, 10**6)  # of a list, by remainder


def item(number: int) -> Record:
    id_ = new_id(0, Priority.MEDIUM, 1_700_000_000_000)
    return record(DELIVERY, id=id_, priority=Priority.MEDIUM, channel=Channel.EMAIL, type=f"n{number}")


def number_of(one: Record) -> int:
    return int(one.type.removeprefix("n"))


def outcome(number: int) -> bytes:
    return pack_frame([record(OUTCOME, id=bytes(16), status=Status.SENT, type=f"n{number}")])


@dataclass
class Held:
    """An entry that was handed out, or an item that waits: `due_ms` is 0 for an entry of the stream itself."""

    numbers: list[int]
    holder: str
    deliveries: int
    due_ms: int = 0
    done: set[int] = field(default_factory=set)

    @property
    def rest(self) -> list[int]:
        return [number for index, number in enumerate(self.numbers) if index not in self.done]

    @property
    def bitmap(self) -> bytes:
        if not self.done:
            return b""
        found = bytearray((len(self.numbers) + 7) // 8)
        for index in self.done:
            found[index >> 3] |= 1 << (index & 7)
        return bytes(found)


Key = tuple[bool, str]  # waiting, entry id


class Life(RuleBasedStateMachine):
    """The model beside Redis."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.numbers = 0
        self.records: dict[int, Record] = {}
        self.unread: list[list[int]] = []
        self.held: dict[Key, Held] = {}
        self.taken: list[tuple[str, Entry]] = []  # whatever a consumer was ever handed
        self.told: list[int] = []  # outcomes, in order
        self.letters: list[int] = []
        self.ended: Counter[int] = Counter()

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    @initialize()
    def begin(self) -> None:
        async def opened() -> None:
            self.store = await Store.connect(self.url)
            await self.store.redis.flushdb()
            self.streams = {name: await Streams(self.store, keys.SENDERS, name).open() for name in NAMES}
            await self.streams["alice"].create_groups([STREAM])
            self.dead = await DeadLetters(self.store, 1, self.clock).open()

        self.run(opened())

    # What may happen -----------------------------------------------------------------------------------------------------

    @rule(size=st.integers(1, 4))
    def append(self, size: int) -> None:
        frame = list(range(self.numbers, self.numbers + size))
        self.numbers += size
        self.records |= {number: item(number) for number in frame}
        self.unread.append(frame)
        self.run(self.streams["alice"].append([Append(STREAM, pack_frame([self.records[n] for n in frame]))]))

    @rule(ms=st.sampled_from([1, 400, LEASE_MS, 20_000]))
    def time_passes(self, ms: int) -> None:
        self.clock.advance(ms)

    @rule(name=NAME, budget=st.integers(1, 8))
    def take(self, name: str, budget: int) -> None:
        now_ms = self.clock.now_ms()
        entries = self.run(self.streams[name].take([STREAM], now_ms, budget))
        due = sorted((h.due_ms, id_) for (waits, id_), h in self.held.items() if waits and h.due_ms <= now_ms)[:budget]
        old = [entry for entry in entries if entry.waiting]
        assert [entry.id for entry in old] == [id_ for _, id_ in due]
        new = entries[len(old) :]
        if len(old) < budget:
            assert new or not self.unread
            assert sum(entry.records for entry in new) >= budget - len(old) or len(new) == len(self.unread)
        for entry in old:
            self.hand_over(name, entry, (True, entry.id), now_ms + LEASE_MS)
        for entry in new:
            self.held[(False, entry.id)] = Held(self.unread.pop(0), name, 0)
            self.hand_over(name, entry, (False, entry.id))

    @rule(name=NAME)
    def claim_what_the_other_holds(self, name: str) -> None:
        (other,) = {*NAMES} - {name}
        ids = self.run(self.streams[name].held_by(STREAM, other, 100))
        assert set(ids) == {id_ for (waits, id_), held in self.held.items() if not waits and held.holder == other}
        for entry in self.run(self.streams[name].adopt(STREAM, ids, other)):
            self.hand_over(name, entry, (False, entry.id))

    def hand_over(self, name: str, entry: Entry, key: Key, due_ms: int = 0) -> None:
        held = self.held[key]
        held.holder, held.due_ms = name, due_ms
        held.deliveries += 1
        assert [number_of(one) for one in unpack_frame(entry.frame)] == held.numbers
        assert (entry.deliveries, entry.done) == (held.deliveries, held.bitmap)
        self.taken.append((name, entry))

    @precondition(lambda self: self.taken)
    @rule(pick=PICK)
    def one_is_done(self, pick: int) -> None:
        """Progress inside of an entry, told twice: the reply to the first may have been lost."""
        name, entry = self.one(pick)
        held = self.of(name, entry)
        if held is not None and len(held.rest) < 2:
            return  # the last one ends the entry
        number = -1
        bitmap = b"\1"
        if held is not None:
            number = held.rest[pick % len(held.rest)]
            held.done.add(held.numbers.index(number))
            self.ended[number] += 1
            self.told.append(number)
            bitmap = held.bitmap
        for _ in range(2):
            settlement = Settlement(entry, (Append(OUTCOMES, outcome(number)),), done=bitmap)
            assert self.run(self.streams[name].settle([settlement])) == [held is not None]

    @precondition(lambda self: self.taken)
    @rule(pick=PICK)
    def all_is_done(self, pick: int) -> None:
        self.finish(*self.one(pick))

    def finish(self, name: str, entry: Entry) -> None:
        held = self.of(name, entry)
        numbers = held.rest if held is not None else [-1]
        self.settle(name, entry, Settlement(entry, tuple(Append(OUTCOMES, outcome(number)) for number in numbers)))
        if held is not None:
            self.ended.update(numbers)
            self.told += numbers

    @precondition(lambda self: self.taken)
    @rule(pick=PICK, delay_ms=st.sampled_from([0, 500, 60_000]), attempts=st.integers(0, 5))
    def it_must_wait(self, pick: int, delay_ms: int, attempts: int) -> None:
        name, entry = self.one(pick)
        held = self.of(name, entry)
        numbers = held.rest if held is not None else [-1]
        due_ms = self.clock.now_ms() + delay_ms
        frames = [pack_frame([self.records.get(number, item(number))]) for number in numbers]
        self.settle(name, entry, Settlement(entry, waits=tuple(Wait(frame, due_ms, attempts) for frame in frames)))
        if held is not None:
            (rows,) = self.run(self.store.send([["XRANGE", WAITING, "-", "+"]]))
            ids = {number_of(unpack_frame(fields[1])[0]): id_.decode() for id_, fields in rows}
            for number in numbers:
                self.held[(True, ids[number])] = Held([number], name, attempts, due_ms)

    @precondition(lambda self: self.taken)
    @rule(pick=PICK)
    def it_dies(self, pick: int) -> None:
        name, entry = self.one(pick)
        held = self.of(name, entry)
        numbers = held.rest if held is not None else [-1]
        frames = [pack_frame([self.records.get(number, item(number))]) for number in numbers]
        self.settle(name, entry, Settlement(entry, tuple(Append(DEAD, frame) for frame in frames)))
        if held is not None:
            self.letters += numbers

    @precondition(lambda self: self.letters)
    @rule(pick=PICK, drop=st.booleans())
    def an_operator_acts(self, pick: int, drop: bool) -> None:
        """Twice: the second one comes too late."""
        letter = self.found()[pick % len(self.letters)]
        assert letter.record is not None
        number = number_of(letter.record)
        self.letters.remove(number)
        self.told.append(number)
        if drop:
            self.ended[number] += 1
            assert [self.run(self.dead.drop(letter)) for _ in range(2)] == [True, False]
        else:
            self.unread.append([number])
            assert [self.run(self.dead.replay(letter)) for _ in range(2)] == [Fate.REPLAYED, Fate.GONE]

    def found(self) -> list[Letter]:
        async def all_of_them() -> list[Letter]:
            return [letter async for letter in self.dead.find()]

        return self.run(all_of_them())

    def one(self, pick: int) -> tuple[str, Entry]:
        """A consumer and an entry that it was handed; mostly one that is still its own."""
        own = [(name, entry) for name, entry in self.taken if self.of(name, entry) is not None]
        some = own if own and pick % 4 else self.taken
        return some[pick % len(some)]

    def of(self, name: str, entry: Entry) -> Held | None:
        """The model's entry if it is this consumer's now."""
        held = self.held.get((entry.waiting, entry.id))
        return held if held is not None and held.holder == name else None

    def settle(self, name: str, entry: Entry, settlement: Settlement) -> None:
        """Ends an entry, twice; who does not hold it is refused."""
        ours = self.of(name, entry) is not None
        assert self.run(self.streams[name].settle([settlement])) == [ours]
        if ours:
            del self.held[(entry.waiting, entry.id)]
        assert self.run(self.streams[name].settle([settlement])) == [False]

    # What always holds -----------------------------------------------------------------------------------------------------

    @invariant()
    def redis_holds_what_the_model_says(self) -> None:
        if not hasattr(self, "dead"):
            return
        commands: list[Command] = [["XLEN", STREAM], ["XLEN", WAITING], ["HGETALL", keys.progress(STREAM)]]
        ranges: list[Command] = [
            ["ZRANGE", keys.due(STREAM), 0, -1, "WITHSCORES"],
            *(["XRANGE", n, "-", "+"] for n in (OUTCOMES, DEAD)),
        ]
        depth, waiting, progress, due, outcomes, dead = self.run(self.store.send([*commands, *ranges]))
        waits = {id_: held for (is_waiting, id_), held in self.held.items() if is_waiting}
        assert depth == len(self.unread) + len(self.held) - len(waits)
        assert waiting == len(waits)
        assert {due[i].decode(): int(due[i + 1]) for i in range(0, len(due), 2)} == {i: h.due_ms for i, h in waits.items()}
        noted = {progress[i].decode(): progress[i + 1] for i in range(0, len(progress), 2)}
        assert noted == {id_: held.bitmap for (_, id_), held in self.held.items() if held.done}
        assert [number_of(unpack_frame(fields[1])[0]) for _, fields in outcomes] == self.told
        assert [number_of(unpack_frame(fields[1])[0]) for _, fields in dead] == self.letters

    @invariant()
    def every_item_is_in_one_place(self) -> None:
        places = Counter(number for frame in self.unread for number in frame)
        places.update(number for held in self.held.values() for number in held.rest)
        places.update(self.letters)
        places.update(self.ended)
        assert places == Counter(range(self.numbers))

    def teardown(self) -> None:
        """Whatever happened: a living consumer gets to the end of it."""
        if hasattr(self, "dead"):
            self.claim_what_the_other_holds("bob")
            while self.unread or any(waits or held.holder != "bob" for (waits, _), held in self.held.items()):
                self.clock.advance(60_000 + LEASE_MS)
                before = len(self.taken)
                self.take("bob", 100)
                for name, entry in self.taken[before:]:
                    self.finish(name, entry)
            for name, entry in self.taken:
                self.finish(name, entry)
            self.redis_holds_what_the_model_says()
            assert self.ended + Counter(self.letters) == Counter(range(self.numbers))
            self.run(self.store.close())
        self.runner.close()


def test_any_life_of_a_stream(redis_url: str) -> None:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    phases = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink a life step by step takes longer than a test may
    asked = hypothesis_settings(
        max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=checks, phases=phases
    )

    class HereLife(Life):
        def __init__(self) -> None:
            super().__init__(redis_url)

    run_state_machine_as_test(HereLife, settings=asked)
