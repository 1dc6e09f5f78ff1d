"""How safe a write must be before it is answered: in Redis' memory, on its disk (WAITAOF), on replicas (WAIT).

Needs Redis or Valkey 7.2 for the disk; older servers are refused at start rather than trusted in silence. Settings of Redis by
which accepted notifications can be lost are told in the log.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import ConfigError, StoreError, StoreUnavailable
from core.store import Command, Store

log = logging.getLogger("tidings.durability")

TIMEOUT_MS = 2_000  # with appendfsync everysec the disk is at most a second behind
WANTED = {  # of deploy/redis.conf, what nothing shows the lack of until it is too late: setting, value, what happens without
    "maxmemory-policy": ("noeviction", "a full Redis evicts streams, and with them notifications that were accepted"),
    "appendonly": ("yes", "a restart of Redis loses what waits in it, unless replicas have it"),
    "lazyfree-lazy-expire": ("yes", "everybody waits while a large hash of dedupe marks that has ended is freed"),
}


@dataclass(frozen=True, slots=True)
class Durability:
    """What to wait for: `fsync`, the write is on the master's disk; `replicas`, and on so many others."""

    fsync: bool = False
    replicas: int = 0

    def command(self, timeout_ms: int = 0) -> Command:
        """The command that waits for all writes made before on the same connection, for TIMEOUT_MS by default."""
        timeout_ms = timeout_ms or TIMEOUT_MS
        if self.fsync:
            return ["WAITAOF", 1, self.replicas, timeout_ms]
        return ["WAIT", self.replicas, timeout_ms]

    def verify(self, reply: int | list[int]) -> None:
        """Checks the command's reply.

        Raises:
            StoreUnavailable: the write is in memory, but not as safe as asked for; whoever asked may repeat it.
        """
        disk, replicas = reply if isinstance(reply, list) else (1, reply)
        if disk < self.fsync or replicas < self.replicas:
            raise StoreUnavailable(f"not on disk and {self.replicas} replicas in time (disk {disk}, replicas {replicas})")


def required(*, fsync: bool, replicas: int) -> Durability | None:
    """What the settings ask for; None if memory is enough."""
    return Durability(fsync, replicas) if fsync or replicas else None


async def check(store: Store, durability: Durability | None) -> None:
    """Refuses to start on a server that cannot give what is asked for.

    Raises:
        ConfigError: no WAITAOF (before 7.2), or no append-only file to wait for.
    """
    if durability is None:
        return
    try:
        await store.send([durability.command(timeout_ms=1)])
    except StoreUnavailable:
        raise
    except StoreError as error:
        raise ConfigError(
            f"TIDINGS_CRITICAL_FSYNC: this Redis cannot wait for its disk ({error}); use 7.2 or later with `appendonly yes`"
        ) from error


async def warn(store: Store) -> None:
    """Says in the log which settings of Redis lose notifications or hold them up; the operator may have reasons.

    Raises:
        StoreUnavailable: Redis is away.
    """
    try:
        (flat,) = await store.send([["CONFIG", "GET", *WANTED]])
    except StoreUnavailable:
        raise
    except StoreError as error:  # hosted ones keep CONFIG to themselves
        log.info("whether Redis is set up as deploy/redis.conf has it cannot be told: %s", error)
        return
    texts = [text.decode() for text in flat]
    for line in doubts(dict(zip(texts[::2], texts[1::2], strict=True))):
        log.warning("%s", line)


def doubts(configured: Mapping[str, str]) -> list[str]:
    """What is wrong with settings (name to value) as Redis gives them; one that it does not know is not missed."""
    return [
        f"Redis has {name} {configured[name]}: {otherwise}. Set it to {value}"
        for name, (value, otherwise) in WANTED.items()
        if configured.get(name, value) != value
    ]
