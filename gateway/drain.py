"""The moment at which this process begins to stop: who holds a call open for long is told, and ends it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Drain:
    """Told once, heard by all; who listens afterwards hears it at once."""

    def __init__(self) -> None:
        self.begun = False
        self._listeners: set[Callable[[], None]] = set()

    def begin(self) -> None:
        """Tells everybody, the first time it is called."""
        if not self.begun:
            self.begun = True
            for listener in list(self._listeners):
                listener()

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """`listener` is called if the drain begins while the block runs, or has begun before."""
        if self.begun:
            listener()
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)
