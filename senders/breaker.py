"""A circuit breaker over one provider: counts failures in a sliding window, opens, probes, closes. Pure; time is handed in.

    closed --(enough failures)--> open --(pause over)--> half open --(probes succeed)--> closed
                                    ^------(a probe fails, longer pause)------'

Only what says something about the provider counts: a recipient's invalid address does not.
"""

from collections import deque
from enum import IntEnum

from core.model import ErrorClass

WINDOW_MS = 10_000  # what is older says nothing about now
MIN_FAILURES = 5  # fewer failures than this in the window prove nothing
OPEN_SHARE = 0.5  # this share of failures opens it
PAUSE_FIRST_MS = 1_000  # the first pause; doubles with each failed probe
PAUSE_LAST_MS = 30_000
PROBES = 3  # successes in a row that close it

FAULTS = frozenset(
    {
        ErrorClass.TEMPORARY,
        ErrorClass.UNREACHABLE,
        ErrorClass.AMBIGUOUS,
        ErrorClass.MISCONFIGURED,
    }
)  # THROTTLED is the bucket's business: the provider is well, we are too fast


class State(IntEnum):
    """What the breaker lets through; the number is the metric's value."""

    CLOSED = 0  # everything
    HALF_OPEN = 1  # one probe at a time
    OPEN = 2  # nothing


class Breaker:
    """The breaker of one provider in one process."""

    def __init__(self) -> None:
        self._window: deque[tuple[int, bool]] = deque()  # (when, whether it failed), oldest first
        self._failures = 0
        self._open_until_ms = 0
        self._pause_ms = PAUSE_FIRST_MS
        self._tripped = False
        self._probing_since_ms: int | None = None
        self._good_probes = 0

    def state(self, now_ms: int) -> State:
        """The state at `now_ms`, milliseconds."""
        if not self._tripped:
            return State.CLOSED
        return State.OPEN if now_ms < self._open_until_ms else State.HALF_OPEN

    @property
    def open_until_ms(self) -> int:
        """When the current (or the last) pause is over; 0 if it was never open."""
        return self._open_until_ms

    def admits(self, now_ms: int) -> bool:
        """Whether a request may be made now; in the half-open state a yes hands out the one probe."""
        state = self.state(now_ms)
        if state is not State.HALF_OPEN:
            return state is State.CLOSED
        if self._is_probing(now_ms):
            return False
        self._probing_since_ms = now_ms  # a probe that never reports is forgotten after PAUSE_LAST_MS
        return True

    def wants_probe(self, now_ms: int) -> bool:
        """Whether it is half open and no probe is on its way."""
        return self.state(now_ms) is State.HALF_OPEN and not self._is_probing(now_ms)

    def withdraw(self) -> None:
        """The probe was not made: the next one may be."""
        self._probing_since_ms = None

    def report(self, error_class: ErrorClass, now_ms: int) -> None:
        """Takes in the answer to a request that was made."""
        failed = error_class in FAULTS
        if self._tripped:
            self._report_probe(failed, now_ms)
            return
        self._window.append((now_ms, failed))
        self._failures += failed
        self._forget(now_ms)
        if failed and self._failures >= MIN_FAILURES and self._failures >= OPEN_SHARE * len(self._window):
            self._open(now_ms)

    def failure_share(self, now_ms: int) -> float:
        """The share of failures in the window, 0.0 to 1.0; 0.0 if nothing was reported."""
        self._forget(now_ms)
        return self._failures / len(self._window) if self._window else 0.0

    def _is_probing(self, now_ms: int) -> bool:
        return self._probing_since_ms is not None and now_ms - self._probing_since_ms < PAUSE_LAST_MS

    def _report_probe(self, failed: bool, now_ms: int) -> None:
        if now_ms < self._open_until_ms:
            return  # a request from before it opened
        self._probing_since_ms = None
        if failed:
            self._pause_ms = min(self._pause_ms * 2, PAUSE_LAST_MS)
            self._open(now_ms)
            return
        self._good_probes += 1
        if self._good_probes >= PROBES:
            self._tripped = False
            self._pause_ms = PAUSE_FIRST_MS

    def _open(self, now_ms: int) -> None:
        self._tripped = True
        self._open_until_ms = now_ms + self._pause_ms
        self._good_probes = 0
        self._probing_since_ms = None
        self._window.clear()
        self._failures = 0

    def _forget(self, now_ms: int) -> None:
        while self._window and self._window[0][0] <= now_ms - WINDOW_MS:
            self._failures -= self._window.popleft()[1]
