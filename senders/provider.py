"""The words between channels and providers: a Message goes in, an Answer comes out, a Desk keeps the books. No I/O.

An answer is a value whatever it says: a provider that refuses, is silent or cannot be reached is not an exception.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from opentelemetry.trace import Span

from core.ids import format_id
from core.model import ErrorClass, Part, Status
from fastpath import Record, unpack_parts


class Message:
    """One delivery in a sender's hand. Slim, as most of a batch are only looked at: what is in it is unpacked when asked for.

    Attributes:
        record: the delivery, as the dispatcher wrote it (or the attempt before this one).
        place: its place among the records of the batch; the desk's own business.
        provider: name of the provider that was chosen for this attempt.
        begun_ms: when the attempt began, milliseconds since the epoch; 0 before.
        span: the sender's span; None where nothing is traced.
        alternative: after a failure: another provider is well and could take it at once.
        data: of a push: what it carries besides its text, once senders/receipts.py has made it.
    """

    __slots__ = ("_id", "_parts", "alternative", "begun_ms", "data", "place", "provider", "record", "span")

    def __init__(self, record: Record, place: int = 0, provider: str = "") -> None:
        self.record = record
        self.place = place
        self.provider = provider
        self.begun_ms = 0
        self.span: Span | None = None
        self.alternative = False
        self.data: dict[str, str] | None = None
        self._id = ""
        self._parts: dict[int, bytes] | None = None

    @property
    def parts(self) -> dict[int, bytes]:
        """What to say, UTF-8, by core.model.Part.

        Raises:
            FrameError: the content is damaged.
        """
        if self._parts is None:
            self._parts = unpack_parts(self.record.content)
        return self._parts

    @property
    def id(self) -> str:
        """The notification's id as callers see it."""
        if not self._id:
            self._id = format_id(self.record.id)
        return self._id

    @property
    def subject(self) -> str:
        """The subject as a header takes it: one line, so that nothing can be injected."""
        return " ".join(self.text(Part.SUBJECT).split())

    def text(self, part: Part) -> str:
        """A rendered part; "" if the message has none."""
        return self.parts.get(part, b"").decode()


class Answer(NamedTuple):
    """What came of an attempt. (A tuple, as are the others that each attempt makes: a third of what a frozen dataclass costs.)

    Attributes:
        status: SENT (taken), DELIVERED (taken, and known to have arrived) or FAILED; what follows a FAILED is core.retry's
            word.
        error_class: NONE unless FAILED.
        provider_id: the provider's own id of the message.
        code: the provider's own code, or one of ours where it gave none ("connect", "no_answer").
        reason: its own words, shortened, without addresses.
        retry_after_ms: the provider's wish, milliseconds from now; 0 for none.
        units: what it bills (SMS segments).
    """

    status: Status
    error_class: ErrorClass = ErrorClass.NONE
    provider_id: str = ""
    code: str = ""
    reason: str = ""
    retry_after_ms: int = 0
    units: int = 0


def sent(provider_id: str = "", *, code: str = "", units: int = 0) -> Answer:
    """The provider took it."""
    return Answer(Status.SENT, provider_id=provider_id, code=code, units=units)


def delivered(provider_id: str = "", *, code: str = "") -> Answer:
    """The provider took it, and its yes means that it arrived."""
    return Answer(Status.DELIVERED, provider_id=provider_id, code=code)


def fault(error_class: ErrorClass, code: str, reason: str, *, retry_after_ms: int = 0, units: int = 0) -> Answer:
    """The attempt failed; `reason` must hold no address, see answers.words."""
    return Answer(Status.FAILED, error_class, code=code, reason=reason, retry_after_ms=retry_after_ms, units=units)


class Desk(Protocol):
    """Keeps the books of attempts. Every attempt is begun and ended here, and nothing is sent that was not begun.

    Messages of one call are begun and ended together: the books are kept for all of them in one step.
    """

    @property
    def draining(self) -> asyncio.Event:
        """Set when the process was asked to stop: nothing begins any more, and nobody waits for it."""
        ...

    def in_time(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Those whose time is not over; of the others that is noted, and they are done."""
        ...

    def postpone(self, message: Message, due_ms: int) -> None:
        """Puts a message that was not begun aside until `due_ms` (since the epoch): no attempt, no event, nothing in hand."""
        ...

    async def begin_all(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Notes that attempts begin now, those of one call; call it right before the step that cannot be undone.

        Returns those that may be sent, in their order. Do not send the others, and do not call `end_all` for them (they
        expired, the process drains, or another one has them by now).
        """
        ...

    def end_all(self, messages: Sequence[Message], answer: Answer) -> None:
        """Notes the answer to attempts that were begun together, by one provider."""
        ...

    async def begin(self, message: Message) -> bool:
        """`begin_all` of one message: whether it may be sent."""
        return bool(await self.begin_all((message,)))

    def end(self, message: Message, answer: Answer) -> None:
        """`end_all` of one message."""
        self.end_all((message,), answer)


class Carrier(Protocol):
    """Whatever takes messages and sees to them: a channel, a provider, a batcher."""

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """Begins and ends an attempt for each message; returns when every attempt that was begun is ended.

        Raises:
            StoreUnavailable, LedgerUnavailable: nothing was begun; the same messages may be handed in again.
            Exception: a bug, after all other messages were seen to; what was begun and not ended may have been sent.
        """
        ...

    async def close(self) -> None:
        """Closes connections; nothing is in hand any more."""
        ...


class Provider(Carrier, Protocol):
    """A carrier that speaks to the outside world."""

    @property
    def name(self) -> str:
        """What outcomes, metrics and routes call it."""
        ...
