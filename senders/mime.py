"""E-mails as SMTP carries them: plain ASCII with CRLF, whatever they say. Pure.

The standard library composes the same (a test compares the two by what its parser reads), at ten times the cost: it parses each
header into a tree before it writes it. Only what is rare here is left to it: an address that has to be quoted, our own From.
"""

import binascii
import re
import secrets
from email.headerregistry import Address
from email.policy import SMTP as POLICY
from email.utils import formatdate

from core.model import Part
from senders.provider import Message

LINE_MAX = 78  # characters; longer lines of a text make it quoted-printable or base64, which any server takes
WORD_MAX = 39  # bytes of UTF-8 in an encoded word: with its markup and the header's name at most 76 characters (RFC 2047)

_PLAIN = re.compile(r"[\w!#$%&'*+/^`{|}~-]{1,64}(\.[\w!#$%&'*+/^`{|}~-]{1,64})*@[A-Za-z0-9.-]{1,255}", re.ASCII)


class Composer:
    """Composes e-mails of one sender."""

    def __init__(self, sender: str, domain: str) -> None:
        """The From header is `sender`; `domain` is where message ids are ours, in ASCII.

        Raises:
            ValueError: the sender cannot be a header.
        """
        self._domain = domain
        self._from = {utf8: _folded("From", sender, utf8=utf8) for utf8 in (False, True)}

    def message_id(self, message: Message) -> str:
        """The Message-ID: the notification's id and device at our domain."""
        return f"<{message.id}.{message.record.device}@{self._domain}>"

    def compose(self, message: Message, address: str, *, utf8: bool = False) -> bytes:
        """The whole e-mail to `address`, whose domain is in ASCII; `utf8`: headers may hold it as it is (RFC 6531).

        Raises:
            ValueError: the address cannot be a header.
        """
        said = message.parts
        text, html = said.get(Part.TEXT, b""), said.get(Part.HTML, b"")
        head = (
            f"{self._from[utf8]}{_to(address, utf8=utf8)}{subject_header(message.subject)}Date: {formatdate()}\r\n"
            f"Message-ID: {self.message_id(message)}\r\nMIME-Version: 1.0\r\n"
        ).encode()
        if not (text and html):
            return head + (_part(b"html", html) if html else _part(b"plain", text))
        mark = b"=_" + secrets.token_hex(16).encode()  # unknown to who wrote the texts, so that none of them can end its part
        return b"".join(
            (
                head, b'Content-Type: multipart/alternative;\r\n boundary="', mark, b'"\r\n\r\n--', mark, b"\r\n",
                _part(b"plain", text), b"\r\n--", mark, b"\r\n", _part(b"html", html), b"\r\n--", mark, b"--\r\n",
            )
        )  # fmt: skip


def subject_header(subject: str) -> str:
    """The Subject line or lines; `subject` is one line, its words a space apart, see senders.provider.Message.subject."""
    line = f"Subject: {subject}"
    if not (subject.isascii() and subject.isprintable()) or "=?" in subject:
        return _encoded(subject)
    if len(line) <= LINE_MAX:
        return f"{line}\r\n"
    lines = ["Subject:"]
    for word in subject.split(" "):
        if len(word) > LINE_MAX - len("Subject: "):
            return _encoded(subject)
        if len(lines[-1]) + 1 + len(word) > LINE_MAX:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines) + "\r\n"


def _encoded(subject: str) -> str:
    """A Subject of encoded words; no character is split between two."""
    words, size = [""], 0
    for character in subject:
        width = len(character.encode())
        if size + width > WORD_MAX:
            words.append("")
            size = 0
        words[-1] += character
        size += width
    written = [f"=?utf-8?b?{binascii.b2a_base64(word.encode(), newline=False).decode()}?=" for word in words]
    return "Subject: " + "\r\n ".join(written) + "\r\n"


def _to(address: str, *, utf8: bool) -> str:
    if _PLAIN.fullmatch(address):
        return f"To: {address}\r\n"
    local, _, host = address.rpartition("@")
    return _folded("To", Address(username=local, domain=host), utf8=utf8)


def _folded(name: str, value: str | Address, *, utf8: bool) -> str:
    """A header as the standard library writes it, its line ends included."""
    policy = POLICY.clone(utf8=utf8)
    header = policy.header_store_parse(name, value)[1]
    return str(header.fold(policy=policy))


def _part(subtype: bytes, text: bytes) -> bytes:
    """The headers and the content of one text."""
    lines = text.splitlines()
    encoding, content = b"7bit", b"\r\n".join(lines) + b"\r\n"
    if not content.isascii() or b"\0" in content or max(map(len, lines), default=0) > LINE_MAX:
        encoding, content = _safe(content)
    head = b'Content-Type: text/%b; charset="utf-8"\r\nContent-Transfer-Encoding: %b\r\n\r\n' % (subtype, encoding)
    return head + content


def _safe(content: bytes) -> tuple[bytes, bytes]:
    """The shorter one of two encodings that leave short lines of ASCII: its name, and `content` in it."""
    quoted = binascii.b2a_qp(content)
    if len(quoted) * 3 <= len(content) * 4:
        return b"quoted-printable", quoted
    lines = (binascii.b2a_base64(content[start : start + 57], newline=False) for start in range(0, len(content), 57))
    return b"base64", b"\r\n".join(lines) + b"\r\n"
