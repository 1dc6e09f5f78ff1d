"""What acceptance needs to know of templates: does it exist, its latest version, required variables, channels.

Remembered and renewed in the background; what is known is served while PostgreSQL is away.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from core.changes import TEMPLATE
from core.clock import SYSTEM_CLOCK, Clock
from core.model import Channel
from core.shelf import Shelf
from fastpath import Terms
from gateway.errors import Violation
from gateway.fields import quote
from gateway.validate import Draft
from ledger.values import StoredTemplate
from tidings.v1.types_pb2 import ErrorReason

FOREVER_MS = 365 * 24 * 3_600_000  # a version never changes
LATEST_MS = 30_000  # "the latest" does; core.changes tells at once, this is for messages that were lost
UNKNOWN_MS = 1_000  # callers often put a template and send right after
AT_ONCE = 4  # look-ups in flight; a batch may name a thousand templates
CAPACITY = 20_000  # templates, under 1 KB each

Reference: TypeAlias = tuple[str, int]  # name, version; 0 is the latest
Facts: TypeAlias = Terms  # one version of a template, as far as acceptance looks at it


def facts_of(stored: StoredTemplate) -> Facts:
    """What acceptance needs of a stored template."""
    required = frozenset(variable.name for variable in stored.variables if variable.required)
    channels = 0
    for content in stored.contents:
        channels |= content.channel.mask
    return Facts(stored.name, stored.version, required, channels)


def faults(draft: Draft, facts: Facts | None) -> list[Violation]:
    """What is wrong with a draft in view of its template (None: there is none of this name and version)."""
    if facts is None:
        version = f" in version {draft.version}" if draft.version else ""
        text = f"there is no template {quote(draft.template)}{version}; put it first"
        return [Violation("template", text, ErrorReason.ERROR_REASON_UNKNOWN_TEMPLATE)]
    found: list[Violation] = []
    if draft.names is not None and not facts.required <= draft.names:
        reason = ErrorReason.ERROR_REASON_MISSING_VARIABLE
        text = f"is required by {_label(facts)}, and null is no value"
        found += [Violation(f"data.{name}", text, reason) for name in sorted(facts.required - draft.names)]
    missing = draft.channels & ~facts.channels
    if missing:
        names = ", ".join(channel.name.lower() for channel in Channel if missing & channel.mask)
        text = f"{_label(facts)} has no content for {names}"
        found.append(Violation("channels", text, ErrorReason.ERROR_REASON_MISSING_CONTENT))
    return found


def _label(facts: Facts) -> str:
    return f"template {quote(facts.name)} version {facts.version}"


def _lifetime(reference: Reference, facts: Facts | None) -> int:
    if facts is None:
        return UNKNOWN_MS
    return FOREVER_MS if reference[1] else LATEST_MS


class Catalog(Shelf[Reference, Facts]):
    """Templates by name and version.

    Args:
        get: one stored template by name and version (0: the latest), None if there is none; raises LedgerUnavailable.
        clock: for ages.
    """

    def __init__(self, get: Callable[[str, int], Awaitable[StoredTemplate | None]], *, clock: Clock = SYSTEM_CLOCK) -> None:
        async def fetch(references: Sequence[Reference]) -> dict[Reference, Facts]:
            turns = asyncio.Semaphore(AT_ONCE)

            async def one(reference: Reference) -> StoredTemplate | None:
                async with turns:
                    return await get(*reference)

            found = await asyncio.gather(*map(one, references))
            return {r: facts_of(stored) for r, stored in zip(references, found, strict=True) if stored is not None}

        super().__init__("templates", fetch, _lifetime, capacity=CAPACITY, clock=clock)
        self._renewal: asyncio.Task[object] | None = None

    async def find(self, references: Iterable[Reference]) -> dict[Reference, Facts | None]:
        """The facts of each, None where there is no such template; one that is missing could not be learned now."""
        found: dict[Reference, Facts | None] = {}
        missing: list[Reference] = []
        stale: list[Reference] = []
        for reference in references:
            kept = self.kept(reference)
            if kept is None or (kept[0] is None and not kept[1]):
                missing.append(reference)
                continue
            found[reference] = kept[0]
            if not kept[1]:
                stale.append(reference)
        if stale and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self.resolve(stale))
        return found | await self.resolve(missing) if missing else found

    def changed(self, kind: str, key: str) -> None:
        """Called with every change that core.changes tells of: a template that got a new version is looked up again."""
        if kind == TEMPLATE:
            for reference in [reference for reference in self._kept if reference[0] == key]:
                self.forget(reference)
            self.forget((key, 0))
