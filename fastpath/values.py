"""Values and constants that the native modules and their twins share: rules, routes, plans, counts. No decision is made here.

Native modules read the named tuples by position.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

REQUESTED = "requested"  # Route.rule where the caller named the channels
UNMATCHED = "unmatched"  # Route.rule where no rule matched
MEMO_MAX = 65_536  # decisions a router remembers: types come from callers, so they must not pile up for good
COURSES_MAX = 4_096  # courses remembered for a template: types and languages come from callers
ENTRY_OVERHEAD = 256  # bytes that an entry of a render cache costs beside its data and content
MARK_BYTES = 50  # of a mark and its value: what is longer is not remembered by a LocalFilter
CONTENT_SPANS_S = (3600, 6 * 3600, 86_400, 7 * 86_400)  # by which marks of content are kept together; none holds longer
KEY_SPAN_S = 6 * 3600  # and those of idempotency keys
SIGHTS = 65_536  # inputs seen once that a render cache knows again, about; a power of two

# How a recipient is reached: id, e-mail address, phone (E.164), devices (JSON, [[platform, token], ...]), language; "" for what
# is not known. A plain tuple of strings, as a dispatcher keeps hundreds of thousands: the garbage collector leaves it alone.
Contact: TypeAlias = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which channels suit which notifications; of a list of rules the first that matches decides.

    `types` are exact types or prefixes that end in `*`; `priorities` is a mask of 1 << (priority - 1), `klasses` one of
    1 << (class - 1). Empty or 0 matches any. `channels` are in order of preference: mode "first" takes the first that the
    recipient has an address for, mode "all" every one. `name` is what timelines and verdicts call the rule.
    """

    name: str
    types: tuple[str, ...] = ()
    priorities: int = 0
    klasses: int = 0
    channels: tuple[int, ...]
    mode: Literal["first", "all"] = "first"

    def __post_init__(self) -> None:
        if any(not 1 <= channel <= 8 for channel in self.channels) or len(set(self.channels)) != len(self.channels):
            raise ValueError(f"rule {self.name!r}: channels are 1 to 8, each once")
        if not (0 <= self.priorities <= 255 and 0 <= self.klasses <= 255):
            raise ValueError(f"rule {self.name!r}: a mask is 0 to 255")
        if self.mode not in ("first", "all"):
            raise ValueError(f"rule {self.name!r}: mode is first or all")


class Route(NamedTuple):
    """Where a notification goes: `channels` in order, `missing` those that were asked for but have no address, `rule` why."""

    channels: tuple[int, ...]
    missing: tuple[int, ...]
    rule: str


class Stats(NamedTuple):
    """What a render cache did since its start, and what it holds now."""

    hits: int
    misses: int
    entries: int
    bytes: int


class Terms(NamedTuple):
    """What a template asks of a notification. `channels` is the mask of those it has content for."""

    name: str
    version: int
    required: frozenset[str]
    channels: int


class Checks(NamedTuple):
    """What is asked about single values: each gives the value's normal form or raises ValueError.

    E-mail addresses of plain form are not asked about, unless their last label is one of `undeliverable`.
    """

    email: Callable[[str], str]
    phone: Callable[[str], str]
    language: Callable[[str], str]
    timezone: Callable[[str], str]
    undeliverable: frozenset[str]


class Target(NamedTuple):
    """Where one delivery goes.

    Attributes:
        channel: 1 to 4, core.model.Channel.
        address: e-mail address, E.164 number, device token, or recipient id for in-app.
        platform: core.model.Platform of a device, else 0.
        device: which of the recipient's devices, from 0.
    """

    channel: int
    address: str
    platform: int = 0
    device: int = 0


class Letter(NamedTuple):
    """A delivery to make: where to, in which language, with which packed parts, and the verdicts that led to it, packed."""

    target: Target
    language: str
    content: bytes
    verdicts: bytes


class Refusal(NamedTuple):
    """A delivery that ends here.

    Attributes:
        channel: core.model.Channel.
        status: core.model.Status, one that ends a delivery.
        rule: which rule said no; the outcome's code.
        reason: in words, for people.
        verdicts: of all rules that looked at it, in order, packed.
        device: which of several devices, from 0.
    """

    channel: int
    status: int
    rule: str
    reason: str
    verdicts: bytes
    device: int = 0


class Plan(NamedTuple):
    """Everything that becomes of one notification; `version` is the template's, 0 if there is none."""

    letters: tuple[Letter, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    version: int = 0


class Lot(NamedTuple):
    """Claims that are laid together, as they end within one span of time.

    Attributes:
        content: whether what they mark is content; else ids of what came with an idempotency key.
        span_s: how long such spans are, seconds.
        number: of the span since the epoch.
        claims: mark (16 bytes), value (16 bytes), end (ms since the epoch, 6 bytes, big endian) of each; no mark twice.
    """

    content: bool
    span_s: int
    number: int
    claims: bytes


class Way(NamedTuple):
    """One channel of a course: the language found, what renders it, that one's key in the render cache, packed verdicts."""

    channel: int
    language: str
    compiled: Any  # a Compiled
    key: tuple[Any, ...]
    verdicts: bytes


class Course(NamedTuple):
    """What is decided of a notification before it is rendered, where nothing is refused; `version` is the template's."""

    version: int
    ways: tuple[Way, ...]
