"""Locust users of a running system: `make load` against `make up`, or with its web page: `make load LOAD=`.

One user calls Send, another SendBatch, another keeps a SendStream open; priorities are mixed by weight. They use tidings' own
blocking client, whose gRPC is told to wait with gevent. `--host` is the gateway (host:port); without it that of `make up` here.
"""

import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

import grpc.experimental.gevent as grpc_gevent
from locust import User, between, constant, events, task

import tidings
from tidings.messages import NotificationFields

grpc_gevent.init_gevent()  # before any channel is opened

PRIORITIES = {"critical": 2, "high": 8, "medium": 30, "low": 60}  # by weight
LANGUAGES = ("en", "de", "fr", "es", "pl")
TEMPLATE = "load_test"
TEXT = "Hello {{ name }}, your order {{ order }} is on its way."
BATCH = 100
STREAM_S = 10.0  # how long a stream stays open
STREAM_PAUSE_S = 0.01  # between its messages
DICE = random.Random()
NUMBERS = itertools.count()


@events.test_start.add_listener
def put_template(environment: Any, **_: Any) -> None:
    """Stores the template that the users send."""
    contents = {x: {"subject": f"{x} {{{{ order }}}}", "text": TEXT} for x in LANGUAGES}
    with tidings.Client(environment.host or None) as client:
        client.put_template(TEMPLATE, {"email": contents}, variables=["name", "order"])  # type: ignore[dict-item]


def notification() -> NotificationFields:
    """Somebody's order, at a priority chosen by weight."""
    number = next(NUMBERS)
    (priority,) = DICE.choices(list(PRIORITIES), list(PRIORITIES.values()))
    language = LANGUAGES[number % len(LANGUAGES)]
    return {
        "type": "order_update",
        "template": TEMPLATE,
        "priority": priority,  # type: ignore[typeddict-item]
        "recipient": {"email": f"person-{number % 10_000}@example.com", "language": language},
        "data": {"name": f"Person {number}", "order": f"ord-{number}"},
        "channels": ["email"],
    }


class Caller(User):
    """What the three have in common: a client, and how a request is told to Locust."""

    abstract = True

    def on_start(self) -> None:
        """Connects."""
        self.client = tidings.Client(self.host or None)

    def on_stop(self) -> None:
        """Disconnects."""
        self.client.close()

    def tell(self, name: str, began: float, items: int, error: Exception | None = None) -> None:
        """One request, of so many notifications, is over."""
        self.environment.events.request.fire(
            request_type="gRPC",
            name=name,
            response_time=(time.perf_counter() - began) * 1000,
            response_length=items,
            exception=error,
        )


class Unary(Caller):
    """Send, one after the other."""

    weight = 8
    wait_time = between(0.01, 0.1)

    @task
    def send(self) -> None:
        """One notification."""
        item, began = notification(), time.perf_counter()
        try:
            self.client.send(**item)
        except tidings.ClientError as error:
            self.tell(f"Send {item['priority']}", began, 1, error)
        else:
            self.tell(f"Send {item['priority']}", began, 1)


class Batch(Caller):
    """SendBatch of BATCH notifications; an item that is refused fails the request."""

    weight = 1
    wait_time = between(0.1, 1)

    @task
    def send_many(self) -> None:
        """One batch."""
        items, began = [notification() for _ in range(BATCH)], time.perf_counter()
        try:
            refused: Exception | None = next((r.error for r in self.client.send_many(items) if r.error), None)
        except tidings.ClientError as error:
            refused = error
        self.tell(f"SendBatch of {BATCH}", began, BATCH, refused)


class Stream(Caller):
    """SendStream, open for STREAM_S; each message is a request, from its sending to its acknowledgement."""

    weight = 1
    wait_time = constant(0)

    @task
    def stream(self) -> None:
        """One stream."""
        sent: list[float] = []

        def messages() -> Iterator[NotificationFields]:
            ends = time.perf_counter() + STREAM_S
            while time.perf_counter() < ends:
                sent.append(time.perf_counter())
                yield notification()
                time.sleep(STREAM_PAUSE_S)

        try:
            for place, result in enumerate(self.client.stream(messages())):
                self.tell("SendStream", sent[place], 1, result.error)
        except tidings.ClientError as error:
            self.tell("SendStream", sent[-1] if sent else time.perf_counter(), 1, error)
