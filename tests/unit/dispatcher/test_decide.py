"""What becomes of a notification, as a table of cases: pure values in and out."""

from typing import Any

import orjson
import pytest

from core import verdicts
from core.model import Channel, Class, Part, Platform, Priority, Status
from core.verdicts import Verdict
from dispatcher.decide import Decider, explain
from dispatcher.templates import Template
from fastpath import Letter, Plan, Refusal, RenderCache, Rule, Target, unpack_parts
from ledger.values import StoredRecipient, StoredTemplate, TemplateContent
from tests.unit.dispatcher.values import ADA, ORDER, contact, notification

EMAIL, SMS, PUSH, IN_APP = Channel
NOBODY = StoredRecipient(recipient_id="ada")


def plan(
    *channels: Channel,
    stored: StoredRecipient | None = ADA,
    standing: str = "",
    template: StoredTemplate | None = ORDER,
    **f: Any,
) -> Plan:
    found = Template(template) if template else None
    return Decider(RenderCache(1 << 20)).plan(
        notification(*channels, **f),
        contact(stored) if stored else None,
        found,
        standing or ("stored" if stored else "unknown"),
    )


def looked(at: Letter | Refusal) -> tuple[Verdict, ...]:
    return verdicts.unpack(at.verdicts.decode())


def targets(made: Plan) -> list[Target]:
    return [letter.target for letter in made.letters]


def refused(made: Plan) -> list[tuple[int, int, str]]:
    return [(refusal.channel, refusal.status, refusal.rule) for refusal in made.refusals]


def test_channels_asked_for_are_taken_exactly() -> None:
    made = plan(EMAIL, SMS)
    assert targets(made) == [Target(EMAIL, "ada@example.com"), Target(SMS, "+4915112345678")]
    assert refused(made) == []
    assert made.version == 3


def test_push_goes_to_each_device() -> None:
    assert targets(plan(PUSH)) == [Target(PUSH, "fcm-token", Platform.FCM, 0), Target(PUSH, "apns-token", Platform.APNS, 1)]


def test_in_app_goes_to_the_recipient() -> None:
    assert targets(plan(IN_APP)) == [Target(IN_APP, "ada")]


def test_in_app_needs_a_recipient_id() -> None:
    made = plan(IN_APP, EMAIL, stored=None, standing="given", recipient_id="", email="b@example.com")
    assert targets(made) == [Target(EMAIL, "b@example.com")]
    assert refused(made) == [(IN_APP, Status.SUPPRESSED, "no_address")]


def test_given_addresses_win_over_stored_ones() -> None:
    devices = orjson.dumps([[Platform.APNS, "given-token"]])
    made = plan(EMAIL, SMS, PUSH, email="given@example.com", phone="+43111", devices=devices)
    assert targets(made) == [
        Target(EMAIL, "given@example.com"),
        Target(SMS, "+43111"),
        Target(PUSH, "given-token", Platform.APNS, 0),
    ]


@pytest.mark.parametrize(
    ("priority", "klass", "stored", "channel"),
    [
        (Priority.CRITICAL, Class.TRANSACTIONAL, ADA, SMS),
        (Priority.HIGH, Class.TRANSACTIONAL, ADA, PUSH),
        (Priority.HIGH, Class.TRANSACTIONAL, StoredRecipient("ada", email="a@b.c", phone="+49"), EMAIL),
        (Priority.HIGH, Class.TRANSACTIONAL, StoredRecipient("ada", phone="+49"), SMS),
        (Priority.LOW, Class.PROMOTIONAL, StoredRecipient("ada", phone="+49"), IN_APP),
        (Priority.LOW, Class.ALERT, NOBODY, IN_APP),
    ],
)
def test_without_a_wish_the_rules_choose(priority: int, klass: int, stored: StoredRecipient, channel: Channel) -> None:
    made = plan(stored=stored, priority=priority, klass=klass)
    assert {letter.target.channel for letter in made.letters} == {channel}
    assert refused(made) == []


def test_an_operators_rule_comes_first() -> None:
    rule = Rule(name="codes", types=("order*",), channels=(SMS, EMAIL), mode="all")
    made = Decider(RenderCache(1 << 20), [rule]).plan(notification(), contact(ADA), Template(ORDER), "stored")
    assert [target.channel for target in targets(made)] == [SMS, EMAIL]
    assert ("route", "sms,email", "codes") in looked(made.letters[0])


def test_every_channel_asked_for_without_an_address_is_suppressed() -> None:
    made = plan(EMAIL, SMS, stored=StoredRecipient("ada", email="a@b.c"))
    assert [target.channel for target in targets(made)] == [EMAIL]
    assert refused(made) == [(SMS, Status.SUPPRESSED, "no_address")]


def test_without_a_wish_and_an_address_one_refusal_names_the_rules_choice() -> None:
    template = StoredTemplate("order", "en", (), (TemplateContent(SMS, "en", {Part.TEXT: "x"}),), version=1)
    assert refused(plan(stored=NOBODY, template=template)) == [(SMS, Status.SUPPRESSED, "no_address")]


def test_an_unknown_recipient_without_a_given_address_is_suppressed() -> None:
    made = plan(EMAIL, IN_APP, stored=None)
    assert refused(made) == [(EMAIL, Status.SUPPRESSED, "unknown_recipient"), (IN_APP, Status.SUPPRESSED, "unknown_recipient")]
    assert refused(plan(stored=None, priority=Priority.CRITICAL)) == [(SMS, Status.SUPPRESSED, "unknown_recipient")]


