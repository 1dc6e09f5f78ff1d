"""The pace of a replay, by a clock that the test turns."""

import pytest

from gateway import letters


class Time:
    """A clock that only sleeping moves; stands in for the modules time and asyncio."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(letters, "time", made)
    monkeypatch.setattr(letters, "asyncio", made)
    return made


@pytest.mark.parametrize(("asked", "per_second"), [(20, 20), (1000, 1000), (0, letters.REPLAY_PER_S)])
async def test_letters_go_at_the_rate_that_was_asked_for(asked: int, per_second: int, time: Time) -> None:
    pace, began = letters.Pace(asked), time.now
    for _ in range(3 * per_second):
        await pace.wait()
    assert time.now - began == pytest.approx(3.0)


async def test_what_was_missed_is_made_up_for_but_no_more_than_a_second_of_it(time: Time) -> None:
    pace = letters.Pace(10)
    time.now += 60
    went, began = 0, time.now
    while time.now == began:
        await pace.wait()
        went += 1
    assert went == 12  # a second's, the one that is due, and the first that had to wait
