"""`python -m bench.report`: writes the newest results into bench/README.md and docs/performance.md, between their markers.

A marker is `<!-- figures: NAME -->` and the next `<!-- end -->`; all between them is replaced.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import tables
from bench.history import RESULTS, latest

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "bench" / "README.md", ROOT / "docs" / "performance.md")
WORKLOADS = ("pipeline", "priority", "gateway", "fastpath", "providers", "peers", "backlog")
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def figures(folder: Path = RESULTS) -> dict[str, str]:
    """What stands at each marker, by its name."""
    found = {name: one for name in WORKLOADS if (one := latest(name, folder)) is not None}
    written = {"summary": tables.summary(list(found.values())), "limits": tables.limits()}
    for name in WORKLOADS:
        written[name] = _detail(name, found)
    parts = [found[name] for name in ("pipeline", "backlog", "providers") if name in found]
    written["capacity"] = tables.capacity(*parts) if len(parts) == 3 else tables.NOTHING
    return written


def _detail(name: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    if name not in found:
        return tables.NOTHING
    result = found[name]
    if name in tables.DETAILS:
        return f"{tables.DETAILS[name](result)}\n\n{tables.origin(result)}."
    lines = [(what, *tables.between(figure)) for what, figure in tables.headline(result)]
    return f"{tables.table(('figure', 'min', 'median', 'max'), lines)}\n\n{tables.origin(result)}."


def filled(page: str, written: Mapping[str, str]) -> str:
    """A page with its figures in place.

    Raises:
        KeyError: a marker has a name that there are no figures of.
    """
    return MARKED.sub(lambda found: f"{found[1]}{written[found[2]]}\n{found[3]}", page)


def main() -> None:
    """The command line."""
    written = figures()
    for page in PAGES:
        page.write_text(filled(page.read_text(), written))


if __name__ == "__main__":
    main()
