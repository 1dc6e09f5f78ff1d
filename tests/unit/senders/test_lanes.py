"""Whose business a plea for patience is: a domain's or the account's; how many domains are kept apart."""

import pytest

from core.clock import ManualClock
from core.model import ErrorClass
from senders.gate import Gate
from senders.lanes import DOMAINS_MOST, Lanes
from senders.provider import Answer, fault, sent
from tests.unit.senders.kit import NOW, delivery


class Lane(Gate):
    """A gate that counts how often it was slowed down, and stands for its parts."""

    def __init__(self, name: str = "smtp") -> None:
        super().__init__(name, clock=ManualClock(NOW))
        self.slowed = 0

    @property
    def limited(self) -> bool:
        return self.slowed > 0

    def slow_down(self, seen_per_s: float, keep: float = 0.5) -> None:
        self.slowed += 1

    def beside(self, part: str) -> Gate:
        return Lane(part)


THROTTLED = fault(ErrorClass.THROTTLED, "4.7.0", "slow down")


@pytest.mark.parametrize(
    "answer",
    [sent("x"), fault(ErrorClass.TEMPORARY, "4.7.0", ""), fault(ErrorClass.THROTTLED, "4.3.2", "the host is busy")],
)
def test_what_is_not_about_the_domain(answer: Answer) -> None:
    lanes = Lanes(Lane())
    assert not lanes.report(answer, delivery("ada@example.org"))
    assert lanes.of(delivery("ada@example.org")) is None


def test_a_domain_is_one_however_it_is_written() -> None:
    lanes = Lanes(Lane())
    assert lanes.report(THROTTLED, delivery("ada@Example.org"))
    lane = lanes.of(delivery("bob@example.ORG"))
    assert isinstance(lane, Lane)
    assert lanes.of(delivery("bob@sub.example.org")) is None
    lane.slowed = 0  # it was quiet
    assert lanes.of(delivery("bob@example.org")) is None


def test_no_more_domains_than_are_worth_it() -> None:
    lanes = Lanes(Lane())
    for n in range(DOMAINS_MOST):
        assert lanes.report(THROTTLED, delivery(f"ada@d{n}.example"))
    assert not lanes.report(THROTTLED, delivery("ada@another.example"))  # the account's then
    first = lanes.of(delivery("ada@d0.example"))
    assert isinstance(first, Lane)
    first.slowed = 0
    assert lanes.report(THROTTLED, delivery("ada@another.example"))


def test_without_a_store_to_count_in_it_is_the_accounts() -> None:
    assert not Lanes(Gate("smtp")).report(THROTTLED, delivery("ada@example.org"))
