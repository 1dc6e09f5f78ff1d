"""SendGrid bodies: any e-mails in few calls, every reader gets exactly what was rendered, no limit is passed."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sendgrid.helpers.mail import CustomArg, From, Personalization, Substitution, To

from core.model import Class, Part
from senders.provider import Message
from senders.sendgrid_body import SUBSTITUTIONS_MAX, TAGS, Bundle, Frame, body, bundles, common, personalization
from tests.unit.senders.kit import delivery, message
from tidings.sandbox import sendgrid_rules as rules

SENDER = From("news@shop.example", "Shop")


def email(address: str, html: str = "<p>Hi</p>", text: str = "Hi", *, subject: str = "S", template: str = "t") -> Message:
    parts = {Part.SUBJECT: subject, Part.HTML: html, Part.TEXT: text}
    return message(delivery(address, {part: words for part, words in parts.items() if words}, template=template))


def read(bundle: Bundle) -> list[tuple[str, str, str, str, str]]:
    """What each reader of a call gets: address, subject, html, text, tidings_id. Fails if SendGrid would refuse the call."""
    call = orjson.loads(body(bundle, SENDER))
    assert rules.check(call) == []
    found = []
    for one in call["personalizations"]:
        texts = {c["type"]: rules.substitute(c["value"], one.get("substitutions") or {}) for c in call["content"]}
        address = one["to"][0]["email"]
        args = one["custom_args"]
        found.append((address, one["subject"], texts.get("text/html", ""), texts.get("text/plain", ""), args["tidings_id"]))
    return found


def expected(found: list[Message]) -> list[tuple[str, str, str, str, str]]:
    return [(m.record.address, m.text(Part.SUBJECT), m.text(Part.HTML), m.text(Part.TEXT), m.id) for m in found]


def test_different_e_mails_share_a_call() -> None:
    three = [email(f"u{i}@example.org", f"<p>{i}</p>", f"{i}", subject=f"No. {i}") for i in range(3)]
    (bundle,) = bundles(three)
    assert read(bundle) == expected(three)
    call = orjson.loads(body(bundle, SENDER))
    assert call["from"] == {"email": "news@shop.example", "name": "Shop"}
    assert call["categories"] == ["transactional"]
    assert call["personalizations"][0]["custom_args"]["tidings_device"] == "0"


def test_equal_and_single_bodies_need_no_substitution() -> None:
    for group in ([email("a@example.org")], [email("a@example.org"), email("b@example.org")]):
        (bundle,) = bundles(group)
        assert b"substitutions" not in body(bundle, SENDER)
        assert read(bundle) == expected(group)


def test_a_thousand_at_most_in_a_call() -> None:
    many = [email(f"u{i}@example.org", f"<p>{i}</p>") for i in range(2300)]
    assert [len(b.messages) for b in bundles(many)] == [1000, 1000, 300]
    assert [len(b.messages) for b in bundles(many[:25], batch_max=10)] == [10, 10, 5]


def test_an_address_stands_in_a_call_once() -> None:
    found = bundles([email("ada@example.org"), email("ADA@example.org"), email("bob@example.org")])
    addresses = [[m.record.address for m in b.messages] for b in found]
    assert addresses == [["ada@example.org", "bob@example.org"], ["ADA@example.org"]]


def test_html_only_and_text_only_go_in_calls_of_their_own() -> None:
    mixed = [email("a@example.org"), email("b@example.org", html=""), email("c@example.org", text="")]
    found = bundles(mixed)
    assert sorted(len(b.messages) for b in found) == [1, 1, 1]
    assert sorted(line for b in found for line in read(b)) == sorted(expected(mixed))


def test_long_bodies_of_one_template_share_a_call() -> None:
    head, tail = "<style>" + "x" * 30_000 + "</style>Grüße, ", "ß" * 9_000 + "</html>"
    letters = [email(f"u{i}@example.org", f"{head}{i * 'ü'}{tail}", "t" * 20_000 + str(i)) for i in range(20)]
    (bundle,) = bundles(letters)
    assert read(bundle) == expected(letters)
    assert all(len(frame.middle(letters[5].parts[part])) < 100 for part, frame in bundle.frames.items())


def test_a_long_body_like_no_other_goes_alone() -> None:
    letters = [email(f"u{i}@example.org", str(i) * 20_000, template="wild") for i in range(3)] + [email("short@example.org")]
    found = bundles(letters)
    assert sorted(len(b.messages) for b in found) == [1, 1, 1, 1]
    assert sorted(line for b in found for line in read(b)) == sorted(expected(letters))


def test_just_at_the_limit() -> None:
    tags = sum(len(tag) for tag in TAGS.values())
    fits = [email(f"u{i}@example.org", str(i) + "x" * (SUBSTITUTIONS_MAX - tags - 3), "ab") for i in range(2)]
    assert [len(b.messages) for b in bundles(fits)] == [2]
    assert read(bundles(fits)[0]) == expected(fits)
    over = [email(f"u{i}@example.org", str(i) + "x" * (SUBSTITUTIONS_MAX - tags - 2), "ab") for i in range(2)]
    assert all(read(b) for b in bundles(over))


@pytest.mark.parametrize("tagged", [[], [Part.HTML], [Part.HTML, Part.TEXT]])
@pytest.mark.parametrize("subject", ["", 'Grüße "<&'])
def test_an_e_mail_of_a_call_is_what_the_package_would_make_of_it(tagged: list[Part], subject: str) -> None:
    one = email("ada@example.org", "<p>ü</p>", "t", subject=subject)
    frames = [(part, Frame(b"<p>", b"</p>") if part is Part.HTML else Frame()) for part in tagged]
    entry = Personalization()
    entry.add_to(To("ada@example.org"))
    entry.subject = subject
    entry.add_custom_arg(CustomArg("tidings_id", one.id))
    entry.add_custom_arg(CustomArg("tidings_device", "0"))
    for part, frame in frames:
        entry.add_substitution(Substitution(TAGS[part], frame.middle(one.parts[part]).decode()))
    assert personalization(one, frames) == entry.get()


def test_a_subject_is_one_line() -> None:
    (bundle,) = bundles([email("a@example.org", subject="Hello\r\nBcc: everybody@example.org")])
    assert read(bundle)[0][1] == "Hello Bcc: everybody@example.org"


def test_class_is_the_category() -> None:
    (bundle,) = bundles([message(delivery(klass=Class.PROMOTIONAL))])
    assert orjson.loads(body(bundle, SENDER))["categories"] == ["promotional"]


@given(st.lists(st.text(alphabet="aäß€😀<", max_size=12), min_size=1, max_size=8))
def test_common_splits_no_character_and_loses_none(texts: list[str]) -> None:
    raw = [text.encode() for text in texts]
    frame = common(raw)
    frame.head.decode()
    frame.tail.decode()
    for text in raw:
        assert frame.head + frame.middle(text) + frame.tail == text
        frame.middle(text).decode()


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a@example.org", "b@example.org", "c@example.org", "A@example.org"]),
            st.text(max_size=40).map(lambda s: s * 300),
            st.text(max_size=20),
            st.sampled_from(["t", "u"]),
        ),
        max_size=12,
    )
)
def test_whatever_is_rendered_arrives(letters: list[tuple[str, str, str, str]]) -> None:
    group = [email(a, html, text or "-", template=t) for a, html, text, t in letters]
    found = bundles(group)
    assert sorted(id(m) for b in found for m in b.messages) == sorted(map(id, group))
    assert sorted(line for b in found for line in read(b)) == sorted(expected(group))
