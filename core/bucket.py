"""A token bucket shared by all senders of a provider account: the account's rate holds for the whole installation.

A provider's 429 halves the rate (at most once a second, down to a twentieth); quiet time brings it back. A reserve of
tokens is kept for critical notifications. An account without a limit has a bucket only for as long as its 429s ask for one.
"""

from copy import copy
from dataclasses import dataclass

from core import keys
from core.store import Arg, Script, Store

HALF = 0.5
UNLIMITED_PER_S = 1.0  # the least that an account without a limit is taken to have been doing when it was refused


@dataclass(frozen=True, slots=True)
class Rate:
    """What an account may do.

    Attributes:
        per_s: tokens a second, at full speed.
        burst: tokens at most at once.
        reserve: tokens of `burst` that only critical ones may take.
    """

    per_s: float
    burst: int
    reserve: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """An answer: tokens granted, milliseconds until another one may be there, the rate in force (tokens/s; 0.0: none)."""

    tokens: int
    wait_ms: int
    per_s: float


class Bucket:
    """The bucket of one account.

    Attributes:
        rate: its limit; None for an account without one.
        in_force: whether tokens must be asked for. Without a limit that is only so after a refusal, until it was quiet.
    """

    def __init__(self, store: Store, account: str, rate: Rate | None, member: str = "") -> None:
        """`member`: this process' name, of which an account without a limit counts the rate once."""
        self._store = store
        self._key = keys.bucket(account)
        self._member = member
        self.rate = rate
        self.in_force = rate is not None

    async def open(self) -> "Bucket":
        """Loads the script; call once."""
        self._script: Script = await self._store.script("bucket")
        return self

    def beside(self, part: str) -> "Bucket":
        """The bucket of a part of the account (a recipient domain), without a limit of its own."""
        made = copy(self)
        made._key, made.rate, made.in_force = f"{self._key}@{part}", None, False
        return made

    async def take(self, wanted: int, *, critical: bool = False, now_ms: int = 0) -> Grant:
        """Up to `wanted` tokens. `now_ms` 0 goes by Redis' clock, so that hosts agree."""
        return await self._call(wanted, now_ms, critical=critical)

    async def slow_down(self, *, seen_per_s: float = 0.0, keep: float = HALF, now_ms: int = 0) -> Grant:
        """The provider said 429: lowers the rate and empties the bucket; repeats within a second count once.

        Args:
            seen_per_s: messages a second that this process had sent; an account without a limit begins by it.
            keep: what is left of the rate; a set limit is halved whatever is said here.
            now_ms: as of `take`.
        """
        keep = HALF if self.rate is not None else keep
        return await self._call(0, now_ms, slow_down=True, seen_per_s=max(seen_per_s, UNLIMITED_PER_S), keep=keep)

    async def _call(
        self,
        wanted: int,
        now_ms: int,
        *,
        critical: bool = False,
        slow_down: bool = False,
        seen_per_s: float = 0.0,
        keep: float = HALF,
    ) -> Grant:
        rate = self.rate or Rate(0, 0)
        args: list[Arg] = [str(rate.per_s), rate.burst, rate.reserve, wanted, int(critical), now_ms, int(slow_down)]
        args += [f"{seen_per_s:.3f}", self._member, f"{keep:.3f}"]
        ((tokens, wait_ms, millis),) = await self._store.send([self._script.call([self._key], args)])
        self.in_force = self.rate is not None or millis > 0
        return Grant(tokens, wait_ms, millis / 1000)
