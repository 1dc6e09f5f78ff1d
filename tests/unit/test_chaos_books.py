"""The proof's own proof: books that do not balance are found out, and the script is the seed's alone."""

from collections import Counter

from core.model import Status
from tests.chaos.books import Entry, Report, reconcile
from tests.chaos.script import PAUSE_S, STATIONS, STORES, faults, notification, waves

SENT, DELIVERED, DEAD = Entry(Status.SENT), Entry(Status.DELIVERED), Entry(Status.DEAD)
ACKNOWLEDGED = {1: "a", 2: "b", 3: "c"}
LEDGER = {"a": SENT, "b": DELIVERED, "c": DEAD}


def books(received: dict[str, int], ledger: dict[str, Entry] | None = None, **more: int) -> Report:
    known = {"left_in_redis": 0, "in_flight": 0, **more}
    unanswered = known.pop("unanswered", 0)
    return reconcile(ACKNOWLEDGED, unanswered, received, LEDGER if ledger is None else ledger, **known)


def test_balanced_books_balance() -> None:
    report = books({"a": 1, "b": 1})
    assert report.problems == []
    assert (report.acknowledged, report.sent, report.delivered, report.dead, report.lost) == (3, 2, 1, 1, 0)


def test_what_the_ledger_never_heard_of_is_lost() -> None:
    report = books({"a": 1, "b": 1}, {"a": SENT, "b": DELIVERED})
    assert report.lost == 1 and "not in the ledger" in report.problems[0]


def test_what_never_ended_is_lost() -> None:
    assert books({"a": 1}, {**LEDGER, "b": Entry(Status.RETRYING)}).lost == 1


def test_the_ledger_may_not_claim_what_nobody_received() -> None:
    assert "received by nobody" in books({"a": 1}).problems[0]


def test_duplicates_are_bounded_by_what_was_in_flight_or_unanswered() -> None:
    assert books({"a": 3, "b": 1}).problems
    assert books({"a": 3, "b": 1}, in_flight=2).problems == []
    assert books({"a": 2, "b": 1}, {**LEDGER, "a": Entry(Status.SENT, ambiguous=1)}).problems == []


def test_strangers_and_leftovers_are_found() -> None:
    assert books({"a": 1, "b": 1, "x": 1}).problems
    assert books({"a": 1, "b": 1, "x": 1}, unanswered=1).problems == []
    assert books({"a": 1, "b": 1}, left_in_redis=1).problems


def test_two_notifications_with_one_id_are_found() -> None:
    assert reconcile({1: "a", 2: "a"}, 0, {"a": 1}, LEDGER, left_in_redis=0, in_flight=0).problems


def test_the_script_is_the_seeds_alone_and_leaves_nobody_out() -> None:
    assert waves(1000, 7) == waves(1000, 7) != waves(1000, 8)
    assert faults(7) == faults(7) != faults(8)
    assert notification(5, 7) == notification(5, 7)
    script = waves(100_001, 3)
    assert [wave.first for wave in script[1:]] == [wave.last for wave in script[:-1]]
    assert (script[0].first, script[-1].last) == (0, 100_001)
    killed = Counter(wave.blow.process for wave in script if wave.blow.kind == "kill")
    assert killed.keys() == {*STATIONS, *STORES}
    assert all(wave.blow.seconds >= PAUSE_S[0] for wave in script if wave.blow.kind == "pause")
