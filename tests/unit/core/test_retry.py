"""The retry decision as a table, and its laws for every input."""

import random
from collections import Counter
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Class, ErrorClass
from core.retry import AMBIGUOUS_WAIT_MS, UNREACHABLE_MAX_MS, Dead, Decision, Expire, Fail, Retry, Unknown, decide

NOW = 1_700_000_000_000
USUAL = (60_000, 300_000, 900_000)
CRITICAL = (1_000, 5_000)
FAILURES = [error for error in ErrorClass if error is not ErrorClass.NONE]  # after a success nobody asks
TOP = type("Top", (random.Random,), {"random": lambda self: 1.0 - 1e-12})()


def after(attempt: int, error: ErrorClass, schedule: tuple[int, ...] = USUAL, **more: Any) -> Decision:
    klass = Class(more.pop("klass", Class.TRANSACTIONAL))
    return decide(attempt=attempt, error_class=error, klass=klass, schedule=schedule, now_ms=NOW, rng=TOP, **more)


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (after(1, ErrorClass.TEMPORARY), Retry(NOW + 59_999)),
        (after(2, ErrorClass.TEMPORARY), Retry(NOW + 299_999)),
        (after(3, ErrorClass.TEMPORARY), Retry(NOW + 899_999)),
        (after(4, ErrorClass.TEMPORARY), Dead()),
        (after(1, ErrorClass.TEMPORARY, CRITICAL), Retry(NOW + 999)),
        (after(3, ErrorClass.TEMPORARY, CRITICAL), Dead()),
        (after(1, ErrorClass.PERMANENT), Fail()),
        (after(1, ErrorClass.UNREGISTERED), Fail()),
        (after(1, ErrorClass.POISON), Dead()),
        (after(1, ErrorClass.THROTTLED, retry_after_ms=120_000), Retry(NOW + 120_000)),
        (after(1, ErrorClass.THROTTLED, retry_after_ms=5), Retry(NOW + 59_999)),
        (after(1, ErrorClass.TEMPORARY, expires_ms=NOW + 30_000), Expire()),
        (after(1, ErrorClass.TEMPORARY, expires_ms=NOW + 60_000), Retry(NOW + 59_999)),
        (after(1, ErrorClass.AMBIGUOUS, klass=Class.PROMOTIONAL), Unknown()),
        (after(1, ErrorClass.AMBIGUOUS, CRITICAL), Retry(NOW + 15_999)),
        (after(1, ErrorClass.MISCONFIGURED), Retry(NOW + 59_999)),
        (after(9, ErrorClass.UNREACHABLE), Retry(NOW + 59_999)),
        (after(9, ErrorClass.UNREACHABLE, queued_ms=NOW - 86_400_001), Dead()),
    ],
)
def test_the_table(decision: Decision, expected: Decision) -> None:
    assert decision == expected


@given(data=st.data(), error=st.sampled_from(FAILURES), klass=st.sampled_from(list(Class)), seed=st.integers())
def test_no_decision_breaks_a_law(data: st.DataObject, error: ErrorClass, klass: Class, seed: int) -> None:
    attempt = data.draw(st.integers(1, 8))
    schedule = data.draw(st.lists(st.integers(1, 10**6), max_size=6))
    expires_ms = data.draw(st.one_of(st.just(0), st.integers(NOW - 10**6, NOW + 10**7)))
    retry_after_ms = data.draw(st.integers(0, 10**7))
    queued_ms = data.draw(st.one_of(st.just(0), st.integers(NOW - 2 * UNREACHABLE_MAX_MS, NOW)))
    alternative = data.draw(st.booleans())
    decision = decide(
        attempt=attempt,
        error_class=error,
        klass=klass,
        schedule=schedule,
        now_ms=NOW,
        expires_ms=expires_ms,
        retry_after_ms=retry_after_ms,
        queued_ms=queued_ms,
        alternative=alternative,
        rng=random.Random(seed),
    )
    if isinstance(decision, Retry):
        assert attempt <= len(schedule) or error is ErrorClass.UNREACHABLE
        elsewhere = alternative and attempt == 1 and error is not ErrorClass.AMBIGUOUS
        assert decision.due_ms == NOW + 1 if elsewhere else decision.due_ms >= NOW + max(1, retry_after_ms)
        assert not expires_ms or decision.due_ms < expires_ms
        assert decision.due_ms <= NOW + max(retry_after_ms, AMBIGUOUS_WAIT_MS + max(schedule))
        assert error is not ErrorClass.AMBIGUOUS or decision.due_ms >= NOW + AMBIGUOUS_WAIT_MS
        assert error is not ErrorClass.UNREACHABLE or not queued_ms or NOW - queued_ms <= UNREACHABLE_MAX_MS
    if error in (ErrorClass.PERMANENT, ErrorClass.UNREGISTERED):
        assert decision == Fail()


def test_jitter_is_over_the_whole_step() -> None:
    rng = random.Random(5)
    temporary = partial(decide, error_class=ErrorClass.TEMPORARY, klass=Class.ALERT, schedule=(1_000,), rng=rng)
    waits = [temporary(attempt=1, now_ms=0) for _ in range(2_000)]
    tenths = Counter(wait.due_ms // 100 for wait in waits if isinstance(wait, Retry))
    assert sorted(tenths) == list(range(10))
    assert min(tenths.values()) > 120  # 200 of 2,000 are expected in each


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (after(1, ErrorClass.TEMPORARY, alternative=True), Retry(NOW + 1)),
        (after(1, ErrorClass.UNREACHABLE, alternative=True), Retry(NOW + 1)),
        (after(1, ErrorClass.MISCONFIGURED, alternative=True), Retry(NOW + 1)),
        (after(1, ErrorClass.THROTTLED, alternative=True, retry_after_ms=120_000), Retry(NOW + 1)),  # a wish of the first one
        (after(2, ErrorClass.TEMPORARY, alternative=True), Retry(NOW + 299_999)),
        (after(1, ErrorClass.AMBIGUOUS, alternative=True), Retry(NOW + 74_999)),
        (after(1, ErrorClass.PERMANENT, alternative=True), Fail()),
        (after(1, ErrorClass.TEMPORARY, (), alternative=True), Dead()),
    ],
)
def test_another_provider_is_tried_at_once(decision: Decision, expected: Decision) -> None:
    assert decision == expected
