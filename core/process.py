"""How a station's process lives: settings, logs, traces, metrics, signals, the drain. Every `python -m <room>` ends here."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import uvloop

import fastpath
from core import telemetry
from core.clock import SYSTEM_CLOCK, Clock
from core.config import load_settings
from core.errors import ConfigError, TidingsError
from core.logs import setup_logging
from core.metrics import serve_metrics
from core.settings import Settings
from core.store import MAX_CONNECTIONS, Store

log = logging.getLogger("tidings.process")

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: a supervisor need not try again
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE: Redis or PostgreSQL is not there yet
# A batch makes thousands of objects and no cycles: Python's usual 700 would walk the young ones several times in each, and all
# that the caches hold again and again. What this keeps too long is a few megabytes of the cycles that errors make.
COLLECT_AFTER = 50_000


class Runnable(Protocol):
    """Something that works until it is told to stop: a StationLoop, the gateway's servers."""

    async def run(self) -> None:
        """Returns when the drain is over."""
        ...

    def stop(self) -> None:
        """Begins the drain; safe to call from a signal handler, and twice."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What every station is built from."""

    settings: Settings
    store: Store
    clock: Clock = SYSTEM_CLOCK


Build: TypeAlias = Callable[[Context], AbstractAsyncContextManager[Sequence[Runnable]]]


def run_station(name: str, build: Build) -> None:
    """Runs a station until SIGTERM or SIGINT and exits: 0 after a drain, 78 for bad settings, 69 if a store is away.

    `build` is an async context manager that opens what the station needs and closes it after the drain.
    """
    try:
        settings = load_settings()
        setup_logging(settings)
        _require_native(settings)
        telemetry.setup(settings, f"tidings-{name}")
        uvloop.run(_live(name, settings, build))
        telemetry.shutdown()
    except ConfigError as error:
        print(f"tidings {name}: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except TidingsError as error:
        print(f"tidings {name}: {error}", file=sys.stderr)
        sys.exit(EXIT_UNAVAILABLE)


def _require_native(settings: Settings) -> None:
    if not fastpath.NATIVE and not settings.allow_pure:
        raise ConfigError(
            f"the native modules of fastpath are not built ({fastpath.WHY}): run `make build`, "
            "or set TIDINGS_ALLOW_PURE=true to run slowly"
        )


def collect_rarely() -> None:
    """Garbage of cycles is rare here: looked for rarely, and never among what is there now (modules, settings)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


async def _live(name: str, settings: Settings, build: Build) -> None:
    async with AsyncExitStack() as stack:
        # Each lane that waits for something new holds a connection, and a process may have lanes of every channel.
        store = await Store.connect(settings.redis_url, max_connections=MAX_CONNECTIONS + 4 * settings.partitions)
        stack.push_async_callback(store.close)
        serve_metrics(settings.metrics_listen)
        runnables = await stack.enter_async_context(build(Context(settings, store)))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, _stop_all, name, runnables)
        collect_rarely()
        log.info("started", extra={"station": name})
        async with asyncio.TaskGroup() as tasks:
            for runnable in runnables:
                tasks.create_task(runnable.run())
    log.info("drained", extra={"station": name})


def _stop_all(name: str, runnables: Sequence[Runnable]) -> None:
    log.info("draining", extra={"station": name})
    for runnable in runnables:
        runnable.stop()
