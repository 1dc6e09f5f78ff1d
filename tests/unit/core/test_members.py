"""Partitions are dealt out so that each has exactly one reader."""

from hypothesis import given
from hypothesis import strategies as st

from core.members import new_name, share

NAMES = st.lists(st.text(min_size=1, max_size=8), unique=True, min_size=1, max_size=9)


@given(st.integers(1, 64), NAMES)
def test_every_partition_has_exactly_one_reader(partitions: int, names: list[str]) -> None:
    dealt = [p for name in names for p in share(partitions, names, name)]
    assert sorted(dealt) == list(range(partitions))
    sizes = [len(share(partitions, names, name)) for name in names]
    assert max(sizes) - min(sizes) <= 1


def test_who_is_not_on_the_list_reads_nothing() -> None:
    assert share(4, ["a", "b"], "c") == frozenset()


def test_names_never_repeat() -> None:
    assert len({new_name() for _ in range(50)}) == 50
