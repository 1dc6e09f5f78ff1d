"""What SendGrid's v3 mail/send refuses, and in which words. Pure: a parsed body in, a list of errors out.

Source: the public API reference (mail send, its errors and limitations). Fields that tidings does not use are let through
unchecked.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MAX_BODY = 30 * 1024 * 1024  # bytes, attachments included
MAX_PERSONALIZATIONS = 1000
MAX_RECIPIENTS = 1000  # to + cc + bcc of the whole call
MAX_ARGS = 10_000  # bytes of custom_args, as JSON
MAX_SUBSTITUTIONS = 10_000  # bytes per personalization
HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message."
RESERVED_HEADERS = frozenset(
    {
        "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding",
        "to", "from", "subject", "reply-to", "cc", "bcc",
    }
)  # fmt: skip
_ADDRESS = re.compile(r"[^@\s<>\",;]{1,64}@(?:[^@\s<>\",;.]+\.)+[^@\s<>\",;.]{2,}")

Error = dict[str, str | None]


def error(message: str, field: str | None = None, anchor: str | None = None) -> Error:
    """One entry of an answer's `errors`."""
    return {"message": message, "field": field, "help": HELP + anchor if anchor else None}


def is_address(text: object) -> bool:
    """Whether SendGrid would take it for an e-mail address."""
    return isinstance(text, str) and len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


def check(body: object) -> list[Error]:
    """Everything that is wrong with the body of a call; empty if it would be taken."""
    if not isinstance(body, dict):
        return [error("Bad Request")]
    errors = _check_personalizations(body.get("personalizations"))
    errors += _check_from(body.get("from"))
    errors += _check_subject(body)
    errors += _check_content(body)
    errors += _check_headers(body.get("headers"), "headers")
    errors += _check_args(body)
    errors += _check_categories(body.get("categories"))
    return errors


def _check_personalizations(raw: object) -> list[Error]:
    anchor = "personalizations"
    if not isinstance(raw, list):
        return [error("The personalizations field is required and must have at least one personalization.", anchor, anchor)]
    if not raw:
        return [error("You must have at least one personalization.", anchor, anchor)]
    if len(raw) > MAX_PERSONALIZATIONS:
        words = (
            f"The personalization block is limited to {MAX_PERSONALIZATIONS} personalizations per API request. You have "
            f"provided {len(raw)} personalizations. Please consider splitting this into multiple requests and resending your "
            "request."
        )
        return [error(words, anchor, anchor)]
    errors: list[Error] = []
    recipients = 0
    for index, one in enumerate(raw):
        if not isinstance(one, dict):
            errors.append(error("Each personalization must be an object.", f"personalizations.{index}", anchor))
            continue
        recipients += sum(len(one.get(kind) or ()) for kind in ("to", "cc", "bcc"))
        errors += _check_personalization(one, f"personalizations.{index}")
    if recipients > MAX_RECIPIENTS:
        words = f"There is a limit of {MAX_RECIPIENTS} total recipients (to + cc + bcc) per request."
        errors.append(error(words, anchor, anchor))
    return errors


def _check_personalization(one: Mapping[str, Any], path: str) -> list[Error]:
    errors: list[Error] = []
    to = one.get("to")
    if not isinstance(to, list) or not to:
        words = (
            "The to array is required for all personalization objects, and must have at least one email object with a valid "
            "email address."
        )
        errors.append(error(words, f"{path}.to", "personalizations.to"))
    seen: set[str] = set()
    for kind in ("to", "cc", "bcc"):
        for index, recipient in enumerate(one.get(kind) or ()):
            address = recipient.get("email") if isinstance(recipient, dict) else None
            if not isinstance(address, str) or not is_address(address):
                where = f"{path}.{kind}.{index}.email"
                errors.append(error("Does not contain a valid address.", where, f"personalizations.{kind}"))
            elif address.lower() in seen:
                words = (
                    "Each email address in the personalization block should be unique between to, cc, and bcc. "
                    f"We found the first duplicate instance of [{address}] in the {path}.{kind} field."
                )
                errors.append(error(words, path, f"recipient-{kind}"))
            else:
                seen.add(address.lower())
    return errors + _check_fields(one, path)


