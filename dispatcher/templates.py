"""Templates ready to render, from a local cache in front of the ledger: parts compiled once per channel and language.

Fetches, compiles, finds the language; renders nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from core.clock import SYSTEM_CLOCK, Clock
from core.model import Channel
from core.parts import sources
from core.shelf import Shelf
from fastpath import Compiled, Course, compile_parts, fallback
from ledger.values import StoredTemplate

FOREVER_MS = 365 * 24 * 3_600_000  # a version never changes
LATEST_MS = 60_000  # "the latest" does; core.changes tells at once, this is for messages that were lost
UNKNOWN_MS = 5_000
CAPACITY = 5_000  # templates
MEMO_MAX = 1_024  # (channel, language) pairs asked of a template; languages come from callers

TemplateKey: TypeAlias = tuple[str, int]  # name, version; 0 is the latest


class Template:
    """One version of a template.

    Attributes:
        name, version: which one.
        label: name and version for people.
        channels: mask of the channels it has content for.
        courses: where fastpath.Planner remembers what was decided of notifications that use it.
    """

    def __init__(self, stored: StoredTemplate) -> None:
        self.name = stored.name
        self.version = stored.version
        self.label = f"{stored.name!r} v{stored.version}"
        self._default = stored.default_language
        self._contents = {(content.channel, content.language): content for content in stored.contents}
        self._languages = {c: [language for channel, language in self._contents if channel == c] for c in Channel}
        self.channels = sum(channel.mask for channel, languages in self._languages.items() if languages)
        self.courses: dict[Any, Course | None] = {}
        self._found: dict[tuple[int, str], tuple[str, Compiled]] = {}
        self._compiled: dict[tuple[int, str], Compiled] = {}

    def content(self, channel: int, language: str) -> tuple[str, Compiled]:
        """The language found for the one wished for ("" for none), and the parts in it. `channel` must be in `channels`.

        Raises:
            TemplateInvalid: its text cannot be compiled.
        """
        found = self._found.get((channel, language))
        if found is None:
            if len(self._found) >= MEMO_MAX:
                self._found.clear()
            found = self._found[channel, language] = self._find(Channel(channel), language)
        return found

    def _find(self, channel: Channel, language: str) -> tuple[str, Compiled]:
        languages = self._languages[channel]
        chosen = fallback(language, languages, self._default)
        if chosen not in languages:
            chosen = languages[0]
        compiled = self._compiled.get((channel, chosen))
        if compiled is None:
            compiled = self._compiled[channel, chosen] = compile_parts(sources(self._contents[channel, chosen].parts))
        return chosen, compiled


def _lifetime(key: TemplateKey, template: Template | None) -> int:
    if template is None:
        return UNKNOWN_MS
    return FOREVER_MS if key[1] else LATEST_MS


class Templates(Shelf[TemplateKey, Template]):
    """Templates by name and version.

    Args:
        get: one stored template by name and version (0: the latest), None if there is none; raises LedgerUnavailable.
        clock: for ages.
    """

    def __init__(self, get: Callable[[str, int], Awaitable[StoredTemplate | None]], *, clock: Clock = SYSTEM_CLOCK) -> None:
        async def fetch(keys: Sequence[TemplateKey]) -> dict[TemplateKey, Template]:
            found = {key: await get(*key) for key in keys}  # a batch knows few templates, and misses are rare
            return {key: Template(stored) for key, stored in found.items() if stored is not None}

        super().__init__("templates", fetch, _lifetime, capacity=CAPACITY, clock=clock)

    def changed(self, name: str) -> None:
        """Called when a template got a new version: the latest is another one now."""
        self.forget((name, 0))
        for key in [key for key, (template, _) in self._kept.items() if key[0] == name and template is None]:
            self.forget(key)
