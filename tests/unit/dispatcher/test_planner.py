"""The short cut and the long way agree: what the planner plans is what the decider would have, for any notification."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model import Channel, Class, Part, Priority
from dispatcher.decide import Decider
from dispatcher.reach import must_look_up
from dispatcher.templates import Template
from fastpath import Contact, Plan, Record, RenderCache, Rule
from ledger.values import StoredRecipient, StoredTemplate, TemplateContent
from tests.unit.dispatcher.values import ADA, NOW, ORDER, contact, notification

EMAIL, SMS, PUSH, IN_APP = Channel
FRESH = NOW + 1
CONTENTS = (
    TemplateContent(SMS, "en", {Part.TEXT: "{{ 1 / id }}"}),
    TemplateContent(EMAIL, "en", {Part.TEXT: "{{"}),
    TemplateContent(IN_APP, "de", {Part.TITLE: "{% for i in items %}{{ i }}{% endfor %}", Part.BODY: "{{ id|upper }}"}),
)
TEMPLATES = {
    ("order", 3): Template(ORDER),
    ("order", 0): Template(ORDER),
    ("odd", 3): Template(StoredTemplate("odd", "en", (), CONTENTS, version=3)),
    ("sms", 3): Template(StoredTemplate("sms", "en", (), ORDER.contents[2:3], version=3)),
}
PEOPLE = {
    "ada": contact(ADA),
    "eve": contact(StoredRecipient("eve", email="eve@example.com", language="pl")),
    "bob": contact(StoredRecipient("bob", phone="+48", devices=ADA.devices[:1])),
    "nil": contact(StoredRecipient("nil")),
}
RULES = [Rule(name="codes", types=("code*",), channels=(SMS, EMAIL, IN_APP), mode="all")]

NOTIFICATIONS = st.fixed_dictionaries(
    {
        "channel": st.integers(0, 15),
        "priority": st.sampled_from(Priority),
        "klass": st.sampled_from(Class),
        "type": st.sampled_from(["order", "code_login", "é"]),
        "template": st.sampled_from(["order", "order", "odd", "sms", "unheard-of"]),
        "version": st.sampled_from([0, 3, 3]),
        "recipient_id": st.sampled_from(["ada", "eve", "bob", "nil", "unheard-of", ""]),
        "email": st.sampled_from(["", "", "given@example.com"]),
        "phone": st.sampled_from(["", "", "+43"]),
        "devices": st.sampled_from([b"", b"", b'[[2,"given"]]']),
        "language": st.sampled_from(["", "", "de", "de-AT", "EN", "xx"]),
        "data": st.sampled_from([{"id": "A1", "items": ["<", "é"]}, {"id": 0, "items": []}, {"id": 2}, {}, b"", b"[]"]),
        "expires_ms": st.sampled_from([0, 0, NOW, FRESH]),
    }
)


def long_way(decider: Decider, record: Record) -> Plan:
    """As dispatcher/station.py has it decided."""
    if record.expires_ms and record.expires_ms <= NOW:
        return decider.expired(record)
    stored: Contact | None = PEOPLE.get(record.recipient_id) if must_look_up(record) else None
    standing = "given" if not must_look_up(record) else "stored" if stored else "unknown"
    return decider.plan(record, stored, TEMPLATES.get((record.template, record.version)), standing)


def short_cut(decider: Decider, records: list[Record]) -> tuple[list[Plan | None], list[int]]:
    people: dict[str, tuple[Contact | None, int]] = {"unheard-of": (None, FRESH)}
    people |= {name: (known, FRESH) for name, known in PEOPLE.items()}
    templates: dict[tuple[str, int], tuple[Template | None, int]] = {("unheard-of", 3): (None, FRESH)}
    templates |= {key: (template, FRESH) for key, template in TEMPLATES.items()}
    return decider.planner(people, templates).plan(records, NOW)


@settings(max_examples=300)
@given(st.lists(NOTIFICATIONS, min_size=1, max_size=8))
def test_the_short_cut_leads_where_the_long_way_does(given_fields: list[dict[str, Any]]) -> None:
    records = [notification(**each) for each in given_fields]
    plans, rest = short_cut(Decider(RenderCache(1 << 20), RULES), records)
    decider = Decider(RenderCache(1 << 20), RULES)
    for i, (record, plan) in enumerate(zip(records, plans, strict=True)):
        expected = long_way(decider, record)
        assert plan is None or plan == expected
        assert (i in rest) is (plan is None)
        assert plan is None or (plan.letters and not plan.refusals)
        strange = record.devices or (must_look_up(record) and not PEOPLE.get(record.recipient_id))
        if expected.letters and not expected.refusals and not strange:
            assert plan == expected, "the usual is planned by the short cut"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"channel": 0},
        {"channel": EMAIL.mask | PUSH.mask | IN_APP.mask},
        {"recipient_id": "", "email": "given@example.com"},
        {"email": "given@example.com", "language": "de"},
        {"template": "sms", "channel": 0},
        {"version": 0},
    ],
)
def test_the_usual_needs_no_long_way(fields: dict[str, Any]) -> None:
    record = notification(EMAIL, **fields)
    decider = Decider(RenderCache(1 << 20))
    assert short_cut(decider, [record]) == ([long_way(decider, record)], [])


def test_a_new_version_is_decided_anew() -> None:
    """What was decided hangs on the template that it was decided for."""
    decider, record = Decider(RenderCache(1 << 20)), notification(SMS, version=0)
    people: dict[str, tuple[Contact | None, int]] = {"ada": (PEOPLE["ada"], FRESH)}
    templates: dict[tuple[str, int], tuple[Template | None, int]] = {("order", 0): (Template(ORDER), FRESH)}
    planner = decider.planner(people, templates)
    ((first,), _) = planner.plan([record], NOW)
    newer = TemplateContent(SMS, "en", {Part.TEXT: "newer"})
    templates["order", 0] = (Template(StoredTemplate("order", "en", (), (newer,), version=4)), FRESH)
    ((second,), _) = planner.plan([record], NOW)
    assert first is not None
    assert second is not None
    assert (first.version, second.version) == (3, 4)
    assert b"newer" in second.letters[0].content
