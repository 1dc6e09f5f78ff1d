"""What answers, their time and receipts leave of a provider's weight: smoothly, and back; by an injected clock."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.arrivals import Counts
from senders.health import (
    FLOW_HALF_LIFE_MS,
    HALF_LIFE_MS,
    PROMPT_MS,
    RECENT_MIN,
    SETTLED_MIN,
    USUAL_MIN,
    Flow,
    Health,
    left_of_rate,
    minutes_of_interest,
    promptness,
    trust,
)
from tests.unit.senders.kit import NOW

MINUTE = 28_000_000


def test_failures_fade_smoothly() -> None:
    health, now = Health(), NOW
    assert health.failures(now) == 0.0
    health.note(True, now)
    assert health.failures(now) < 0.2  # one proves little
    for _ in range(200):
        health.note(True, now)
    assert health.failures(now) > 0.95
    seen = []
    for _ in range(20):
        now += HALF_LIFE_MS
        health.note(False, now)
        seen.append(health.failures(now))
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < 0.01


def test_slow_answers_cost_weight_and_quick_ones_bring_it_back() -> None:
    health, now = Health(), NOW

    def left() -> float:
        return promptness(health.took_ms(now), health.usual_ms(now))

    def answer(took_ms: int, times: int) -> list[float]:
        nonlocal now
        seen = []
        for _ in range(times):
            now += 1_000
            health.note(False, now, took_ms)
            seen.append(left())
        return seen

    assert answer(200, 600) == [1.0] * 600
    ill = answer(9_000, 30)
    assert ill[0] > 0.95  # one proves little
    assert ill == sorted(ill, reverse=True)
    assert ill[-1] < 0.2
    well = answer(200, 300)
    assert well == sorted(well)
    assert well[-1] == 1.0


def test_an_answer_without_a_time_says_nothing_of_time() -> None:
    health = Health()
    health.note(True, NOW)
    assert (health.took_ms(NOW), health.usual_ms(NOW)) == (0.0, 0.0)
    assert promptness(0.0, 0.0) == 1.0


@pytest.mark.parametrize(
    ("took", "usual", "peers", "left"),
    [
        (PROMPT_MS, 1, [1], 1.0),  # a fifth of a second more or less is nobody's illness
        (3_000, 1_000, [], 1.0),
        (6_000, 1_000, [], 0.5),
        (6_000, 1_000, [0.0], 0.5),  # nothing is known of the other
        (6_000, 6_000, [5_000], 1.0),  # this is its way
        (6_000, 6_000, [300], 0.5),  # but the other is twenty times as quick
        (6_000, 1_000, [20_000], 0.5),  # a slower peer excuses nothing
    ],
)
def test_how_slow_is_slow(took: float, usual: float, peers: list[float], left: float) -> None:
    assert promptness(took, usual, peers) == left


@pytest.mark.parametrize(("refused", "left"), [(0.03, 0.9), (0.5, 0.5), (0.8, pytest.approx(0.2)), (1.0, 0.1)])
def test_what_a_plea_leaves_of_a_rate(refused: float, left: float) -> None:
    assert left_of_rate(refused) == left


def test_a_flow_is_what_it_was_lately() -> None:
    flow, now = Flow(), NOW
    assert flow.per_s(now) == 0.0
    for _ in range(500):
        now += 20
        flow.note(now)
    assert flow.per_s(now) == pytest.approx(50, rel=0.02)
    assert flow.per_s(now + 5 * FLOW_HALF_LIFE_MS) == pytest.approx(50 / 32, rel=0.02)


# Receipts ---------------------------------------------------------------------------------------------------------------


def counts(of: Callable[[int], Counts]) -> dict[int, Counts]:
    """Counts by how many minutes ago."""
    return {MINUTE - ago: of(ago) for ago in range(USUAL_MIN + 5)}


def test_who_never_sends_receipts_is_trusted() -> None:
    assert trust(counts(lambda ago: Counts(1_000)), MINUTE) == 1.0
    assert trust({}, MINUTE) == 1.0


def test_the_usual_receipts_are_trusted_though_the_last_minutes_are_not_complete() -> None:
    assert trust(counts(lambda ago: Counts(1_000, 400 if ago > SETTLED_MIN else 0)), MINUTE) == pytest.approx(1.0, abs=0.01)


def test_receipts_that_stay_away_cost_trust_minute_by_minute_and_bring_it_back() -> None:
    def silent(now: int) -> float:
        """Silence from minute 0 on, for eight minutes."""
        return trust({m: Counts(100, 0 if 0 <= m < 8 else 90) for m in minutes_of_interest(now)}, now)

    seen = [silent(now) for now in range(-1, 60)]
    lowest = seen.index(min(seen))
    assert seen[0] == 1.0
    assert min(seen) < 0.25
    assert seen[:lowest] == sorted(seen[:lowest], reverse=True)
    assert seen[lowest:] == sorted(seen[lowest:])
    assert seen[-1] == 1.0


def test_failures_of_its_own_doing_cost_trust_at_once() -> None:
    assert trust({MINUTE: Counts(80, 100, 50)}, MINUTE) == pytest.approx(0.25)
    assert trust({MINUTE: Counts(1, 1, 1)}, MINUTE) > 0.9  # one proves little
    assert trust({MINUTE - RECENT_MIN - 1: Counts(80, 100, 50)}, MINUTE) > 0.9  # and is forgotten


@given(st.dictionaries(st.sampled_from(minutes_of_interest(MINUTE)), st.builds(Counts, *[st.integers(0, 10_000)] * 3)))
def test_no_counts_break_a_law(found: dict[int, Counts]) -> None:
    assert 0.0 <= trust(found, MINUTE) <= 1.0
    more = {minute: each._replace(blocked=each.blocked + 10) for minute, each in found.items()}
    assert trust(more, MINUTE) <= trust(found, MINUTE)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.lists(st.floats(0, 1e6), max_size=3))
def test_no_times_break_a_law(took: float, usual: float, peers: list[float]) -> None:
    assert 0.0 < promptness(took, usual, peers) <= 1.0
    assert promptness(took + 100, usual, peers) <= promptness(took, usual, peers)
