"""What the senders' tests share: deliveries as the dispatcher writes them, messages, and a desk that only remembers."""

import asyncio
from collections.abc import Iterable, Sequence

from core.ids import new_id
from core.model import Channel, Class, Part, Priority
from fastpath import Record, pack_parts, record
from fastpath.layout import DELIVERY
from senders.provider import Answer, Desk, Message

NOW = 1_700_000_000_000

E_MAIL = {Part.SUBJECT: "Order 7", Part.HTML: "<p>Hello</p>", Part.TEXT: "Hello"}
SMS = {Part.TEXT: "Your code is 1234"}
PUSH = {Part.TITLE: "Order 7", Part.BODY: "is on its way", Part.DATA: '{"order": "7"}'}


def delivery(
    address: str = "ada@example.org",
    parts: dict[Part, str] = E_MAIL,
    *,
    channel: Channel = Channel.EMAIL,
    priority: Priority = Priority.MEDIUM,
    klass: Class = Class.TRANSACTIONAL,
    type: str = "order",
    partition: int = 0,
    **more: int | str,
) -> Record:
    fields = {"template": "order", "version": 1, "language": "en", "accepted_ms": NOW - 50, "queued_ms": NOW - 10, **more}
    return record(
        DELIVERY,
        id=new_id(partition, priority, NOW),
        priority=priority,
        klass=klass,
        channel=channel,
        type=type,
        address=address,
        recipient_id="",
        content=pack_parts([(int(part), text.encode()) for part, text in parts.items()]),
        **fields,  # type: ignore[arg-type]
    )


def message(item: Record, *, place: int = 0, provider: str = "") -> Message:
    return Message(item, place, provider)


def messages(items: Iterable[Record]) -> list[Message]:
    return [message(item, place=i) for i, item in enumerate(items)]


class Notes(Desk):
    """A desk that remembers; `refuse` are places whose attempt may not begin."""

    def __init__(self, refuse: Sequence[int] = ()) -> None:
        self.begun: list[int] = []
        self.answers: dict[int, Answer] = {}
        self.refuse = set(refuse)
        self.postponed: dict[int, int] = {}
        self._draining = asyncio.Event()

    @property
    def draining(self) -> asyncio.Event:
        return self._draining

    def in_time(self, messages: Sequence[Message]) -> Sequence[Message]:
        return messages

    def postpone(self, message: Message, due_ms: int) -> None:
        self.postponed[message.place] = due_ms

    async def begin_all(self, messages: Sequence[Message]) -> Sequence[Message]:
        begun = [message for message in messages if message.place not in self.refuse]
        for message in begun:
            message.begun_ms = NOW
            self.begun.append(message.place)
        return begun

    def end_all(self, messages: Sequence[Message], answer: Answer) -> None:
        for message in messages:
            assert message.place in self.begun
            assert message.place not in self.answers, "ended twice"
            self.answers[message.place] = answer

    @property
    def only(self) -> Answer:
        """The answer, if there is just one."""
        (answer,) = self.answers.values()
        return answer
