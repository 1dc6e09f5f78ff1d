"""Templates: one thing broken at a time, and texts that cannot be compiled."""

from collections.abc import Callable

import pytest

from gateway import check_template
from tests.unit.gateway.samples import template
from tidings.v1.templates_pb2 import Content, Template, Variable
from tidings.v1.types_pb2 import CHANNEL_EMAIL, CHANNEL_IN_APP, CHANNEL_PUSH, CHANNEL_SMS, Channel, ErrorReason


def faults(t: Template) -> dict[str, str]:
    found = check_template.template(t).faults
    return {v.field: ErrorReason.Name(v.reason).removeprefix("ERROR_REASON_") for v in found}


Change = Callable[[Template], object]


def content(i: int, **values: str) -> Change:
    def change(t: Template) -> None:
        for name, value in values.items():
            setattr(t.contents[i], name, value)

    return change


def add(**values: object) -> Change:
    return lambda t: t.contents.append(Content(**values))  # type: ignore[arg-type]


TABLE: list[tuple[str, Change, dict[str, str]]] = [
    ("name", lambda t: setattr(t, "name", "a b"), {"name": "INVALID_FORMAT"}),
    ("no default language", lambda t: t.ClearField("default_language"), {"default_language": "REQUIRED"}),
    ("no contents", lambda t: t.ClearField("contents"), {"contents": "REQUIRED"}),
    ("201 contents", lambda t: t.contents.extend([t.contents[0]] * 200), {"contents": "TOO_MANY_ITEMS"}),
    ("variable twice", lambda t: t.variables.append(t.variables[0]), {"variables[2].name": "DUPLICATE_ITEM"}),
    ("variable's name", lambda t: t.variables.append(Variable(name="1a")), {"variables[2].name": "INVALID_FORMAT"}),
    ("no variable name", lambda t: t.variables.append(Variable()), {"variables[2].name": "REQUIRED"}),
    ("language", content(0, language="deutsch"), {"contents[0].language": "UNKNOWN_LANGUAGE", "contents": "MISSING_CONTENT"}),
    ("channel", lambda t: t.contents.append(Content(language="en")), {"contents[5].channel": "UNKNOWN_VALUE"}),
    ("content twice", lambda t: t.contents.append(t.contents[2]), {"contents[5]": "DUPLICATE_ITEM"}),
    (
        "the same language in other writing",
        add(channel=CHANNEL_EMAIL, language="DE-at", subject="s", text="t"),
        {"contents[5]": "DUPLICATE_ITEM"},
    ),
    ("not in the default language", content(2, language="de"), {"contents": "MISSING_CONTENT"}),
    ("no subject", content(0, subject=""), {"contents[0].subject": "REQUIRED"}),
    ("neither html nor text", content(0, html="", text=""), {"contents[0].html": "REQUIRED"}),
    ("SMS with a subject", content(2, subject="s"), {"contents[2].subject": "INVALID_FORMAT"}),
    ("SMS without text", content(2, text=""), {"contents[2].text": "REQUIRED"}),
    ("subject of two lines", content(0, subject="a\r\nBcc: eve@example.com"), {"contents[0].subject": "INVALID_FORMAT"}),
    ("NUL", content(0, text="a\0"), {"contents[0].text": "INVALID_FORMAT"}),
    ("long subject", content(0, subject="x" * 1001), {"contents[0].subject": "TOO_LARGE"}),
    ("long body", content(3, body="ü" * 9000), {"contents[3].body": "TOO_LARGE"}),
    ("syntax", content(0, text="a\n{{ name"), {"contents[0].text": "INVALID_TEMPLATE"}),
    ("unknown filter", content(0, html="{{ name | explode }}"), {"contents[0].html": "INVALID_TEMPLATE"}),
    ("undeclared variable", content(0, text="{{ nome }}"), {"contents[0].text": "INVALID_TEMPLATE"}),
    (
        "undeclared in push data",
        lambda t: t.contents[3].data.update({"a": "{{ nome }}"}),
        {"contents[3].data": "INVALID_TEMPLATE"},
    ),
    ("syntax in push data", lambda t: t.contents[3].data.update({"a": "{{ name"}), {"contents[3].data": "INVALID_TEMPLATE"}),
    (
        "33 pairs",
        lambda t: t.contents[3].data.update({f"k{i}": "v" for i in range(32)}),
        {"contents[3].data": "TOO_MANY_ITEMS"},
    ),
    ("reserved key", lambda t: t.contents[3].data.update({"aps": "x"}), {"contents[3].data.aps": "INVALID_FORMAT"}),
    (
        "our own key",
        lambda t: t.contents[3].data.update({"tidings_receipt": "x"}),
        {"contents[3].data.tidings_receipt": "INVALID_FORMAT"},
    ),
    ("empty key", lambda t: t.contents[3].data.update({"": "x"}), {"contents[3].data": "INVALID_FORMAT"}),
    ("NUL in push data", lambda t: t.contents[3].data.update({"a": "\0"}), {"contents[3].data.a": "INVALID_FORMAT"}),
    ("SMS with data", lambda t: t.contents[2].data.update({"a": "x"}), {"contents[2].data": "INVALID_FORMAT"}),
]


def test_a_good_one() -> None:
    found = check_template.template(template())
    assert found.faults == []
    assert (found.language, found.languages) == ("en", ["en", "de-AT", "en", "en", "en"])


@pytest.mark.parametrize(("change", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_one_fault(change: Change, expected: dict[str, str]) -> None:
    made = template()
    change(made)
    assert faults(made) == expected


def test_all_faults_at_once_with_their_lines() -> None:
    made = template()
    made.name, made.contents[0].text, made.contents[2].text = "", "one\ntwo {{ three", "{{ four"
    found = {v.field: v.description for v in check_template.template(made).faults}
    assert set(found) == {"name", "contents[0].text", "contents[2].text"}
    assert found["contents[0].text"].startswith("line 2:")


@pytest.mark.parametrize(
    ("channel", "parts"),
    [
        (CHANNEL_EMAIL, {"subject": "s", "html": "h"}),
        (CHANNEL_EMAIL, {"subject": "s", "text": "t"}),
        (CHANNEL_SMS, {"text": "t"}),
        (CHANNEL_PUSH, {"data": {"silent": "1"}}),
        (CHANNEL_IN_APP, {"body": "b"}),
    ],
)
def test_the_least_that_a_channel_needs(channel: Channel.ValueType, parts: dict[str, str]) -> None:
    made = Template(name="a", default_language="de", contents=[Content(channel=channel, language="de", **parts)])  # type: ignore[arg-type]
    assert faults(made) == {}
    made.contents[0].CopyFrom(Content(channel=channel, language="de"))
    assert len(faults(made)) >= 1
