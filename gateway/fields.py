"""Single values of a request: e-mail address, phone number, timezone, language, text. Pure and cached; no DNS, no clock.

Each check returns the value in its normal form, or raises Bad with what is wrong with it.
"""

import re
import zoneinfo
from functools import cache, lru_cache

import email_validator
import langcodes
import phonenumbers

from core.errors import BadId
from core.ids import parse_id
from gateway.errors import Reason
from tidings.v1.types_pb2 import ErrorReason

CACHE = 65_536  # values of each kind kept, about 200 bytes each
EMAIL_CHARACTERS = 254
LOCAL_CHARACTERS = 64

# Mail inside a company may well go to a .local domain, in a test to .test; what else is on this list can never be delivered.
email_validator.SPECIAL_USE_DOMAIN_NAMES[:] = [
    d for d in email_validator.SPECIAL_USE_DOMAIN_NAMES if d not in {"local", "test"}
]
UNDELIVERABLE = frozenset(email_validator.SPECIAL_USE_DOMAIN_NAMES)

# Most addresses; what this accepts, email_validator accepts as it stands (a test says so). All others are asked of it.
_PLAIN_EMAIL = re.compile(r"([a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*)@((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+)([a-z]{2,63})")
_E164 = re.compile(r"\+[1-9][0-9]{5,14}")
_TAG = re.compile(r"[A-Za-z0-9]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){8,100}")
_VISIBLE = re.compile(r"[\x21-\x7e]+")


class Bad(ValueError):
    """A value that cannot be used; the text says why and what would do."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def quote(text: str) -> str:
    """A caller's value as it may be shown back to them: escaped, at most 48 characters."""
    return ascii(text if len(text) <= 48 else text[:45] + "...")


def email(text: str) -> str:
    """An e-mail address in its normal form: domain in lower case and ASCII.

    Raises:
        Bad: not an address, or of a domain that cannot exist.
    """
    if len(text) > EMAIL_CHARACTERS:
        raise Bad(ErrorReason.ERROR_REASON_TOO_LARGE, f"has {len(text)} characters; at most {EMAIL_CHARACTERS} are allowed")
    plain = _PLAIN_EMAIL.fullmatch(text)
    if plain is not None and plain.end(1) <= LOCAL_CHARACTERS and plain[3] not in UNDELIVERABLE and "--" not in plain[2]:
        return text
    return _strange_email(text)


@lru_cache(CACHE)
def _strange_email(text: str) -> str:
    if not text.isprintable():
        raise Bad(ErrorReason.ERROR_REASON_INVALID_EMAIL, "has characters that do not belong into an e-mail address")
    try:
        found = email_validator.validate_email(text, check_deliverability=False, allow_smtputf8=False, strict=True)
    except email_validator.EmailNotValidError as error:
        raise Bad(ErrorReason.ERROR_REASON_INVALID_EMAIL, f"{quote(text)} is not an e-mail address: {error}") from error
    return found.ascii_email or found.normalized


@lru_cache(CACHE)
def phone(text: str) -> str:
    """A phone number in E.164.

    Raises:
        Bad: other characters, an unknown country, or a length that the country does not have.
    """
    if _E164.fullmatch(text) is None:
        raise _bad_phone(text, "write + and country code and number in digits only, e.g. +4915112345678")
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as error:
        raise _bad_phone(text, "no such country code") from error
    # Plans grow faster than their metadata is released: the length must fit the country, the block need not be known.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise _bad_phone(text, "its length does not fit its country")
    normal = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if normal != text:
        raise _bad_phone(text, f"E.164 writes it {normal}")
    return text


def _bad_phone(text: str, why: str) -> Bad:
    return Bad(ErrorReason.ERROR_REASON_INVALID_PHONE, f"{quote(text)} is not an E.164 phone number: {why}")


@cache
def zones() -> frozenset[str]:
    """All timezones that this machine knows; reads the tz database once."""
    return frozenset(zoneinfo.available_timezones())


def timezone(text: str) -> str:
    """An IANA timezone.

    Raises:
        Bad: there is none of this name (names are case-sensitive).
    """
    if text not in zones():
        raise Bad(ErrorReason.ERROR_REASON_UNKNOWN_TIMEZONE, f"{quote(text)} is not an IANA timezone such as Europe/Vienna")
    return text


