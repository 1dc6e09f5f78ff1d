"""Results are kept a line each, and the pages show the newest ones."""

from pathlib import Path

import pytest

from bench import report, tables
from bench.history import history, keep, latest
from bench.meter import percentiles, spread, spreads


def test_a_result_is_a_line_and_the_last_one_counts(tmp_path: Path) -> None:
    assert latest("pipeline", tmp_path) is None
    for figure in (1, 2):
        keep({"workload": "pipeline", "figure": figure}, tmp_path)
    assert [one["figure"] for one in history("pipeline", tmp_path)] == [1, 2]
    newest = latest("pipeline", tmp_path)
    assert newest is not None and newest["figure"] == 2 and newest["date"].startswith("20")


def test_percentiles_are_values_of_the_sample() -> None:
    assert percentiles(range(1, 1001)) == {"p50": 500, "p99": 990, "p999": 999, "max": 1000}
    assert percentiles([7.0]) == {"p50": 7, "p99": 7, "p999": 7, "max": 7}


def test_spread_is_minimum_median_maximum() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"min": 1, "median": 2, "max": 3}


def test_only_what_stands_between_markers_is_replaced() -> None:
    page = "before\n<!-- figures: pipeline -->\nold\n<!-- end -->\nafter <!-- end -->\n"
    written = report.filled(page, {"pipeline": "new"})
    assert written == "before\n<!-- figures: pipeline -->\nnew\n<!-- end -->\nafter <!-- end -->\n"
    assert report.filled(written, {"pipeline": "new"}) == written


def test_a_marker_without_figures_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        report.filled("<!-- figures: nothing -->\n<!-- end -->\n", {})


def test_the_pages_say_what_the_results_say() -> None:
    written = report.figures()
    for page in report.PAGES:
        text = page.read_text()
        assert "<!-- figures: " in text
        assert text == report.filled(text, written), f"{page.name} is out of date: python -m bench.report"


def test_without_results_the_tables_say_so(tmp_path: Path) -> None:
    assert report.figures(tmp_path)["pipeline"] == tables.NOTHING


def test_what_a_run_lacks_is_nothing_there() -> None:
    assert spreads([{"a": 1.0}, {"a": 3.0, "b": 2.0}])["b"] == {"min": 0, "median": 1, "max": 2}
