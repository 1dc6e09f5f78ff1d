"""Which provider takes a delivery: the table, and the laws for every state of the providers."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.model import Channel, ErrorClass, Platform, Priority
from core.settings import Settings
from senders.breaker import State
from senders.selection import (
    FLOOR,
    PUSH_POOLS,
    Candidate,
    Condition,
    Selection,
    candidates,
    email_selection,
    health,
)
from tests.unit.senders.kit import PUSH, delivery

A, B, C = Candidate("a"), Candidate("b"), Candidate("c")
CLOSED, HALF, OPEN = Condition(), Condition(State.HALF_OPEN), Condition(State.OPEN)
WANTING = Condition(State.HALF_OPEN, wanting=True)
ILL = Condition(failures=0.9)


def shares(selection: Selection, conditions: dict[str, Condition], **fields: int | str) -> Counter[str]:
    return Counter(selection.choose(delivery(f"u{i}@example.org", **fields), conditions) for i in range(2000))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("invoice", "smtp"),
        ("invoice.paid", "smtp"),
        ("invoice.test.x", "sendgrid"),
        ("order", "sendgrid"),
        ("bill", "smtp"),
        ("bills", "sendgrid"),
    ],
)
def test_email_by_type(type_: str, expected: str) -> None:
    settings = Settings(email_routes={"invoice*": "smtp", "invoice.test*": "sendgrid", "bill": "smtp"})
    assert email_selection(settings).choose(delivery(type=type_), {}) == expected


def test_a_route_gives_way_while_its_provider_is_away() -> None:
    selection = email_selection(Settings(email_routes={"invoice*": "smtp"}))
    item = delivery(type="invoice")
    assert selection.choose(item, {"smtp": CLOSED, "sendgrid": WANTING}) == "smtp"  # nor does it serve as another's probe
    assert selection.choose(item, {"smtp": OPEN}) == "sendgrid"
    assert selection.choose(item, {"smtp": HALF}) == "sendgrid"
    assert selection.choose(item, {"smtp": WANTING}) == "smtp"
    assert selection.choose(item, {"smtp": OPEN, "sendgrid": OPEN}) == "smtp"


def test_push_by_platform_whatever_fares_how() -> None:
    for platform, name in ((Platform.APNS, "apns"), (Platform.FCM, "fcm")):
        item = delivery("t", PUSH, channel=Channel.PUSH, platform=platform)
        assert PUSH_POOLS.get(platform, PUSH_POOLS[0]).choose(item, {name: OPEN}) == name


@pytest.mark.parametrize(
    ("a", "b", "c", "fields", "expected"),
    [
        (CLOSED, OPEN, OPEN, {}, {"a"}),
        (CLOSED, OPEN, CLOSED, {}, {"a", "c"}),
        (HALF, CLOSED, OPEN, {}, {"b"}),
        (WANTING, CLOSED, OPEN, {}, {"a"}),
        (WANTING, CLOSED, OPEN, {"priority": Priority.CRITICAL}, {"b"}),
        (OPEN, HALF, OPEN, {}, {"b"}),
        (OPEN, OPEN, OPEN, {}, {"a", "b", "c"}),
        (CLOSED, CLOSED, CLOSED, {"priority": Priority.CRITICAL}, {"a"}),
        (ILL, CLOSED, CLOSED, {"priority": Priority.CRITICAL}, {"b"}),
        (CLOSED, CLOSED, OPEN, {"provider": "a", "error_class": ErrorClass.TEMPORARY}, {"b"}),
        (CLOSED, CLOSED, OPEN, {"provider": "a", "error_class": ErrorClass.UNREACHABLE}, {"b"}),
        (CLOSED, OPEN, OPEN, {"provider": "a", "error_class": ErrorClass.TEMPORARY}, {"a"}),
        (CLOSED, CLOSED, CLOSED, {"provider": "a", "error_class": ErrorClass.AMBIGUOUS}, {"a"}),
        (OPEN, CLOSED, CLOSED, {"provider": "a", "error_class": ErrorClass.AMBIGUOUS}, {"a"}),
        (CLOSED, CLOSED, OPEN, {"provider": "a", "extra": 4}, {"a", "b"}),  # a replay begins anew
    ],
)
def test_the_table(a: Condition, b: Condition, c: Condition, fields: dict[str, int | str], expected: set[str]) -> None:
    assert set(shares(Selection([A, B, C]), {"a": a, "b": b, "c": c}, **fields)) == expected


def test_low_goes_by_the_cheapest_that_is_well() -> None:
    selection = Selection([Candidate("a", cost=3), Candidate("b", cost=1), Candidate("c", cost=1), Candidate("d", 0)])
    low = {"priority": Priority.LOW}
    assert set(shares(selection, {}, **low)) == {"b", "c"}
    assert set(shares(selection, {"b": ILL, "c": OPEN}, **low)) == {"a"}
    assert set(shares(selection, {})) == {"a", "b", "c"}


def test_weights_share_and_failures_move_them() -> None:
    selection = Selection([Candidate("a", 3), Candidate("b", 1)])
    assert 1400 < shares(selection, {})["a"] < 1600
    assert 1050 < shares(selection, {"a": Condition(failures=0.5)})["b"] < 1250
    worst = shares(selection, {"a": Condition(failures=1.0)})["a"]
    assert 40 < worst < 200  # a trickle stays


@pytest.mark.parametrize("ill", [Condition(promptness=0.25), Condition(trust=0.25)])
def test_slowness_and_missing_receipts_move_them_too(ill: Condition) -> None:
    selection = Selection([Candidate("a", cost=1), Candidate("b", cost=9)])
    assert 1500 < shares(selection, {"a": ill})["b"] < 1700
    assert set(shares(selection, {"a": ill}, priority=Priority.CRITICAL)) == {"b"}
    assert set(shares(selection, {"a": ill}, priority=Priority.LOW)) == {"b"}
    assert not selection.alternative(delivery(), "b", {"a": ill})


def test_without_weight_only_in_need() -> None:
    selection = Selection([Candidate("a"), Candidate("spare", 0)])
    assert set(shares(selection, {})) == {"a"}
    assert set(shares(selection, {"a": OPEN})) == {"spare"}
    assert selection.shares({"a": OPEN}) == {"a": 0.0, "spare": 1.0}


def test_the_same_notification_meets_the_same_provider() -> None:
    selection, item = Selection([A, B, C]), delivery()
    assert len({selection.choose(item, {}) for _ in range(50)}) == 1


@pytest.mark.parametrize(
    ("a", "b", "fields", "expected"),
    [
        (ILL, CLOSED, {}, True),
        (CLOSED, ILL, {}, False),  # its own health is no alternative
        (CLOSED, HALF, {}, False),
        (CLOSED, OPEN, {}, False),
        (CLOSED, CLOSED, {"error_class": ErrorClass.UNREACHABLE, "provider": "b"}, False),  # no ping-pong
    ],
)
def test_alternative(a: Condition, b: Condition, fields: dict[str, int | str], expected: bool) -> None:
    found = Selection([A, B]).alternative(delivery(**fields), "a", {"a": a, "b": b})  # type: ignore[arg-type]
    assert found is expected


CONDITIONS = st.builds(
    Condition, st.sampled_from(State), st.floats(0, 1), st.booleans(), st.floats(0.001, 1), st.floats(0, 1)
).map(lambda c: c if c.state is State.HALF_OPEN else replace(c, wanting=False))
POOL = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5), CONDITIONS), min_size=1, max_size=5)


@example(pool=[(5e-324, 0.0, Condition(failures=1.0))], priority=Priority.LOW, error=ErrorClass.NONE, tried=0)
@given(pool=POOL, priority=st.sampled_from(Priority), error=st.sampled_from(ErrorClass), tried=st.integers(0, 5))
def test_no_state_breaks_a_law(
    pool: list[tuple[float, float, Condition]], priority: Priority, error: ErrorClass, tried: int
) -> None:
    names = [f"p{i}" for i in range(len(pool))]
    selection = Selection([Candidate(n, w, c) for n, (w, c, _) in zip(names, pool, strict=True)])
    conditions = {n: condition for n, (_, _, condition) in zip(names, pool, strict=True)}
    before = f"p{tried}"
    item = delivery(priority=priority, error_class=error, provider=before)
    chosen = selection.choose(item, conditions)
    assert chosen in names
    if error is ErrorClass.AMBIGUOUS and before in names:
        assert chosen == before
        return
    states = {conditions[n].state for n in names}
    if conditions[chosen].state is State.OPEN:
        assert states == {State.OPEN}
    if conditions[chosen].state is State.HALF_OPEN and not conditions[chosen].wanting:
        assert State.CLOSED not in states
    if error and chosen == before:
        assert not any(n != before and conditions[n].state <= conditions[before].state for n in names)
    told = selection.shares(conditions)
    assert told.keys() == set(names)
    assert sum(told.values()) == pytest.approx(0.0 if states == {State.OPEN} else 1.0)
    assert all(FLOOR <= health(condition) <= 1.0 for condition in conditions.values())


def test_weights_and_costs_are_those_of_the_settings() -> None:
    settings = Settings.model_validate({"provider_weights": {"smtp": 0.25}, "provider_costs": {"sendgrid": 3}})
    found = candidates(settings, ["sendgrid", "smtp"])
    assert found == [Candidate("sendgrid", 1.0, 3.0), Candidate("smtp", 0.25, 0.0)]
