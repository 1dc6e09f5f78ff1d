"""The breaker's life as a story, and its laws for every sequence of answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import ErrorClass
from senders.breaker import FAULTS, MIN_FAILURES, OPEN_SHARE, PAUSE_FIRST_MS, PAUSE_LAST_MS, PROBES, WINDOW_MS, Breaker, State

NOW = 1_700_000_000_000
BAD, GOOD = ErrorClass.TEMPORARY, ErrorClass.NONE


def tripped() -> Breaker:
    breaker = Breaker()
    for _ in range(MIN_FAILURES):
        breaker.report(BAD, NOW)
    return breaker


def test_it_opens_probes_and_closes() -> None:
    breaker = tripped()
    assert (breaker.state(NOW), breaker.admits(NOW)) == (State.OPEN, False)
    later = NOW + PAUSE_FIRST_MS
    for _ in range(PROBES):
        assert breaker.state(later) is State.HALF_OPEN
        assert [breaker.admits(later), breaker.admits(later)] == [True, False]  # one probe at a time
        breaker.report(GOOD, later)
    assert (breaker.state(later), breaker.admits(later)) == (State.CLOSED, True)


def test_a_failed_probe_doubles_the_pause_up_to_a_limit() -> None:
    breaker, now, pause = tripped(), NOW, PAUSE_FIRST_MS
    for _ in range(10):
        now += pause
        assert not breaker.admits(now - 1)
        assert breaker.admits(now)
        breaker.report(BAD, now)
        pause = min(pause * 2, PAUSE_LAST_MS)
    assert pause == PAUSE_LAST_MS


def test_few_failures_or_many_successes_do_not_open_it() -> None:
    breaker = Breaker()
    for _ in range(MIN_FAILURES - 1):
        breaker.report(BAD, NOW)
    assert breaker.state(NOW) is State.CLOSED
    for _ in range(20):
        breaker.report(GOOD, NOW)
    for _ in range(10):
        breaker.report(BAD, NOW)
    assert breaker.state(NOW) is State.CLOSED
    assert 0 < breaker.failure_share(NOW) < 0.5


def test_old_failures_are_forgotten() -> None:
    breaker = Breaker()
    for _ in range(MIN_FAILURES - 1):
        breaker.report(BAD, NOW)
    breaker.report(BAD, NOW + WINDOW_MS)
    assert breaker.state(NOW + WINDOW_MS) is State.CLOSED


def test_a_recipients_fault_is_not_the_providers() -> None:
    breaker = Breaker()
    for error in (ErrorClass.PERMANENT, ErrorClass.UNREGISTERED, ErrorClass.THROTTLED) * 50:
        breaker.report(error, NOW)
    assert breaker.state(NOW) is State.CLOSED


@pytest.mark.parametrize(
    "error", [ErrorClass.TEMPORARY, ErrorClass.UNREACHABLE, ErrorClass.AMBIGUOUS, ErrorClass.MISCONFIGURED]
)
def test_what_says_something_about_the_provider_opens_it(error: ErrorClass) -> None:
    breaker = Breaker()
    for _ in range(MIN_FAILURES):
        breaker.report(error, NOW)
    assert breaker.state(NOW) is State.OPEN


def test_a_probe_that_never_reports_does_not_block_it_for_good() -> None:
    breaker = tripped()
    later = NOW + PAUSE_FIRST_MS
    assert breaker.admits(later)
    assert not breaker.admits(later + PAUSE_LAST_MS - 1)
    assert breaker.admits(later + PAUSE_LAST_MS)


@given(st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(list(ErrorClass))), max_size=200))
def test_no_sequence_breaks_a_law(steps: list[tuple[int, ErrorClass]]) -> None:
    breaker, now = Breaker(), NOW
    for step, error in steps:
        now += step
        state = breaker.state(now)
        admitted = breaker.admits(now)
        assert admitted or state is not State.CLOSED
        assert not (admitted and state is State.OPEN)
        assert 0.0 <= breaker.failure_share(now) <= 1.0
        if admitted:
            breaker.report(error, now)
    quiet = now + PAUSE_LAST_MS  # whatever happened: after the longest pause it lets someone try
    assert breaker.admits(quiet)


class Plain:
    """A breaker that remembers every report and counts anew each time."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, bool]] = []
        self.until, self.pause, self.good = 0, PAUSE_FIRST_MS, 0
        self.tripped = False
        self.probing: int | None = None

    def state(self, now: int) -> State:
        return State.CLOSED if not self.tripped else State.OPEN if now < self.until else State.HALF_OPEN

    def admits(self, now: int) -> bool:
        state = self.state(now)
        if state is State.HALF_OPEN and (self.probing is None or now - self.probing >= PAUSE_LAST_MS):
            self.probing = now
            return True
        return state is State.CLOSED

    def report(self, bad: bool, now: int) -> None:
        recent = [*((at, failed) for at, failed in self.reports if at > now - WINDOW_MS), (now, bad)]
        failures = sum(failed for _, failed in recent)
        if self.tripped and now >= self.until:
            self.probing = None
            self.good = 0 if bad else self.good + 1
            self.pause = min(self.pause * 2, PAUSE_LAST_MS) if bad else self.pause
            if bad:
                self.open(now)
            elif self.good == PROBES:
                self.tripped, self.pause = False, PAUSE_FIRST_MS
        elif not self.tripped:
            self.reports = recent
            if bad and failures >= MIN_FAILURES and failures >= OPEN_SHARE * len(recent):
                self.open(now)

    def open(self, now: int) -> None:
        self.tripped, self.until, self.good, self.reports, self.probing = True, now + self.pause, 0, [], None


STEPS = st.tuples(
    st.integers(0, 3000), st.sampled_from([BAD, BAD, GOOD, ErrorClass.THROTTLED, ErrorClass.PERMANENT]), st.booleans()
)


@given(st.lists(STEPS, min_size=20, max_size=120))  # shorter ones prove little: five failures open it
def test_it_does_what_a_plain_one_does(steps: list[tuple[int, ErrorClass, bool]]) -> None:
    breaker, plain, now = Breaker(), Plain(), NOW
    for step, error, late in steps:
        now += step
        assert breaker.state(now) is plain.state(now)
        admitted = plain.admits(now)
        assert breaker.admits(now) is admitted
        if admitted or late:  # late: the answer to a request from before it opened
            breaker.report(error, now)
            plain.report(error in FAULTS, now)
