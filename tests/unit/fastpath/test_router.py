import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath.values import MEMO_MAX, REQUESTED, UNMATCHED, Route, Rule
from tests.unit.fastpath.twins import NATIVE, PURE, THOROUGH, Implementation

EMAIL, SMS, PUSH, IN_APP = 1, 2, 3, 4
ALL = 0b1111
RULES = (
    Rule(name="critical", priorities=0b0001, channels=(SMS, PUSH, EMAIL, IN_APP)),
    Rule(name="invoices", types=("invoice", "billing.*"), channels=(EMAIL, IN_APP), mode="all"),
    Rule(name="promotions", klasses=0b010, channels=(PUSH, EMAIL)),
    Rule(name="late news", types=("news.*",), priorities=0b1000, channels=(IN_APP,)),
)


@pytest.mark.parametrize(
    ("type", "priority", "klass", "available", "expected"),
    [
        pytest.param("otp", 1, 1, ALL, Route((SMS,), (), "critical"), id="first preference"),
        pytest.param("otp", 1, 1, 0b1001, Route((EMAIL,), (), "critical"), id="first with an address"),
        pytest.param("otp", 1, 1, 0, Route((), (), "critical"), id="no address at all"),
        pytest.param("invoice", 2, 1, ALL, Route((EMAIL, IN_APP), (), "invoices"), id="every one"),
        pytest.param("invoice", 2, 1, 0b1110, Route((IN_APP,), (), "invoices"), id="every one with an address"),
        pytest.param("invoice", 1, 1, ALL, Route((SMS,), (), "critical"), id="the first rule decides"),
        pytest.param("invoice2", 2, 1, ALL, Route((), (), UNMATCHED), id="an exact type is exact"),
        pytest.param("billing.due", 2, 1, ALL, Route((EMAIL, IN_APP), (), "invoices"), id="a prefix"),
        pytest.param("billing", 2, 1, ALL, Route((), (), UNMATCHED), id="shorter than the prefix"),
        pytest.param("sale", 3, 2, ALL, Route((PUSH,), (), "promotions"), id="by class"),
        pytest.param("news.sport", 4, 1, ALL, Route((IN_APP,), (), "late news"), id="by type and priority"),
        pytest.param("news.sport", 3, 1, ALL, Route((), (), UNMATCHED), id="type alone is not enough"),
    ],
)
def test_rules(fast: Implementation, type: str, priority: int, klass: int, available: int, expected: Route) -> None:
    router = fast.router.Router(RULES)
    for _ in range(2):  # decided, then remembered
        assert router.route(type, priority, klass, 0, available) == expected


def test_requested_channels_are_taken_as_they_are(fast: Implementation) -> None:
    router = fast.router.Router(RULES)
    assert router.route("otp", 1, 1, 0b1001, ALL) == Route((EMAIL, IN_APP), (), REQUESTED)
    assert router.route("otp", 1, 1, 0b0110, 0b0101) == Route((PUSH,), (SMS,), REQUESTED)
    assert router.route("otp", 1, 1, 0b0010, 0) == Route((), (SMS,), REQUESTED)


def test_no_rules(fast: Implementation) -> None:
    assert fast.router.Router(()).route("a", 1, 1, 0, ALL) == Route((), (), UNMATCHED)


def test_remembers_the_decision_itself(fast: Implementation) -> None:
    router = fast.router.Router(RULES)
    assert router.route("otp", 1, 1, 0, ALL) is router.route("otp", 1, 1, 0, ALL)


def test_forgets_when_types_pile_up(fast: Implementation) -> None:
    router = fast.router.Router(RULES)
    first = router.route("otp", 1, 1, 0, ALL)
    for index in range(MEMO_MAX):
        router.route(f"made up {index}", 1, 1, 0, ALL)
    again = router.route("otp", 1, 1, 0, ALL)
    assert again == first
    assert again is not first


@pytest.mark.parametrize("arguments", [(0, 1, 0, 0), (9, 1, 0, 0), (1, 0, 0, 0), (1, 9, 0, 0), (1, 1, -1, 0), (1, 1, 0, 256)])
def test_refuses_numbers_out_of_range(fast: Implementation, arguments: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError):
        fast.router.Router(RULES).route("otp", *arguments)


@pytest.mark.parametrize("channels", [(0,), (9,), (1, 1)])
def test_a_rule_names_real_channels_once(channels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        Rule(name="wrong", channels=channels)


def test_a_rule_has_a_known_mode_and_masks() -> None:
    with pytest.raises(ValueError):
        Rule(name="wrong", channels=(1,), mode="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        Rule(name="wrong", channels=(1,), priorities=256)


SMALL = st.text(alphabet="ab*", max_size=3)
ANY_RULE = st.builds(
    Rule,
    name=st.text(max_size=3),
    types=st.lists(SMALL, max_size=2).map(tuple),
    priorities=st.integers(0, 15),
    klasses=st.integers(0, 7),
    channels=st.lists(st.integers(1, 8), unique=True, max_size=4).map(tuple),
    mode=st.sampled_from(["first", "all"]),
)


@THOROUGH
@given(st.lists(ANY_RULE, max_size=4), SMALL, st.integers(1, 4), st.integers(1, 3), st.integers(0, 255), st.integers(0, 255))
def test_twins_agree(rules: list[Rule], type: str, priority: int, klass: int, requested: int, available: int) -> None:
    native, pure = NATIVE.router.Router(rules), PURE.router.Router(rules)
    for mask in (requested, 0):
        assert native.route(type, priority, klass, mask, available) == pure.route(type, priority, klass, mask, available)
