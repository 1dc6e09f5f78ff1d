"""What is due of a long pending list is served, and a heartbeat looks at it, by as many commands as of a short one."""

import pytest

from bench.pending import DUE, beat, counted, fill, serve
from core.store import Store

SHORT, LONG = 2 * DUE, 50 * DUE


async def figures(store: Store, size: int) -> tuple[float, float]:
    """Commands that serving the due ones took, and a heartbeat beside what is left."""
    await store.send([["FLUSHALL"]])
    await fill(store, size)
    served, serving = await counted(store, lambda: serve(store))
    _, beating = await counted(store, lambda: beat(store))
    assert served == DUE
    return serving["commands"], beating["commands"]


@pytest.mark.timeout(120)
async def test_it_costs_what_is_due_not_what_waits(store: Store) -> None:
    assert await figures(store, LONG) == await figures(store, SHORT)
