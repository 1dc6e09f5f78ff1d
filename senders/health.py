"""How well a provider is, by its answers, their time, and what its receipts say. Pure; time is handed in.

Three shares of one, multiplied, are what is left of its weight (senders/selection.py): all move smoothly, and back. One bad
sign among few proves little, so each begins with a credit.
"""

import math
from collections.abc import Iterable, Mapping

from core.arrivals import Counts

HALF_LIFE_MS = 30_000  # after this an answer says half as much about the provider's health
USUAL_HALF_LIFE_MS = 1_800_000  # and about what it usually needs
FLOW_HALF_LIFE_MS = 1_000  # what a rate "lately" is
PRIOR = 5.0  # good answers that everybody is credited with
LEAST_LEFT, MOST_LEFT = 0.1, 0.9  # of a rate, each time that the provider asks for patience
PROMPT_MS = 500.0  # nobody is slow below this
USUAL_TIMES = 3.0  # slower than its own usual by more than this costs weight,
PEER_TIMES = 10.0  # or than the quickest peer by more than this: SMTP is slower than an API without being ill

SETTLED_MIN = 3  # receipts of a minute are complete after so many minutes, mostly
RECENT_MIN = 12  # minutes that say how it is now; those before, to USUAL_MIN, say how it usually is
USUAL_MIN = 60
PRIOR_SENT = 20.0  # receipts that everybody is credited with


class Fading:
    """An average of values, older ones fading away."""

    def __init__(self, half_life_ms: int) -> None:
        self._half_life_ms = half_life_ms
        self._sum = self._count = 0.0
        self._at_ms = 0

    def note(self, value: float, now_ms: int) -> None:
        """Takes in a value."""
        if now_ms > self._at_ms:  # many come within a millisecond
            self._fade(now_ms)
        self._sum += value
        self._count += 1

    def average(self, now_ms: int, credit: float, prior: float) -> float:
        """The average now, with `prior` values of `credit` added."""
        self._fade(now_ms)
        total = self._count + prior
        return (self._sum + credit * prior) / total if total else credit

    def total(self, now_ms: int) -> float:
        """The sum of the values as it is now."""
        self._fade(now_ms)
        return self._sum

    def _fade(self, now_ms: int) -> None:
        passed_ms = now_ms - self._at_ms
        if passed_ms <= 0:
            return
        left = 0.5 ** (passed_ms / self._half_life_ms)
        self._sum *= left
        self._count *= left
        self._at_ms = now_ms


class Health:
    """What the answers of one provider say, in one process."""

    def __init__(self) -> None:
        self._failed = Fading(HALF_LIFE_MS)
        self._took = Fading(HALF_LIFE_MS)
        self._usually_took = Fading(USUAL_HALF_LIFE_MS)

    def note(self, failed: bool, now_ms: int, took_ms: int | None = None) -> None:
        """Takes in an answer; `took_ms` of those whose time says something (None: not this one's)."""
        self._failed.note(failed, now_ms)
        if took_ms is not None:
            self._took.note(took_ms, now_ms)
            self._usually_took.note(math.log1p(took_ms), now_ms)  # so that a minute of 10 s does not become the usual

    def failures(self, now_ms: int) -> float:
        """The share of failures now, 0.0 to 1.0."""
        return self._failed.average(now_ms, 0.0, PRIOR)

    def usual_ms(self, now_ms: int) -> float:
        """How long an answer usually takes (a geometric mean); 0.0 while nothing is known."""
        return math.expm1(self._usually_took.average(now_ms, 0.0, 0.0))

    def took_ms(self, now_ms: int) -> float:
        """How long answers take now; as usual without news."""
        return self._took.average(now_ms, self.usual_ms(now_ms), PRIOR)


class Flow:
    """How many messages a second there were lately."""

    def __init__(self) -> None:
        self._count = Fading(FLOW_HALF_LIFE_MS)

    def note(self, now_ms: int, count: int = 1) -> None:
        """Counts `count` messages."""
        self._count.note(count, now_ms)

    def per_s(self, now_ms: int) -> float:
        """The rate now: of a steady stream its own, after that ever less."""
        return self._count.total(now_ms) * math.log(2) / (FLOW_HALF_LIFE_MS / 1000)


def promptness(took_ms: float, usual_ms: float, peers_ms: Iterable[float] = ()) -> float:
    """What slowness leaves of a weight: 1.0 up to what is tolerated, then as much less as the answers are slower.

    Args:
        took_ms: how long its answers take now.
        usual_ms: how long they usually take.
        peers_ms: how long those of its peers take now; 0.0 for one that is not known.
    """
    quickest = min((ms for ms in peers_ms if ms), default=0.0)
    tolerated = usual_ms * USUAL_TIMES
    if quickest:
        tolerated = min(tolerated, quickest * PEER_TIMES)
    return min(1.0, max(tolerated, PROMPT_MS) / took_ms) if took_ms else 1.0


def left_of_rate(refused: float) -> float:
    """What a plea for patience leaves of a rate, by the share of answers that are such: what was taken, within bounds.

    A provider that refuses one of thirty at random is not slowed to a crawl, one that takes a tenth is met at once.
    """
    return min(max(1.0 - refused, LEAST_LEFT), MOST_LEFT)


def minutes_of_interest(now_min: int) -> range:
    """The minutes that `trust` looks at."""
    return range(now_min - USUAL_MIN, now_min + 1)


def trust(counts: Mapping[int, Counts], now_min: int) -> float:
    """What receipts leave of a weight, 0.0 to 1.0; 1.0 for a provider that never sends any.

    Receipts that stay away are held against the provider's own usual share of them; failures of its own doing against what
    it took.

    Args:
        counts: by minute of acceptance.
        now_min: the minute now.
    """

    def sums(first: int, last: int) -> Counts:
        total = Counts()
        for minute in range(now_min - first, now_min - last):
            total = total.plus(counts.get(minute, Counts()))
        return total

    usual, settled, latest = sums(USUAL_MIN, RECENT_MIN), sums(RECENT_MIN, SETTLED_MIN), sums(RECENT_MIN, -1)
    expected = settled.sent * min(usual.told / (usual.sent + PRIOR_SENT), 1.0)
    kept = min((settled.told + PRIOR_SENT) / (expected + PRIOR_SENT), 1.0)
    blocked = min(latest.blocked / (latest.sent + PRIOR_SENT), 1.0)
    return kept * (1.0 - blocked) ** 2
