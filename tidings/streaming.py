"""What a stream of notifications has sent and what of it is acknowledged (pure), and the blocking client's stream over it.

A stream that breaks is opened again and continues with what was not acknowledged; the idempotency keys keep a message
that had arrived after all from being sent twice. Results come in the order of the items.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc

from tidings import calls, values
from tidings.errors import ClientError, InvalidRequest, Unavailable, from_rpc
from tidings.messages import NotificationFields
from tidings.v1 import notifications_pb2

WINDOW = 1_000  # messages under way at once


class Window:
    """Items in their order, from the first that has no result yet. Not safe for threads by itself."""

    def __init__(self) -> None:
        self._items: deque[tuple[int, notifications_pb2.SendStreamRequest | values.Result]] = deque()
        self._sequence = 0
        self.finished = False  # no more items will be added
        self.failed: BaseException | None = None  # the caller's own iterator raised this

    @property
    def full(self) -> bool:
        """Whether to wait before adding."""
        return len(self._items) >= WINDOW

    @property
    def done(self) -> bool:
        """Whether everything has a result."""
        return self.finished and not self._items

    def add(self, item: calls.Item) -> None:
        """Append an item; one that cannot be sent has its result already."""
        self._sequence += 1
        if isinstance(item, InvalidRequest):
            self._items.append((self._sequence, values.Result("", error=item)))
        else:
            request = notifications_pb2.SendStreamRequest(sequence=self._sequence, notification=item)
            self._items.append((self._sequence, request))

    def after(self, sequence: int) -> notifications_pb2.SendStreamRequest | None:
        """The next message to send after this one, or None if there is none yet."""
        if sequence >= self._sequence:
            return None
        first = self._items[0][0] if self._items else self._sequence + 1
        for i in range(max(sequence + 1 - first, 0), len(self._items)):
            item = self._items[i][1]
            if not isinstance(item, values.Result):
                return item
        return None

    def acknowledge(self, response: notifications_pb2.SendStreamResponse) -> None:
        """Note the result of a message.

        Raises:
            Unavailable: an acknowledgement of something else: the connection is not to be trusted.
        """
        for i, (sequence, item) in enumerate(self._items):
            if not isinstance(item, values.Result):
                if sequence != response.sequence:
                    break
                self._items[i] = (sequence, values.result(response.result))
                return
        raise Unavailable(f"acknowledgement {response.sequence} is out of order", code="UNAVAILABLE")

    def results(self) -> Iterator[values.Result]:
        """Take the results that are complete, in order."""
        while self._items and isinstance(result := self._items[0][1], values.Result):
            self._items.popleft()
            yield result


class BlockingStream:
    """One stream() call: a thread reads the caller's items into the window, gRPC's own takes messages out of it."""

    def __init__(
        self,
        rpc: Callable[..., Any],
        metadata: tuple[tuple[str, str], ...],
        given: Iterable[NotificationFields],
        timeout: float,
    ) -> None:
        self._rpc, self._metadata, self._given, self._timeout = rpc, metadata, given, timeout
        self._window = Window()
        self._changed = threading.Condition()
        self._call = 0  # number of the current call; a message generator of an earlier one ends itself

    def __iter__(self) -> Iterator[values.Result]:
        threading.Thread(target=self._read, name="tidings-stream", daemon=True).start()
        attempt, failing_since = 0, time.monotonic()
        try:
            while not self._window.done:
                try:
                    for result in self._connection():
                        yield result
                        attempt, failing_since = 0, time.monotonic()
                except ClientError as error:
                    remaining = failing_since + self._timeout - time.monotonic()
                    delay = calls.retry_delay(error, attempt, remaining, 0.5)
                    if delay is None:
                        raise
                    attempt += 1
                    time.sleep(delay)
            if self._window.failed is not None:
                raise self._window.failed
        finally:
            with self._changed:
                self._call = -1
                self._changed.notify_all()

    def _connection(self) -> Iterator[values.Result]:
        """Results for as long as one connection lives."""
        with self._changed:
            self._call += 1
        call = self._rpc(self._messages(self._call), metadata=self._metadata)
        try:
            for response in call:
                with self._changed:
                    self._window.acknowledge(response)
                    ready = list(self._window.results())
                    self._changed.notify_all()
                yield from ready
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        finally:
            call.cancel()
        with self._changed:
            ready = list(self._window.results())  # what could not be sent at all waits for no acknowledgement
        yield from ready
        if not self._window.done:
            raise Unavailable("the gateway ended the stream", code="UNAVAILABLE")

    def _messages(self, number: int) -> Iterator[notifications_pb2.SendStreamRequest]:
        sent = 0
        while True:
            with self._changed:
                while (request := self._window.after(sent)) is None and not self._window.finished and self._call == number:
                    self._changed.wait()
            if request is None or self._call != number:
                return
            sent = request.sequence
            yield request

    def _read(self) -> None:
        window = self._window
        try:
            for item in calls.items(self._given):
                with self._changed:
                    while window.full and self._call >= 0:
                        self._changed.wait()
                    if self._call < 0:
                        return
                    window.add(item)
                    self._changed.notify_all()
        except BaseException as error:  # the caller's own, raised again where the caller listens
            window.failed = error
        finally:
            with self._changed:
                window.finished = True
                self._changed.notify_all()