@lru_cache(4_096)
def language(text: str) -> str:
    """A BCP 47 language tag in its usual writing (de-AT, zh-Hant-TW).

    Raises:
        Bad: not a tag, or of subtags that are not registered.
    """
    if _TAG.fullmatch(text) is None or len(text) > 35 or not langcodes.tag_is_valid(text):
        raise Bad(ErrorReason.ERROR_REASON_UNKNOWN_LANGUAGE, f"{quote(text)} is not a BCP 47 language tag such as de or de-AT")
    return "-".join(_subtags(text.lower().split("-")))


def _subtags(parts: list[str]) -> list[str]:
    written = parts[:1]
    for part in parts[1:]:
        if len(written[-1]) == 1 or any(len(before) == 1 for before in written):
            written.append(part)  # after a singleton (u, x) everything stays in lower case
        elif len(part) == 2 and part.isalpha():
            written.append(part.upper())
        else:
            written.append(part.title() if len(part) == 4 and part.isalpha() else part)
    return written


def line(text: str, limit: int) -> str:
    """One line of text: no control characters, no line breaks, so that it may stand in a header; may be empty.

    Raises:
        Bad: other characters, or more than `limit` of them.
    """
    if len(text) > limit:
        raise Bad(ErrorReason.ERROR_REASON_TOO_LARGE, f"has {len(text)} characters; at most {limit} are allowed")
    if not text.isprintable():
        raise Bad(ErrorReason.ERROR_REASON_INVALID_FORMAT, "has control characters or line breaks; use printable ones only")
    return text


@lru_cache(CACHE)
def name(text: str, limit: int = 128) -> str:
    """The name of a type or template.

    Raises:
        Bad: empty, too long or of other characters than letters, digits, dot, dash, underscore.
    """
    if not text:
        raise Bad(ErrorReason.ERROR_REASON_REQUIRED, "is required")
    if len(text) > limit:
        raise Bad(ErrorReason.ERROR_REASON_TOO_LARGE, f"has {len(text)} characters; at most {limit} are allowed")
    if _NAME.fullmatch(text) is None:
        text = quote(text)
        raise Bad(
            ErrorReason.ERROR_REASON_INVALID_FORMAT,
            f"{text} may have ASCII letters, digits, '.', '_', '-', none of the last three first",
        )
    return text


def identifier(text: str, limit: int = 128) -> str:
    """A recipient's id: one line, not empty, no space around it.

    Raises:
        Bad: anything else.
    """
    if not text:
        raise Bad(ErrorReason.ERROR_REASON_REQUIRED, "is required")
    if text[0] == " " or text[-1] == " ":
        raise Bad(ErrorReason.ERROR_REASON_INVALID_FORMAT, "has a space at its begin or end")
    return line(text, limit)


def notification_id(text: str) -> str:
    """An id that tidings made, in the usual 36 characters.

    Raises:
        Bad: empty, not a UUID, or one that tidings does not make.
    """
    if not text:
        raise Bad(ErrorReason.ERROR_REASON_REQUIRED, "is required")
    if _UUID.fullmatch(text) is None:
        raise Bad(ErrorReason.ERROR_REASON_INVALID_FORMAT, f"{quote(text)} is not a notification id: expected a UUID")
    try:
        parse_id(text)
    except BadId as error:
        raise Bad(ErrorReason.ERROR_REASON_INVALID_FORMAT, str(error)) from error
    return text


def fcm_token(text: str) -> str:
    """A registration token or installation id of Firebase.

    Raises:
        Bad: spaces or other than visible ASCII characters.
    """
    if _VISIBLE.fullmatch(text) is None:
        raise Bad(ErrorReason.ERROR_REASON_INVALID_FORMAT, "an FCM token has visible ASCII characters only")
    return text


def apns_token(text: str) -> str:
    """A device token of Apple's push service, in lower case.

    Raises:
        Bad: not hexadecimal, or not whole bytes.
    """
    if _HEX.fullmatch(text) is None:
        raise Bad(ErrorReason.ERROR_REASON_INVALID_FORMAT, "an APNs token is written in hexadecimal digits, e.g. 64 of them")
    return text.lower()
