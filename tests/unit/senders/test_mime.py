"""E-mails as SMTP carries them: whatever is said, a parser reads what the standard library's composition would say."""

import re
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.model import Part
from senders.mime import Composer, subject_header
from tests.unit.senders.kit import E_MAIL, delivery, message

SENDER = "Grüße Shop <news@shop.example>"
COMPOSER = Composer(SENDER, "shop.example")

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
PLAIN = st.text(st.sampled_from("abc .=-?_<\r\n\t\0"), max_size=300)
WORD = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
LONG = st.builds(lambda word, times: word * times, WORD, st.integers(0, 60))
TEXTS = st.one_of(WORDS, PLAIN, LONG)


def compose(parts: dict[Part, str], address: str = "ada@example.org", *, utf8: bool = False) -> bytes:
    return COMPOSER.compose(message(delivery(address, parts, device=2)), address, utf8=utf8)


def read(mail: bytes) -> EmailMessage:
    found = message_from_bytes(mail, policy=SMTP)
    assert not found.defects
    assert not any(part.defects for part in found.walk())
    return found


def by_the_package(parts: dict[Part, str], address: str) -> EmailMessage:
    """The specification."""
    policy = SMTP.clone(cte_type="7bit")
    mail = EmailMessage(policy=policy)
    mail["From"] = SENDER
    local, _, host = address.rpartition("@")
    mail["To"] = Address(username=local, domain=host)
    text, html = parts.get(Part.TEXT, ""), parts.get(Part.HTML, "")
    if text or not html:
        mail.set_content(text)
        if html:
            mail.add_alternative(html, subtype="html")
    else:
        mail.set_content(html, subtype="html")
    return read(mail.as_bytes(policy=policy))


def shape(mail: EmailMessage) -> list[tuple[str, str]]:
    """The kinds of content, and what each one says."""
    texts = [part for part in mail.walk() if not part.is_multipart()]
    return [(mail.get_content_type(), "")] + [
        (part.get_content_type(), part.get_content().replace("\r\n", "\n")) for part in texts
    ]


@given(TEXTS, TEXTS)
@example("", "")
@example("hi", "")
@example("", "<p>hi</p>")
@example("a\n.\n..\nFrom me \n", "<p>word</p>" * 30)
@example("é" * 5000 + " \n=\n", "日本語" * 3000)
@example("x \r\n" + "y" * 75 + " \n" + "z" * 76 + "\n" + "é", "\t\n \n")
def test_a_parser_reads_what_the_package_would_say(text: str, html: str) -> None:
    parts = {part: words for part, words in ((Part.TEXT, text), (Part.HTML, html)) if words}
    written = compose(parts)
    mail, expected = read(written), by_the_package(parts, "ada@example.org")
    assert shape(mail) == shape(expected)
    assert [mail["From"], mail["To"], mail["MIME-Version"]] == [expected["From"], expected["To"], "1.0"]
    assert written.isascii()
    assert max(map(len, written.split(b"\r\n"))) <= 78
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", written)  # RFC 5321: neither one without the other
    assert b"\0" not in written


@given(TEXTS)
@example("")
@example("Order 7")
@example("=?utf-8?q?a=41?= is not an encoded word, but somebody's words")
@example("a" * 69)
@example("a" * 70)
@example("word " * 40)
@example("Grüße aus Köln " * 20)
@example("🎉" * 60)
@example("a\x7f\x00b")
def test_a_subject_is_read_as_it_was_said(words: str) -> None:
    found = message(delivery(parts={Part.SUBJECT: words, Part.TEXT: "x"})).subject
    header = subject_header(found)
    assert header.endswith("\r\n")
    assert header.isascii()
    assert max(map(len, header.split("\r\n"))) <= 78
    assert re.fullmatch(r"Subject:[^\r\n]*(\r\n [^\r\n]+)*\r\n", header)  # one header: nothing is injected
    assert all(len(word) <= 75 for word in re.findall(r"=\?\S*\?=", header))
    mail = read(header.encode() + b"\r\n")
    assert list(mail.keys()) == ["Subject"]
    assert str(mail["Subject"]) == found


def test_what_can_be_read_without_decoding_stays_readable() -> None:
    assert subject_header("Order 7") == "Subject: Order 7\r\n"
    assert "=?" not in subject_header("word " * 30)
    mail = compose({Part.TEXT: "Hello", Part.HTML: "<p>Grüße</p>" + "<p>word</p>" * 30})
    assert b"\r\n\r\nHello\r\n" in mail
    assert b"<p>Gr=C3=BC=C3=9Fe</p>" in mail


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("ada@example.org", "ada@example.org"),
        ("ada+x.y_z@sub.example.org", "ada+x.y_z@sub.example.org"),
        ("ada lovelace@example.org", '"ada lovelace"@example.org'),
        ("a,b@example.org", '"a,b"@example.org'),
        ("a\\b@example.org", '"a\\\\b"@example.org'),
        ('a"b@example.org', '"a\\"b"@example.org'),
    ],
)
def test_an_address_is_quoted_where_it_has_to_be(address: str, written: str) -> None:
    mail = compose(E_MAIL, address)
    assert read(mail)["To"] == by_the_package(E_MAIL, address)["To"]
    assert f"\r\nTo: {written}\r\n".encode() in mail


@pytest.mark.parametrize("address", ["a@x.org\r\nBcc: b@x.org", "a\r\nBcc: b@x.org", "a\n@x.org", "a@x.org\n", "a@x.org\r"])
def test_an_address_cannot_begin_another_header(address: str) -> None:
    with pytest.raises(ValueError, match="CR or LF"):
        compose(E_MAIL, address)


def test_an_address_outside_ascii_is_written_as_it_is() -> None:
    mail = compose(E_MAIL, "jürgen@example.org", utf8=True)
    assert "\r\nTo: jürgen@example.org\r\n".encode() in mail
    assert "From: Grüße Shop <news@shop.example>\r\n".encode() in mail


def test_its_id_is_the_notifications_and_its_date_is_now() -> None:
    item = message(delivery(device=2))
    mail = read(COMPOSER.compose(item, "ada@example.org"))
    assert mail["Message-ID"] == COMPOSER.message_id(item) == f"<{item.id}.2@shop.example>"
    assert parsedate_to_datetime(mail["Date"]).year >= 2026


def test_no_text_can_end_its_part() -> None:
    marks = {read(compose(E_MAIL)).get_boundary() for _ in range(20)}
    assert len(marks) == 20


def test_a_sender_that_is_no_header_is_refused() -> None:
    with pytest.raises(ValueError, match="linefeed"):
        Composer("Shop <news@shop.example>\r\nBcc: b@x.org", "shop.example")
