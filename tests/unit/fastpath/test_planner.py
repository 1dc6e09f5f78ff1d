"""The planner: what it remembers, what it hands back, and that both implementations plan alike."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import layout
from fastpath.values import COURSES_MAX, Course, Letter, Plan, Target, Way
from tests.unit.fastpath.twins import ID, NATIVE, PURE, THOROUGH, Implementation, fields

ADA = ("ada", "a@b.c", "+49", '[[1,"t"],[2,"u"]]', "de")
TARGETS = ((Target(1, "a@b.c"),), (Target(2, "+49"),), (Target(3, "t", 1, 0), Target(3, "u", 2, 1)), (Target(4, "ada"),))
NOW = 1000


class Desk:
    """A planner with one recipient and one template that takes every channel asked for, or the first there is."""

    def __init__(self, fast: Implementation) -> None:
        self.fast = fast
        self.asked: list[tuple[int, str, str]] = []
        self.compiled = fast.render.compile_parts([(3, "{{ id }}", False)])
        self.template = SimpleNamespace(courses={})
        self.people: dict[str, Any] = {"ada": (ADA, NOW + 1), "nobody": (None, NOW + 1), "stale": (ADA, NOW)}
        self.templates: dict[Any, Any] = {("order", 0): (self.template, NOW + 1), ("stale", 0): (self.template, NOW)}
        self.planner = fast.planner.Planner(self.people, self.templates, self.course, fast.render.RenderCache(1 << 16))

    def course(self, record: Any, template: Any, available: int, wish: str, standing: str) -> Course | None:
        self.asked.append((available, wish, standing))
        channels = [c for c in (1, 2, 3, 4) if (record.channel or available) >> (c - 1) & 1]
        if record.channel & ~available or not channels:
            return None
        verdicts = f"{standing} {wish}".encode()
        return Course(7, tuple(Way(c, wish or "en", self.compiled, ("order", c), verdicts) for c in channels))

    def notification(self, **given_fields: Any) -> Any:
        known = {"template": "order", "recipient_id": "ada", "type": "t", "channel": 1, "data": b'{"id":"A1"}'}
        return self.fast.records.record(layout.NOTIFICATION, id=ID, **(known | given_fields))

    def plan(self, **given_fields: Any) -> Any:
        (plan,), rest = self.planner.plan([self.notification(**given_fields)], NOW)
        assert rest == ([0] if plan is None else [])
        return plan


@pytest.fixture
def desk(fast: Implementation) -> Desk:
    return Desk(fast)


def targets(plan: Any) -> list[Target]:
    return [letter.target for letter in plan.letters]


def test_a_letter_on_each_way_to_each_target(desk: Desk) -> None:
    plan = desk.plan(channel=0b1101)
    content = desk.fast.records.pack_parts([(3, b"A1")])
    assert plan == Plan(tuple(Letter(target, "de", content, b"stored de") for c in (0, 2, 3) for target in TARGETS[c]), (), 7)
    assert type(plan) is Plan
    assert all(type(letter) is Letter for letter in plan.letters)


def test_what_was_decided_is_not_asked_again(desk: Desk) -> None:
    for _ in range(2):
        desk.plan(data=b'{"id":1}')
        desk.plan(data=b'{"id":2}', channel=2)
        desk.plan(language="fr")
        desk.plan(type="u")
    assert len(desk.asked) == 4


@pytest.mark.parametrize(
    "changed", [{"priority": 1}, {"klass": 1}, {"channel": 2}, {"type": "u"}, {"language": "fr"}, {"recipient_id": "eve"}]
)
def test_all_that_a_decision_depends_on_is_asked_about(desk: Desk, changed: dict[str, Any]) -> None:
    desk.people["eve"] = (("eve", *ADA[1:3], "", "de"), NOW + 1)
    desk.plan()
    desk.plan(**changed)
    assert len(desk.asked) == 2


def test_type_and_language_do_not_run_into_each_other(desk: Desk) -> None:
    desk.plan(language="de", type="at")
    desk.plan(language="dea", type="t")
    assert len(desk.asked) == 2


def test_what_is_remembered_is_bounded(desk: Desk) -> None:
    for i in range(COURSES_MAX + 1):
        desk.plan(type=str(i))
    assert len(desk.template.courses) == 1


def test_given_addresses_come_first(desk: Desk) -> None:
    assert targets(desk.plan(channel=0b1011, email="given", phone="")) == [Target(1, "given"), *TARGETS[1], *TARGETS[3]]
    assert targets(desk.plan(channel=0b1011, phone="+1")) == [*TARGETS[0], Target(2, "+1"), *TARGETS[3]]


def test_what_was_given_may_suffice(desk: Desk) -> None:
    """Nobody is looked up, so an id that nobody has does not matter."""
    plan = desk.plan(recipient_id="unheard-of", email="given", language="fr", channel=0b1001)
    assert targets(plan) == [Target(1, "given"), Target(4, "unheard-of")]
    assert targets(desk.plan(recipient_id="", email="given")) == [Target(1, "given")]
    assert desk.asked == [(0b1001, "fr", "given"), (0b0001, "", "given")]


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param({"expires_ms": NOW}, id="expired"),
        pytest.param({"recipient_id": "unheard-of"}, id="recipient not kept"),
        pytest.param({"recipient_id": "nobody"}, id="recipient does not exist"),
        pytest.param({"recipient_id": "stale"}, id="recipient not fresh"),
        pytest.param({"template": "unheard-of"}, id="template not kept"),
        pytest.param({"template": "stale"}, id="template not fresh"),
        pytest.param({"version": 1}, id="version not kept"),
        pytest.param({"channel": 16}, id="something is refused"),
        pytest.param({"data": b"{}"}, id="variable is missing"),
        pytest.param({"data": b"["}, id="no JSON"),
        pytest.param({"data": b""}, id="no data"),
        pytest.param({"devices": b'[[1,"t"]]'}, id="devices given"),
        pytest.param({"type": "t" * 256}, id="type too long to remember"),
        pytest.param({"language": "l" * 256}, id="language too long to remember"),
        pytest.param({"template": "t" * 256}, id="name too long to remember"),
    ],
)
def test_what_is_not_usual_is_handed_back(desk: Desk, strange: dict[str, Any]) -> None:
    assert desk.plan(**strange) is None
    usual = desk.notification()
    assert desk.planner.plan([usual, desk.notification(**strange), usual], NOW)[1] == [1], "and the rest goes on"


def test_not_expired_yet(desk: Desk) -> None:
    assert desk.plan(expires_ms=NOW + 1)


def test_other_records_are_handed_back() -> None:
    desk = Desk(NATIVE)
    strange = [NATIVE.records.Record.__new__(NATIVE.records.Record), NATIVE.records.record(layout.OUTCOME, id=ID)]
    assert desk.planner.plan(strange, NOW) == ([None, None], [0, 1])


@pytest.mark.parametrize("name", ["recipient_id", "template", "type", "language", "email"])
def test_text_that_is_not_utf_8_is_handed_back(fast: Implementation, name: str) -> None:
    desk = Desk(fast)
    frame = fast.records.pack_frame([desk.notification(**{name: "text-here"})])
    (damaged,) = fast.records.unpack_frame(frame.replace(b"text-here", b"text-\xff\xfe\xfd\xfc"))
    assert desk.planner.plan([damaged], NOW) == ([None], [0])


@pytest.mark.parametrize("kept", [(), (ADA,), (ADA[:4], NOW + 1), ((), NOW + 1), ("ada", NOW + 1)])
def test_damaged_shelves_raise_and_read_nothing_beyond(kept: Any) -> None:
    desk = Desk(NATIVE)
    desk.people["ada"] = kept
    with pytest.raises(TypeError):
        desk.plan()


WORDS = {
    "template": st.sampled_from(["order", "order", "stale", "x"]),
    "recipient_id": st.sampled_from(["ada", "ada", "nobody", "stale", "", "x"]),
    "email": st.sampled_from(["", "", "given@example.com"]),
    "phone": st.sampled_from(["", "", "+1"]),
    "devices": st.sampled_from([b"", b"", b'[[1,"t"]]']),
    "language": st.sampled_from(["", "de", "fr-CA", "\u00e9"]),
    "data": st.sampled_from([b'{"id":"A1"}', b'{"id":[1]}', b"{}", b"", b"[]"]),
    "channel": st.integers(0, 31),
    "version": st.sampled_from([0, 0, 0, 1]),
    "expires_ms": st.sampled_from([0, 0, -1, NOW, NOW + 1]),
}


@THOROUGH
@given(st.data())
def test_twins_plan_alike(data: st.DataObject) -> None:
    given_fields = [data.draw(fields(layout.NOTIFICATION)) | data.draw(st.fixed_dictionaries(WORDS)) for _ in range(4)]
    native, pure = Desk(NATIVE), Desk(PURE)
    found = [desk.planner.plan([desk.notification(**each) for each in given_fields], NOW) for desk in (native, pure)]
    assert found[0] == found[1]
    assert native.asked == pure.asked
