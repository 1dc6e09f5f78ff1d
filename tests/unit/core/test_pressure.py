"""What pressure means for whom, as a table, and its laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Priority
from core.pressure import RELIEF, Level, Thresholds, Verdict, level_for, verdict

T = Thresholds()
A, S, R = Verdict.ACCEPT, Verdict.SHED, Verdict.REFUSE


@pytest.mark.parametrize(
    ("level", "verdicts"),  # critical, high, medium, low
    [
        (Level.NORMAL, [A, A, A, A]),
        (Level.SHED_LOW, [A, A, A, S]),
        (Level.SHED_MEDIUM, [A, A, S, S]),
        (Level.REFUSE, [A, R, R, R]),
    ],
)
def test_who_is_let_in(level: Level, verdicts: list[Verdict]) -> None:
    assert [verdict(level, priority) for priority in Priority] == verdicts


@pytest.mark.parametrize(
    ("pressure", "before", "after"),
    [
        (0.0, Level.NORMAL, Level.NORMAL),
        (0.70, Level.NORMAL, Level.SHED_LOW),
        (0.80, Level.NORMAL, Level.SHED_MEDIUM),
        (1.5, Level.NORMAL, Level.REFUSE),
        (0.69, Level.NORMAL, Level.NORMAL),
        (0.69, Level.SHED_LOW, Level.SHED_LOW),  # held until there is relief
        (0.64, Level.SHED_LOW, Level.NORMAL),
        (0.86, Level.REFUSE, Level.REFUSE),
        (0.78, Level.REFUSE, Level.SHED_MEDIUM),
        (0.0, Level.REFUSE, Level.NORMAL),
    ],
)
def test_levels_rise_at_once_and_fall_with_relief(pressure: float, before: Level, after: Level) -> None:
    assert level_for(pressure, T, before) is after


@given(st.floats(0, 2), st.floats(0, 2), st.sampled_from(list(Level)))
def test_more_pressure_never_means_a_lower_level(a: float, b: float, before: Level) -> None:
    low, high = sorted((a, b))
    assert level_for(low, T, before) <= level_for(high, T, before)
    assert level_for(low, T, before) >= level_for(low, T)
    if low < T.shed_low - RELIEF:
        assert level_for(low, T, before) is Level.NORMAL
