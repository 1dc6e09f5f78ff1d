"""What FCM's HTTP v1 API refuses, and in which words. Pure: a parsed body in, an error or None out.

Source: the public REST reference of projects.messages and its error codes.
"""

import re
from collections.abc import Mapping
from typing import Any

MAX_PAYLOAD = 4096  # bytes of notification and data together
TARGETS = ("token", "fid", "topic", "condition")
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_FIELDS = {
    "": {"message", "validate_only", "validateOnly"},
    "message": {
        "name", "data", "notification", "android", "webpush", "apns", "fcm_options", "fcmOptions", "android_v2",
        "androidV2", *TARGETS,
    },
    "message.notification": {"title", "body", "image"},
}  # fmt: skip
_TOKEN = re.compile(r"[A-Za-z0-9_:.\-]{8,4096}")
_RESERVED_KEYS = re.compile(r"from|message_type|google.*|gcm.*")
_DURATION = re.compile(r"(\d+)(\.\d+)?s")
_MAX_TTL_S = 2_419_200  # four weeks


def error(code: int, status: str, message: str, *details: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an error answer."""
    body: dict[str, Any] = {"code": code, "message": message, "status": status}
    return {"error": body | ({"details": list(details)} if details else {})}


def fcm_detail(code: str) -> dict[str, str]:
    """FCM's own error code as an error detail."""
    return {"@type": FCM_ERROR, "errorCode": code}


def invalid(field: str, description: str, message: str = "") -> dict[str, Any]:
    """INVALID_ARGUMENT that names a field."""
    violation = {"@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": description}]}
    return error(400, "INVALID_ARGUMENT", message or description, violation, fcm_detail("INVALID_ARGUMENT"))


def check(body: object) -> dict[str, Any] | None:
    """The error answer for a body, or None if it would be taken."""
    if not isinstance(body, dict):
        return error(400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unexpected token.")
    wrong = _check_names(body, "")
    if wrong:
        return wrong
    message = body.get("message")
    if not isinstance(message, dict):
        return invalid("message", "Message is not set.", "Request contains an invalid argument.")
    wrong = _check_names(message, "message") or _check_target(message) or _check_data(message.get("data"))
    if wrong:
        return wrong
    notification = message.get("notification")
    if notification is not None:
        if not isinstance(notification, dict):
            return invalid("message.notification", "Invalid value at 'message.notification' (Notification)")
        wrong = _check_names(notification, "message.notification")
    return wrong or _check_android(message.get("android")) or _check_size(message)


def _check_names(raw: Mapping[str, Any], path: str) -> dict[str, Any] | None:
    unknown = next((name for name in raw if name not in _FIELDS[path]), None)
    if unknown is None:
        return None
    where = f" at '{path}'" if path else ""
    words = f'Invalid JSON payload received. Unknown name "{unknown}"{where}: Cannot find field.'
    violation = {"@type": BAD_REQUEST, "fieldViolations": [{"field": path, "description": words}]}
    return error(400, "INVALID_ARGUMENT", words, violation)


def _check_target(message: Mapping[str, Any]) -> dict[str, Any] | None:
    given = [name for name in TARGETS if message.get(name)]
    if not given:
        return invalid("message", "Recipient of the message is not set.")
    if len(given) > 1:
        words = f"oneof field 'target' is already set. Cannot set '{given[1]}'"
        return error(400, "INVALID_ARGUMENT", f"Invalid value at 'message' (oneof), {words}")
    if given[0] in ("token", "fid"):
        target = message[given[0]]
        if not isinstance(target, str) or not _TOKEN.fullmatch(target):
            words = "The registration token is not a valid FCM registration token"
            return error(400, "INVALID_ARGUMENT", words, fcm_detail("INVALID_ARGUMENT"))
    return None


def _check_data(raw: object) -> dict[str, Any] | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        return invalid("message.data", "Invalid value at 'message.data' (object)")
    for index, (key, value) in enumerate(raw.items()):
        if not isinstance(value, str):
            where = f"message.data[{index}].value"
            return invalid(where, f"Invalid value at '{where}' (TYPE_STRING), {value}")
        if _RESERVED_KEYS.fullmatch(key):
            return invalid("message.data", f"Invalid data payload key: {key}", "Request contains an invalid argument.")
    return None


def _check_android(raw: object) -> dict[str, Any] | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        return invalid("message.android", "Invalid value at 'message.android'")
    if raw.get("priority", "NORMAL") not in ("NORMAL", "HIGH", "normal", "high"):
        return invalid("message.android.priority", "Invalid value at 'message.android.priority' (AndroidMessagePriority)")
    ttl = raw.get("ttl")
    found = _DURATION.fullmatch(ttl) if isinstance(ttl, str) else None
    if ttl is not None and (found is None or int(found[1]) > _MAX_TTL_S):
        return invalid("message.android.ttl", "Invalid value at 'message.android.ttl' (Duration)")
    return None


def _check_size(message: Mapping[str, Any]) -> dict[str, Any] | None:
    parts = [*(message.get("data") or {}).items(), *(message.get("notification") or {}).items()]
    size = sum(len(str(key).encode()) + len(str(value).encode()) for key, value in parts)
    if size <= MAX_PAYLOAD:
        return None
    return invalid("message", "Message is too big", "Request contains an invalid argument.")
