"""The flood's own proof: books that do not balance and limits that are passed are found out."""

from collections import Counter
from typing import Any

import pytest

from tests.flood.books import Answers, Fate, Limits, Peaks, Report, percentiles, reconcile

TAKEN, QUEUED, SHED = Fate(taken_ms=150), Fate(), Fate(shed=True)
LEDGER = {"a": TAKEN, "b": QUEUED, "c": SHED}


def answers(**changes: Any) -> Answers:
    known: dict[str, Any] = {"sent": 5, "accepted": ["a", "b", "c"], "refused": 2, "critical": {"a": 100}, "critical_sent": 1}
    return Answers(**(known | changes))


def books(ledger: dict[str, Fate] | None = None, peaks: Peaks | None = None, **changes: Any) -> Report:
    return reconcile(answers(**changes), LEDGER if ledger is None else ledger, peaks or Peaks(100, 10), Limits(100, 10))


def test_balanced_books_balance() -> None:
    report = books()
    assert report.problems == []
    assert (report.accepted, report.shed, report.delivered, report.critical_ms["p99"]) == (2, 1, 1, 50)


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("were sent", {"sent": 6}),
        ("given twice", {"accepted": ["a", "b", "c", "c"]}),
        ("unknown to the ledger", {"accepted": ["a", "b", "c", "d"]}),
        ("nobody was told of", {"accepted": ["a", "c"], "sent": 4}),
        ("unclear", {"unclear": Counter({"DEADLINE_EXCEEDED": 1})}),
        ("were not accepted", {"critical_sent": 2}),
        ("not taken", {"critical": {"a": 100, "b": 100}, "critical_sent": 2}),
        ("critical p99", {"critical": {"a": -1_000}}),
        ("no flood", {"refused": 0, "sent": 3}),
        ("no flood", {"ledger": {"a": TAKEN, "b": QUEUED, "c": QUEUED}}),
        ("the gateway used", {"peaks": Peaks(101, 10)}),
        ("Redis used", {"peaks": Peaks(100, 11)}),
        ("Redis used", {"peaks": Peaks(100, 10, redis_refusals=1)}),
    ],
)
def test_each_fault_is_found(words: str, changes: dict[str, Any]) -> None:
    assert any(words in problem for problem in books(**changes).problems)


def test_callers_books_add_up() -> None:
    both = answers()
    both.add(answers(accepted=["d"], critical={"d": 1}, unclear=Counter({"x": 2}), answer_ms=[3.0]))
    assert (both.sent, both.accepted, both.refused, both.critical_sent) == (10, ["a", "b", "c", "d"], 4, 2)
    assert (both.critical, both.unclear.total(), both.answer_ms) == ({"a": 100, "d": 1}, 2, [3.0])


def test_percentiles() -> None:
    assert percentiles([]) == {}
    assert percentiles(range(1, 101)) == {"p50": 51, "p99": 100, "max": 100}
