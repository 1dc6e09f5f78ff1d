"""The flood's books: what callers were told, what the ledger says, what memory was used. Pure: counts in, a verdict out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CRITICAL_P99_MS = 1_000  # from the call to the provider's yes
SHOWN = 5


@dataclass(slots=True)
class Answers:
    """What callers were told. Every item has exactly one place here.

    Attributes:
        sent: items offered.
        accepted: ids that were answered OK; the shed ones are among them.
        refused: items told to come back later (RESOURCE_EXHAUSTED, with a delay where the whole call was refused).
        unavailable: items whose call was answered UNAVAILABLE, with a delay.
        words: of what was unavailable, why.
        unclear: items with any other answer, by its name.
        critical: ids of critical ones, and when their calls began (ms since the epoch).
        answer_ms: how long each critical call took.
    """

    sent: int = 0
    accepted: list[str] = field(default_factory=list)
    refused: int = 0
    unavailable: int = 0
    words: Counter[str] = field(default_factory=Counter)
    unclear: Counter[str] = field(default_factory=Counter)
    critical: dict[str, int] = field(default_factory=dict)
    critical_sent: int = 0
    answer_ms: list[float] = field(default_factory=list)

    def add(self, other: "Answers") -> None:
        """Takes in another caller's book."""
        self.sent += other.sent
        self.accepted += other.accepted
        self.refused += other.refused
        self.unavailable += other.unavailable
        self.words += other.words
        self.unclear += other.unclear
        self.critical |= other.critical
        self.critical_sent += other.critical_sent
        self.answer_ms += other.answer_ms


@dataclass(frozen=True, slots=True)
class Fate:
    """What the ledger says of one notification: whether it was shed, and when a provider took it (ms; 0: not yet)."""

    shed: bool = False
    taken_ms: int = 0


@dataclass(frozen=True, slots=True)
class Peaks:
    """The most that was seen, MiB, and how often Redis refused a command for want of memory."""

    gateway_mib: float
    redis_mib: float
    redis_refusals: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What must not be passed, MiB."""

    gateway_mib: float
    redis_mib: float


@dataclass(slots=True)
class Report:
    """The figures; `problems` is empty if all holds."""

    accepted: int = 0
    shed: int = 0
    delivered: int = 0
    critical_ms: dict[str, float] = field(default_factory=dict)
    answer_ms: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the largest; {} of nothing."""
    if not values:
        return {}
    ranked = sorted(values)
    found = {name: ranked[min(int(len(ranked) * share), len(ranked) - 1)] for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {name: round(value, 1) for name, value in (*found.items(), ("max", ranked[-1]))}


def reconcile(answers: Answers, ledger: Mapping[str, Fate], peaks: Peaks, limits: Limits) -> Report:
    """Holds the books against each other and the figures against their limits.

    Args:
        answers: the callers' book.
        ledger: id -> what became of it.
        peaks: of memory, while it lasted.
        limits: of memory.
    """
    ids = set(answers.accepted)
    missing = sorted(ids - ledger.keys())
    known = [ledger[id_] for id_ in ids if id_ in ledger]
    report = Report(shed=sum(fate.shed for fate in known), delivered=sum(fate.taken_ms > 0 for fate in known))
    report.accepted = len(known) - report.shed
    taken = {id_: ledger[id_].taken_ms for id_ in answers.critical if id_ in ledger and ledger[id_].taken_ms}
    report.critical_ms = percentiles([at_ms - answers.critical[id_] for id_, at_ms in taken.items()])
    report.answer_ms = percentiles(answers.answer_ms)
    say = report.problems.append
    if len(ids) != len(answers.accepted):
        say(f"{len(answers.accepted) - len(ids)} ids were given twice")
    if missing:
        say(f"{len(missing)} answered OK and unknown to the ledger: {', '.join(missing[:SHOWN])}")
    if strangers := ledger.keys() - ids:
        say(f"{len(strangers)} in the ledger that nobody was told of: {', '.join(sorted(strangers)[:SHOWN])}")
    if answers.unclear:
        say(f"unclear answers: {dict(answers.unclear)}")
    total = report.accepted + report.shed + answers.refused + answers.unavailable
    if total != answers.sent:
        say(f"accepted + shed + refused + unavailable is {total}, and {answers.sent} were sent")
    if len(answers.critical) != answers.critical_sent:
        say(f"{answers.critical_sent - len(answers.critical)} of {answers.critical_sent} critical ones were not accepted")
    if len(taken) != len(answers.critical):
        say(f"{len(answers.critical) - len(taken)} critical ones were not taken by their provider")
    if report.critical_ms and report.critical_ms["p99"] > CRITICAL_P99_MS:
        say(f"critical p99 is {report.critical_ms['p99']} ms, above {CRITICAL_P99_MS}")
    if peaks.gateway_mib > limits.gateway_mib:
        say(f"the gateway used {peaks.gateway_mib} MiB, above {limits.gateway_mib}")
    if peaks.redis_mib > limits.redis_mib or peaks.redis_refusals:
        say(f"Redis used {peaks.redis_mib} MiB of {limits.redis_mib} and refused {peaks.redis_refusals} commands")
    if not report.shed or not answers.refused:
        say("it was no flood: nothing was shed, or nobody was refused")
    return report