def _check_fields(one: Mapping[str, Any], path: str) -> list[Error]:
    errors: list[Error] = []
    substitutions = one.get("substitutions") or {}
    if not _strings(substitutions):
        words = "Substitutions must be an object of strings."
        errors.append(error(words, f"{path}.substitutions", "personalizations.substitutions"))
    elif sum(len(k.encode()) + len(v.encode()) for k, v in substitutions.items()) > MAX_SUBSTITUTIONS:
        words = f"Substitutions are limited to {MAX_SUBSTITUTIONS} bytes per personalization block."
        errors.append(error(words, f"{path}.substitutions", "personalizations.substitutions"))
    if not _strings(one.get("custom_args") or {}):
        errors.append(error("The custom_args values must be strings.", f"{path}.custom_args", "personalizations.custom_args"))
    if one.get("subject") == "":
        errors.append(error("The subject of a personalization must have at least one character.", f"{path}.subject", "subject"))
    return errors + _check_headers(one.get("headers"), f"{path}.headers")


def _check_from(raw: object) -> list[Error]:
    if not isinstance(raw, dict) or "email" not in raw:
        words = (
            "The from object must be provided for every email send. It is an object that requires the email parameter, but may "
            'also contain a name parameter.  e.g. {"email" : "example@example.com"}  or {"email" : "example@example.com", '
            '"name" : "Example Recipient"}.'
        )
        return [error(words, "from.email", "from")]
    if not is_address(raw["email"]) or not raw["email"].isascii():
        return [error("The from email does not contain a valid address.", "from.email", "from")]
    return []


def _check_subject(body: Mapping[str, Any]) -> list[Error]:
    if body.get("subject") or body.get("template_id"):
        return []
    each = body.get("personalizations")
    if isinstance(each, list) and each and all(isinstance(one, dict) and one.get("subject") for one in each):
        return []
    words = (
        "The subject is required. You can get around this requirement if you use a template with a subject defined or if every "
        "personalization has a subject defined."
    )
    return [error(words, "subject", "subject")]


def _check_content(body: Mapping[str, Any]) -> list[Error]:
    content = body.get("content")
    if content is None and body.get("template_id"):
        return []
    if not isinstance(content, list) or not content:
        words = (
            "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined "
            "content block. We typically suggest both text/plain and text/html blocks are included, but only one block is "
            "required."
        )
        return [error(words, "content", "content")]
    errors: list[Error] = []
    for index, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str) or not block["type"].strip():
            words = "The content type must be a string at least one character in length."
            errors.append(error(words, f"content.{index}.type", "content.type"))
        elif not isinstance(block.get("value"), str) or not block["value"]:
            words = "The content value must be a string at least one character in length."
            errors.append(error(words, f"content.{index}.value", "content.value"))
    types = [block.get("type") for block in content if isinstance(block, dict)]
    if "text/plain" in types[1:]:
        words = "If present, text/plain must be first, followed by text/html, then any other content."
        errors.append(error(words, "content", "content"))
    return errors


def _check_headers(raw: object, path: str) -> list[Error]:
    if raw is None:
        return []
    if not _strings(raw):
        return [error("The headers parameter must be an object of strings.", path, "headers")]
    assert isinstance(raw, dict)
    reserved = sorted(name for name in raw if name.lower() in RESERVED_HEADERS)
    if reserved:
        return [error(f"The headers object has a reserved key: {reserved[0]}.", path, "headers")]
    if any("\r" in text or "\n" in text for item in raw.items() for text in item):
        return [error("Headers cannot contain line breaks.", path, "headers")]
    return []


def _check_args(body: Mapping[str, Any]) -> list[Error]:
    """The message's own custom_args and each personalization's count together."""
    shared = body.get("custom_args") or {}
    if not _strings(shared):
        return [error("The custom_args values must be strings.", "custom_args", "custom_args")]
    for one in body.get("personalizations") or ():
        own = (one.get("custom_args") or {}) if isinstance(one, dict) else {}
        if _strings(own) and sum(len(k.encode()) + len(v.encode()) for k, v in {**shared, **own}.items()) > MAX_ARGS:
            return [error(f"The custom_args are limited to {MAX_ARGS} bytes.", "custom_args", "custom_args")]
    return []


def _check_categories(raw: object) -> list[Error]:
    if raw is None:
        return []
    if not isinstance(raw, list) or len(raw) > 10:
        return [error("You cannot have more than 10 categories per request.", "categories", "categories")]
    if len({str(name) for name in raw}) < len(raw):
        return [error("The categories must be unique.", "categories", "categories")]
    return []


def _strings(raw: object) -> bool:
    return isinstance(raw, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in raw.items())


def substitute(text: str, substitutions: Mapping[str, str]) -> str:
    """A text with a recipient's substitutions made, as SendGrid makes them: plain replacement, one after the other."""
    for tag, value in substitutions.items():
        text = text.replace(tag, value)
    return text


def addresses(personalization: Mapping[str, Any]) -> Sequence[str]:
    """The addresses of its `to`."""
    return [recipient["email"] for recipient in personalization["to"]]
