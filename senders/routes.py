"""Messages on their way to their providers: chosen (senders/selection.py), let through (senders/gate.py), handed over.

A message that cannot pass now waits here, outside of every connection and call; one whose provider closes its gate is chosen
a provider for anew. Nothing of that is an attempt: attempts begin at the desk, when a provider takes a message up.
"""

import asyncio
import random
from collections.abc import Container, Coroutine, Mapping, Sequence
from dataclasses import replace

from core.clock import SYSTEM_CLOCK, Clock
from core.model import Channel, ErrorClass, Status
from core.wellbeing import Wellbeing
from fastpath import Record, ages
from senders.breaker import State
from senders.gate import NOBODY, Gate, Pass
from senders.health import promptness
from senders.lanes import BY_DOMAIN, Lanes
from senders.provider import Answer, Desk, Message, Provider, fault
from senders.selection import Condition, Selection

UNCONFIGURED = "not_configured"  # our code: the provider that should take it has no credentials
PATIENCE_S = 1.0  # after waiting so long at one gate the others are looked at again, and the message's expiry
SPREAD_MS = 5_000  # what is set aside comes back over so long after the provider's pause


class Routes:
    """Hands messages to their providers, all of them at once; itself a senders.provider.Carrier."""

    def __init__(
        self,
        channel: Channel,
        providers: Mapping[str, Provider],
        pools: Mapping[int, Selection],
        gates: Mapping[str, Gate] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """A channel's routes.

        Args:
            channel: whose.
            providers: those that are configured, by name; a message for any other one fails as MISCONFIGURED.
            pools: who may take a record, by its platform; 0 is for all others.
            gates: the providers' gates; a plain one for each that has none.
            clock: for the plain ones.
        """
        self.channel = channel
        self._providers = providers
        self._pools = pools
        self.gates = {name: (gates or {}).get(name) or Gate(name, clock=clock) for name in providers}
        self.lanes = {name: Lanes(gate) for name, gate in self.gates.items() if name in BY_DOMAIN}

    def selection(self, record: Record) -> Selection:
        """Who may take a record."""
        return self._pools.get(record.platform) or self._pools[0]

    def provider(self, name: str) -> Provider | None:
        """The provider of this name if it is configured."""
        return self._providers.get(name)

    def conditions(self) -> dict[str, Condition]:
        """How the providers fare, each beside its peers."""
        gates = self.gates
        took = {name: gate.took_ms for name, gate in gates.items()}
        return {
            name: replace(
                gate.condition,
                promptness=promptness(took[name], gate.usual_ms, [ms for peer, ms in took.items() if peer != name]),
                trust=gate.trust,
            )
            for name, gate in gates.items()
        }

    def wellbeing(self) -> list[Wellbeing]:
        """What this process tells operators about each provider."""
        conditions = self.conditions()
        shares = {n: share for pool in self._pools.values() for n, share in pool.shares(conditions).items()}
        return [
            Wellbeing(name, int(gate.state), shares.get(name, 0.0), gate.failures, gate.per_s)
            for name, gate in self.gates.items()
        ]

    def flow_beside(self, gate: Gate) -> bool:
        """Whether another provider of the channel takes something, so that its streams are read."""
        return any(other.state is not State.OPEN for other in self.gates.values() if other is not gate)

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        await _Voyage(self, desk).run(messages)

    async def close(self) -> None:
        """See senders.provider.Carrier."""
        for lanes in self.lanes.values():
            await lanes.close()
        for gate in self.gates.values():
            await gate.close()
        for provider in self._providers.values():
            await provider.close()


class _Choice:
    """The choice of providers for messages that embark together: how those fare is asked once, if at all."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._conditions: dict[str, Condition] | None = None

    def of(self, record: Record) -> str:
        """Who is to take a record."""
        selection = self._routes.selection(record)
        sole = selection.sole(record)
        if sole:
            return sole
        if self._conditions is None:
            self._conditions = self._routes.conditions()
        name = selection.choose(record, self._conditions)
        found = self._conditions.get(name)
        if found is not None and found.wanting:
            self._conditions[name] = replace(found, wanting=False)  # one message is probe enough
        return name


class _Voyage:
    """One batch's messages until each was begun or cannot be."""

    def __init__(self, routes: Routes, desk: Desk) -> None:
        self._routes = routes
        self._desk = desk
        self._steps: set[asyncio.Task[None]] = set()
        self._in_lane: set[Message] = set()  # who paid in its domain's lane: once is enough, however long its gate takes

    async def run(self, messages: Sequence[Message]) -> None:
        """Raises the first failure once all the others are seen to."""
        failures: list[BaseException] = []
        self._embark(messages)
        try:
            while self._steps:
                done, _ = await asyncio.wait(self._steps, return_when=asyncio.FIRST_COMPLETED)
                self._steps -= done
                failures += [error for step in done if (error := step.exception()) is not None]
        except asyncio.CancelledError:
            for step in self._steps:
                step.cancel()
            await asyncio.gather(*self._steps, return_exceptions=True)
            raise
        if failures:
            raise failures[0]

    def _spawn(self, step: Coroutine[None, None, None]) -> None:
        self._steps.add(asyncio.create_task(step))

    def _embark(self, messages: Sequence[Message]) -> None:
        """Chooses a provider for each and sends them to its gate, each priority on its own."""
        choose = _Choice(self._routes).of
        groups: dict[tuple[str, int, Gate | None], list[Message]] = {}
        for message in messages:
            record = message.record
            name = message.provider = choose(record)
            lanes = self._routes.lanes.get(name)
            key = (name, record.priority, lanes.of(record) if lanes and message not in self._in_lane else None)
            group = groups.get(key)
            if group is None:
                group = groups[key] = []
            group.append(message)
        for (name, urgency, lane), group in groups.items():
            provider = self._routes.provider(name)
            if provider is None:
                self._spawn(self._refuse(name, group))
            else:
                self._spawn(self._pass(self._routes.gates[name], provider, urgency, group, lane))

    async def _refuse(self, name: str, messages: Sequence[Message]) -> None:
        answer = fault(ErrorClass.MISCONFIGURED, UNCONFIGURED, f"{name} is not configured; set TIDINGS_{name.upper()}__*")
        self._desk.end_all(await self._desk.begin_all(messages), answer)

    async def _pass(
        self, gate: Gate, provider: Provider, urgency: int, messages: Sequence[Message], lane: Gate | None = None
    ) -> None:
        """As many as may pass are handed over, the rest goes on waiting meanwhile. `lane`: a gate to pass before."""
        messages = self._desk.in_time(messages)
        if not messages:
            return
        if gate.state is State.OPEN and self._routes.flow_beside(gate):
            self._set_aside(gate, messages)
            return
        passed, first = await self._wait(gate, provider, urgency, messages, lane) if lane else (messages, NOBODY)
        if not passed:
            return
        if first.paid:
            self._in_lane.update(passed)
        passed, found = await self._wait(gate, provider, urgency, passed, None)
        if not passed:
            return
        door = GateDesk(self._desk, gate, self._routes, found, in_lane=self._in_lane)
        try:
            await provider.send(passed, door)
        except Exception:  # a bug; what this call's messages held is not held by them any more
            if found.probe:
                gate.forgo()
            self._again(door.turned_away)
            raise
        self._again(door.turned_away)

    async def _wait(
        self, gate: Gate, provider: Provider, urgency: int, messages: Sequence[Message], lane: Gate | None
    ) -> tuple[Sequence[Message], Pass]:
        """Those that passed the lane, or else the gate; the others go on waiting there, or look for another provider."""
        found = await (lane or gate).enter(urgency, len(messages), self._desk.draining, PATIENCE_S)
        passed, rest = messages[: found.count], messages[found.count :]
        if passed and rest:
            self._spawn(self._pass(gate, provider, urgency, rest, lane))
        elif rest:
            self._again(rest)
        return passed, found

    def _set_aside(self, gate: Gate, messages: Sequence[Message]) -> None:
        """For those that only this provider may take: in hand they would stop all others behind them."""
        for message in messages:
            self._desk.postpone(message, gate.reopens_ms + int(random.random() * SPREAD_MS))

    def _again(self, messages: Sequence[Message]) -> None:
        if messages and not self._desk.draining.is_set():
            self._embark(messages)


class GateDesk(Desk):
    """senders.provider.Desk of those that were let through one gate together: looks once more, and reports what came of it."""

    def __init__(self, desk: Desk, gate: Gate, routes: Routes, passed: Pass, *, in_lane: Container[Message] = ()) -> None:
        """`passed`: how they passed the gate; `in_lane`: who has paid in its domain's lane before."""
        self._desk = desk
        self._gate = gate
        self._routes = routes
        self._passed = passed
        self._probe = passed.probe
        self._in_lane = in_lane
        self._lanes = routes.lanes.get(gate.name)
        self.turned_away: list[Message] = []

    @property
    def draining(self) -> asyncio.Event:
        """See senders.provider.Desk."""
        return self._desk.draining

    def in_time(self, messages: Sequence[Message]) -> Sequence[Message]:
        """See senders.provider.Desk."""
        return self._desk.in_time(messages)

    def postpone(self, message: Message, due_ms: int) -> None:
        """See senders.provider.Desk."""
        self._desk.postpone(message, due_ms)

    async def begin_all(self, messages: Sequence[Message]) -> Sequence[Message]:
        """See senders.provider.Desk. Those whose gate has closed since, or asks for tokens, are in `turned_away`."""
        if not self._probe:
            messages = self._sift(messages)
        begun = await self._desk.begin_all(messages) if messages else ()
        if begun:
            self._gate.note_begun(len(begun))
        elif self._probe:
            self._gate.forgo()
        return begun

    def _sift(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Those that may still begin."""
        if not self._gate.passable or (self._gate.limited and not self._passed.paid):
            self.turned_away += messages
            return ()
        lanes = self._lanes
        if lanes is None:
            return messages
        free: list[Message] = []
        for message in messages:
            passes = message in self._in_lane or lanes.of(message.record) is None
            (free if passes else self.turned_away).append(message)
        return free

    def end_all(self, messages: Sequence[Message], answer: Answer) -> None:
        """See senders.provider.Desk."""
        self._report(messages, answer)
        if answer.error_class is not ErrorClass.NONE:
            conditions = self._routes.conditions()
            for message in messages:
                record = message.record
                selection = self._routes.selection(record)
                message.alternative = selection.alternative(record, message.provider, conditions)
        self._desk.end_all(messages, answer)

    def _report(self, messages: Sequence[Message], answer: Answer) -> None:
        """One answer is one piece of news, however many messages it is for; about a domain only if it is about all of them."""
        lanes = self._lanes
        of_domain = lanes is not None and all([lanes.report(answer, message.record) for message in messages])
        begun_ms = messages[0].begun_ms if messages else 0  # they were begun together
        self._gate.report(answer, probe=self._probe, begun_ms=begun_ms, ours=not of_domain)
        if answer.status is Status.SENT:
            self._gate.note_taken(ages([message.record for message in messages]))
