"""docs/operations.md: every rule has a test, and the test is there."""

import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "operations.md").read_text()
RULES = PAGE.split("## What it does when something fails\n")[1].split("\n## ")[0]
ROWS = [line for line in RULES.splitlines() if line.startswith("|") and not line.startswith(("| rule ", "| --- "))]


def test_every_rule_names_how_it_shows_a_remedy_and_a_test() -> None:
    assert len(ROWS) > 25
    for row in ROWS:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 4, row
        assert all(cells), row
        assert re.fullmatch(r"`test_\w+\.py::test_\w+`(, `test_\w+\.py::test_\w+`)*", cells[3]), row


def test_the_tests_that_rules_name_are_there() -> None:
    sources: defaultdict[str, str] = defaultdict(str)
    for path in TESTS.rglob("test_*.py"):
        sources[path.name] += path.read_text()
    for file, name in re.findall(r"`(test_\w+\.py)::(test_\w+)`", RULES):
        assert f"def {name}(" in sources[file], f"{file}::{name}"
