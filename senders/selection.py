"""Which provider takes a delivery: weights, health, cost, routes and what was tried. Pure, and without dice.

The draw goes by the notification's id: an entry that is handed out again after a crash meets the same provider, as long as
the weights stand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from core.model import ErrorClass, Platform, Priority
from core.settings import Settings
from fastpath import Record
from senders.breaker import State

FLOOR = 0.02  # of its weight stays with a provider that fails: how else would it be known to be well again
ROUTES_KEPT = 1_000  # answers for types: asked for each message, and types are few
UNWELL = 0.25  # who has no more of its weight left than this (half of its answers are failures) is nobody's second choice


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider of a channel: its share beside the others (0: only while no other can), and what a message costs there."""

    name: str
    weight: float = 1.0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """How a provider fares.

    Attributes:
        state: its breaker's.
        failures: share of recent failures, 0.0 to 1.0.
        wanting: it is half open, and nobody is on the way to probe it.
        promptness, trust: what the time of its answers and its receipts leave of its weight, see senders/health.py.
    """

    state: State = State.CLOSED
    failures: float = 0.0
    wanting: bool = False
    promptness: float = 1.0
    trust: float = 1.0


Conditions = Mapping[str, Condition]
Route = Callable[[str], str]
WELL = Condition()


def health(condition: Condition) -> float:
    """What is left of a provider's weight, FLOOR to 1.0."""
    return max((1.0 - condition.failures) ** 2 * condition.promptness * condition.trust, FLOOR)


class Selection:
    """The choice among the providers of a channel (of push: of a platform)."""

    def __init__(self, candidates: Sequence[Candidate], route: Route = lambda type_: "") -> None:
        """`route` names the first choice for a notification type, "" for none; it need not be among the candidates."""
        self._candidates = tuple(candidates)
        self._names = frozenset(candidate.name for candidate in candidates)
        self._route = route
        self._only = self._candidates[0].name if len(self._candidates) == 1 else ""

    def sole(self, record: Record) -> str:
        """The only one who may take a record, however it fares; "" where there is a choice."""
        return self._only if self._only and not self._route(record.type) else ""

    def choose(self, record: Record, conditions: Conditions) -> str:
        """The provider for the next attempt at `record`; if all are open, the one to wait for.

        An unanswered attempt is repeated by the same provider only: a second one might send it twice.
        """
        route = self._route(record.type)
        pool = self._pool(route)
        if record.error_class == ErrorClass.AMBIGUOUS and any(c.name == record.provider for c in pool):
            return record.provider
        tried = record.provider if record.error_class else ""
        urgent = record.priority == Priority.CRITICAL
        usable = _best_state(pool, conditions)
        fresh = [each for each in usable if each.name != tried] or usable
        if any(each.name == route for each in fresh):
            return route
        probe = None if urgent else next((c.name for c in pool if c.name != tried and _of(c, conditions).wanting), None)
        if probe is not None:
            return probe
        if urgent:
            return max(zip(_weights(fresh, conditions), fresh, strict=True), key=lambda pair: pair[0])[1].name
        if record.priority == Priority.LOW:
            fresh = _cheapest(fresh, conditions)
        return _draw(record, fresh, _weights(fresh, conditions))

    def alternative(self, record: Record, provider: str, conditions: Conditions) -> bool:
        """Whether another one than `provider`, which failed, is well: always False for a record that failed before."""
        if record.error_class:
            return False
        others = [_of(c, conditions) for c in self._pool(self._route(record.type)) if c.name != provider]
        return any(other.state is State.CLOSED and health(other) > UNWELL for other in others)

    def shares(self, conditions: Conditions) -> dict[str, float]:
        """Each candidate's share of what is drawn, now; all 0.0 while all are open."""
        usable = _best_state(self._candidates, conditions)
        if all(_of(c, conditions).state is State.OPEN for c in usable):
            return dict.fromkeys(self._names, 0.0)
        weights = _weights(usable, conditions)
        drawn = {c.name: weight / sum(weights) for c, weight in zip(usable, weights, strict=True)}
        return {c.name: drawn.get(c.name, 0.0) for c in self._candidates}

    def _pool(self, route: str) -> tuple[Candidate, ...]:
        return self._candidates if not route or route in self._names else (Candidate(route, weight=0.0), *self._candidates)


def _of(candidate: Candidate, conditions: Conditions) -> Condition:
    return conditions.get(candidate.name, WELL)


def _best_state(pool: Sequence[Candidate], conditions: Conditions) -> Sequence[Candidate]:
    """Those with a closed breaker; if there are none the half-open ones; else all."""
    for state in (State.CLOSED, State.HALF_OPEN):
        found = [each for each in pool if _of(each, conditions).state is state]
        if found:
            return found
    return pool


def _weights(pool: Sequence[Candidate], conditions: Conditions) -> list[float]:
    """Weight times health; where only those without a weight are left, they are equals."""
    left = [health(_of(each, conditions)) for each in pool]
    found = [each.weight * share for each, share in zip(pool, left, strict=True)]
    return found if sum(found) else left


def _cheapest(pool: Sequence[Candidate], conditions: Conditions) -> list[Candidate]:
    well = [each for each in pool if each.weight and health(_of(each, conditions)) > UNWELL] or pool
    least = min(each.cost for each in well)
    return [each for each in well if each.cost == least]


def _draw(record: Record, pool: Sequence[Candidate], weights: Sequence[float]) -> str:
    point = int.from_bytes(blake2b(record.id + bytes((record.device,)), digest_size=8).digest()) / 2**64 * sum(weights)
    for each, weight in zip(pool, weights, strict=True):
        point -= weight
        if point < 0:
            return each.name
    return next(each.name for each, weight in zip(reversed(pool), reversed(weights), strict=True) if weight)


# The channels' ----------------------------------------------------------------------------------------------------------


def candidates(settings: Settings, names: Sequence[str]) -> list[Candidate]:
    """Providers with the weights and costs of the settings."""
    weights = {str(name): weight for name, weight in settings.provider_weights.items()}
    costs = {str(name): cost for name, cost in settings.provider_costs.items()}
    return [Candidate(name, weights.get(name, 1.0), costs.get(name, 0.0)) for name in names]


def email_selection(settings: Settings) -> Selection:
    """Among email_providers; a type's own route comes first, else the longest prefix (written with a final *)."""
    exact = {t: name for t, name in settings.email_routes.items() if not t.endswith("*")}
    prefixes = sorted((t[:-1] for t in settings.email_routes if t.endswith("*")), key=len, reverse=True)

    @lru_cache(ROUTES_KEPT)
    def route(type_: str) -> str:
        found = exact.get(type_)
        if found is None:
            prefix = next((p for p in prefixes if type_.startswith(p)), None)
            return "" if prefix is None else settings.email_routes[f"{prefix}*"]
        return found

    return Selection(candidates(settings, list(dict.fromkeys(settings.email_providers))), route)


SMS_POOLS = {0: Selection([Candidate("twilio")])}
PUSH_POOLS = {0: Selection([Candidate("fcm")]), int(Platform.APNS): Selection([Candidate("apns")])}
