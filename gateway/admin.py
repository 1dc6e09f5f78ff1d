"""AdminService: what an operator asks of, and tells, a running system."""

from collections.abc import AsyncIterator

from core import census, members
from core.deadletters import DeadLetters, Fate, Letter
from core.halts import Halts
from core.ids import format_id
from core.model import RANK, Channel, Status
from core.store import Store
from core.wellbeing import Wellbeings
from fastpath import Record
from fastpath.layout import DELIVERY
from gateway import fields, validate
from gateway import letters as view
from gateway.admission import Admission
from gateway.door import Context
from gateway.errors import Violation, invalid
from gateway.views import timestamp
from ledger import Ledger
from tidings.v1 import admin_pb2 as pb
from tidings.v1 import admin_pb2_grpc, types_pb2
from tidings.v1.types_pb2 import ErrorReason

STATIONS = ("gateway", *census.STATIONS)
REPLAY_MAX = 100_000  # a second
REASON_CHARACTERS = 1_024
NO_TEMPLATE = "no_template"  # fate of a letter whose template is gone
ARRIVED = "arrived"  # fate of one that did arrive, as a webhook said later


class Admin(admin_pb2_grpc.AdminServiceServicer):
    """The service.

    Args:
        store: Redis.
        partitions: how many there are.
        letters: the dead letters.
        admission: how hard the system is pressed.
        ledger: what became of a letter's delivery meanwhile, and whether its template is still there.
    """

    def __init__(self, store: Store, partitions: int, *, letters: DeadLetters, admission: Admission, ledger: Ledger) -> None:
        self._store = store
        self._partitions = partitions
        self._letters = letters
        self._halts = Halts(store)
        self._wellbeings = Wellbeings(store)
        self._admission = admission
        self._ledger = ledger

    async def ListStations(self, request: pb.ListStationsRequest, context: Context) -> pb.ListStationsResponse:
        """Depth, lag and pending of every stream, who reads it, how providers fare, what is halted."""
        streams = await census.census(self._store, self._partitions)
        response = pb.ListStationsResponse(
            streams=[
                pb.StreamState(stream=s.stream, group=s.group, depth=s.depth, lag=s.lag, pending=s.pending, waiting=s.waiting)
                for s in streams
            ],
            overload=pb.OverloadLevel.ValueType(self._admission.level + 1),
            pressure=self._admission.pressure.worst,
        )
        for station in STATIONS:
            for name, silent_ms in await members.list_members(self._store, station):
                response.members.add(station=station, name=name, silent_ms=silent_ms)
        for channel, member, found in await self._wellbeings.ask():
            response.providers.add(
                channel=types_pb2.Channel.ValueType(channel),
                provider=found.provider,
                member=member,
                breaker=pb.BreakerState.ValueType(found.breaker + 1),
                share=found.share,
                failures=found.failures,
                per_second=found.per_s,
            )
        for halt in await self._halts.list():
            number = types_pb2.Channel.ValueType(halt.channel)
            response.halts.add(channel=number, reason=halt.reason, since=timestamp(halt.since_ms))
        return response

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: Context
    ) -> AsyncIterator[pb.ListDeadLettersResponse]:
        """Dead letters, oldest first."""
        async for letter in view.find(self._letters, request.filter):
            yield pb.ListDeadLettersResponse(letter=view.view(letter))

    async def ReplayDeadLetters(
        self, request: pb.ReplayDeadLettersRequest, context: Context
    ) -> AsyncIterator[pb.ReplayDeadLettersResponse]:
        """Sends dead letters again, at a rate."""
        if request.per_second > REPLAY_MAX:
            text = f"is more than {REPLAY_MAX}"
            raise invalid([Violation("per_second", text, ErrorReason.ERROR_REASON_TOO_LARGE)])
        pace = view.Pace(request.per_second)
        async for letter in view.find(self._letters, request.filter):
            await pace.wait()
            yield pb.ReplayDeadLettersResponse(
                key=view.key_of(letter), notification_id=_id(letter), fate=await self._replay(letter)
            )

    async def _replay(self, letter: Letter) -> str:
        item = letter.record
        if item is not None and item.kind == DELIVERY:
            if await self._arrived(item):
                return ARRIVED if await self._letters.forget(letter) else Fate.GONE.value
            if await self._ledger.templates.get(item.template, item.version) is None:
                return NO_TEMPLATE
        fate: Fate = await self._letters.replay(letter)
        return fate.value

    async def _arrived(self, item: Record) -> bool:
        """Whether a webhook has told meanwhile that an attempt that was given up did arrive."""
        stored = await self._ledger.deliveries.get(item.id)
        found = [d.status for d in stored.deliveries if (d.channel, d.device) == (item.channel, item.device)] if stored else []
        return any(RANK[Status.SENT] <= RANK[status] < RANK[Status.FAILED] for status in found)

    async def DropDeadLetters(
        self, request: pb.DropDeadLettersRequest, context: Context
    ) -> AsyncIterator[pb.DropDeadLettersResponse]:
        """Deletes dead letters for good."""
        async for letter in view.find(self._letters, request.filter):
            dropped = await self._letters.drop(letter)
            yield pb.DropDeadLettersResponse(key=view.key_of(letter), notification_id=_id(letter), dropped=dropped)

    async def HaltChannel(self, request: pb.HaltChannelRequest, context: Context) -> pb.HaltChannelResponse:
        """Stops a channel's sending."""
        faults = validate.Faults()
        channel = _channel(request.channel, faults)
        reason = request.reason.strip(" ")
        if reason:
            faults.check("reason", fields.line, request.reason, REASON_CHARACTERS)
        else:
            faults.note("reason", ErrorReason.ERROR_REASON_REQUIRED, "is required: say why, for the next operator")
        if channel is None or faults:
            raise invalid(faults)
        return pb.HaltChannelResponse(changed=await self._halts.halt(channel, reason))

    async def ResumeChannel(self, request: pb.ResumeChannelRequest, context: Context) -> pb.ResumeChannelResponse:
        """Lets a halted channel send again."""
        faults = validate.Faults()
        channel = _channel(request.channel, faults)
        if channel is None:
            raise invalid(faults)
        return pb.ResumeChannelResponse(changed=await self._halts.resume(channel))


def _id(letter: Letter) -> str:
    return format_id(letter.record.id) if letter.record is not None else ""


def _channel(number: int, faults: validate.Faults) -> Channel | None:
    if Channel.EMAIL <= number <= Channel.IN_APP:
        return Channel(number)
    text = f"{number} is not a channel; 1 (email) to 4 (in-app) are"
    faults.note("channel", ErrorReason.ERROR_REASON_UNKNOWN_VALUE, text)
    return None