def test_an_unknown_recipient_with_a_given_address_is_written_to() -> None:
    assert targets(plan(EMAIL, stored=None, email="x@y.z")) == [Target(EMAIL, "x@y.z")]


def test_an_unknown_template_fails() -> None:
    assert refused(plan(EMAIL, template=None)) == [(EMAIL, Status.FAILED, "unknown_template")]


def test_a_channel_that_the_template_has_no_words_for() -> None:
    template = StoredTemplate("order", "en", (), (TemplateContent(SMS, "en", {Part.TEXT: "x"}),), version=1)
    made = plan(EMAIL, SMS, template=template)
    assert [target.channel for target in targets(made)] == [SMS]
    assert refused(made) == [(EMAIL, Status.FAILED, "no_content")]
    assert [target.channel for target in targets(plan(template=template))] == [SMS], "the rules pass over it"


@pytest.mark.parametrize(
    ("given", "stored", "channel", "language", "text"),
    [
        ("", "de-AT", EMAIL, "de", "Bestellung A1"),
        ("en", "de-AT", EMAIL, "en", "Order A1"),
        ("", "", EMAIL, "en", "Order A1"),
        ("fr", "de", EMAIL, "en", "Order A1"),
        ("de-CH", "", EMAIL, "de", "Bestellung A1"),
        ("de", "", SMS, "en", "Order A1 is on its way"),
    ],
)
def test_the_language_is_given_or_stored_or_default_per_channel(
    given: str, stored: str, channel: Channel, language: str, text: str
) -> None:
    whom = StoredRecipient("ada", email="a@b.c", phone="+49", language=stored)
    (letter,) = plan(channel, stored=whom, language=given).letters
    assert letter.language == language
    assert text.encode() in unpack_parts(letter.content).values()


def test_parts_are_as_the_template_has_them() -> None:
    english = unpack_parts(plan(EMAIL, language="en", data={"id": "<1>"}).letters[0].content)
    assert english == {Part.SUBJECT: b"Order <1>", Part.HTML: b"<b>&lt;1&gt;</b>", Part.TEXT: b"<1>"}
    push = unpack_parts(plan(PUSH, data={"id": '"1"'}).letters[0].content)
    assert orjson.loads(push[Part.DATA]) == {"order": 'no. "1"'}


def test_a_missing_variable_fails_with_its_name() -> None:
    (refusal,) = plan(SMS, data={"other": 1}).refusals
    assert (refusal.status, refusal.rule) == (Status.FAILED, "missing_variable")
    assert "'id'" in refusal.reason
    assert refused(plan(SMS, data=b"")) == [(SMS, Status.FAILED, "missing_variable")]


def test_a_template_that_fails_does_so_on_its_channel_only() -> None:
    contents = (
        TemplateContent(SMS, "en", {Part.TEXT: "{{ 1 / id }}"}),
        TemplateContent(EMAIL, "en", {Part.TEXT: "{{"}),
        ORDER.contents[-1],
    )
    made = plan(EMAIL, SMS, IN_APP, template=StoredTemplate("order", "en", (), contents, version=1), data={"id": 0})
    assert [target.channel for target in targets(made)] == [IN_APP]
    assert refused(made) == [(EMAIL, Status.FAILED, "template_error"), (SMS, Status.FAILED, "template_error")]


def test_equal_inputs_are_not_rendered_again_and_again() -> None:
    renders = RenderCache(1 << 20)
    decider, template = Decider(renders), Template(ORDER)
    made = [decider.plan(notification(EMAIL), contact(ADA), template, "stored") for _ in range(3)]
    assert renders.stats()[:2] == (1, 2)  # the second sight is kept
    assert made[0].letters[0].content == made[2].letters[0].content
    assert explain(("a", "b", "c")) is explain(("a", "b", "c"))


def test_a_verdict_for_every_rule_that_looked() -> None:
    assert looked(plan(EMAIL).letters[0]) == (
        ("recipient", "stored", ""),
        ("route", "email", "requested"),
        ("language", "de", "de-AT"),
    )
    assert looked(plan(SMS, stored=NOBODY).refusals[0])[-1] == ("no_address", "suppressed", "sms")


def test_what_is_late_is_expired_on_every_channel_asked_for() -> None:
    made = Decider(RenderCache(1 << 20)).expired(notification(EMAIL, PUSH))
    assert refused(made) == [(EMAIL, Status.EXPIRED, "expired"), (PUSH, Status.EXPIRED, "expired")]


def test_a_duplicate_is_suppressed_where_it_would_have_gone_and_names_the_first() -> None:
    record = notification(PUSH, SMS, extra=3600)
    decider = Decider(RenderCache(1 << 20))
    made = decider.duplicate(record, decider.plan(record, contact(ADA), Template(ORDER), "stored"), "018f-first")
    assert made.letters == ()
    assert [(r.channel, r.device, r.rule) for r in made.refusals] == [
        (SMS, 0, "duplicate"),
        (PUSH, 0, "duplicate"),
        (PUSH, 1, "duplicate"),
    ]
    assert all("018f-first" in refusal.reason and b"018f-first" in refusal.verdicts for refusal in made.refusals)
