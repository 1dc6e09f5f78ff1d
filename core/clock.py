"""Time, injected: stations ask a Clock, tests hand in one that they turn themselves."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Where a station gets its time from."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000


@dataclass(slots=True)
class ManualClock:
    """A clock that stands still until it is told to move; for tests."""

    ms: int = 1_700_000_000_000

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return self.ms

    def advance(self, ms: int) -> None:
        """Move the hands forward by `ms` milliseconds."""
        self.ms += ms


SYSTEM_CLOCK = SystemClock()
