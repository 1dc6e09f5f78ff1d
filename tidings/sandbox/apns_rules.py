"""What APNs refuses, and by which reason. Pure: a request's headers and payload in, status and reason out.

Source: Apple's public documentation (sending notification requests, handling responses, token-based connections).
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from tidings.sandbox.credentials import APNS_TOPIC

MAX_PAYLOAD = 4096  # bytes
MAX_VOIP_PAYLOAD = 5120
MAX_COLLAPSE_ID = 64  # bytes
PUSH_TYPES = frozenset(
    {
        "alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location", "mdm", "pushtotalk",
        "voip", "widgets",
    }
)  # fmt: skip
STATUS: dict[str, int] = {
    "BadCollapseId": 400,
    "BadDeviceToken": 400,
    "BadExpirationDate": 400,
    "BadMessageId": 400,
    "BadPriority": 400,
    "DeviceTokenNotForTopic": 400,
    "DuplicateHeaders": 400,
    "InvalidPushType": 400,
    "MissingDeviceToken": 400,
    "MissingTopic": 400,
    "PayloadEmpty": 400,
    "TopicDisallowed": 400,
    "ExpiredProviderToken": 403,
    "InvalidProviderToken": 403,
    "MissingProviderToken": 403,
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "Unregistered": 410,
    "PayloadTooLarge": 413,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
}
_PATH = re.compile(r"/3/device/([^/]*)")
_DEVICE_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){32,100}")
_SUFFIXES = ("", ".voip", ".complication", ".pushkit.fileprovider", ".push-type.liveactivity", ".location-query")
_ONCE = ("apns-id", "apns-expiration", "apns-priority", "apns-topic", "apns-collapse-id", "apns-push-type", "authorization")


def device_of(path: str) -> str:
    """The device token in a request's path, "" if there is none."""
    found = _PATH.fullmatch(path)
    return found[1] if found else ""


def check_head(headers: list[tuple[str, str]]) -> str | None:
    """The reason to refuse a request before its token is looked at."""
    named = dict(headers)
    if any(sum(name == once for name, _ in headers) > 1 for once in _ONCE):
        return "DuplicateHeaders"
    if named.get(":method") != "POST":
        return "MethodNotAllowed"
    if not _PATH.fullmatch(named.get(":path", "")):
        return "BadPath"
    return None


def check(headers: Mapping[str, str], payload: bytes) -> str | None:
    """The reason to refuse a request of a known sender."""
    return _check_headers(headers) or _check_payload(headers, payload)


def _check_headers(headers: Mapping[str, str]) -> str | None:
    token = device_of(headers[":path"])
    if not token:
        return "MissingDeviceToken"
    if "apns-id" in headers and not is_uuid(headers["apns-id"]):
        return "BadMessageId"
    expiration = headers.get("apns-expiration", "0")
    if not expiration.isdigit() or len(expiration) > 12:
        return "BadExpirationDate"
    if headers.get("apns-priority", "10") not in ("1", "5", "10"):
        return "BadPriority"
    if len(headers.get("apns-collapse-id", "").encode()) > MAX_COLLAPSE_ID:
        return "BadCollapseId"
    if headers.get("apns-push-type", "alert") not in PUSH_TYPES:
        return "InvalidPushType"
    topic = headers.get("apns-topic", "")
    if not topic:
        return "MissingTopic"
    if topic not in {APNS_TOPIC + suffix for suffix in _SUFFIXES}:
        return "TopicDisallowed"
    return None if _DEVICE_TOKEN.fullmatch(token) else "BadDeviceToken"


def _check_payload(headers: Mapping[str, str], payload: bytes) -> str | None:
    limit = MAX_VOIP_PAYLOAD if headers.get("apns-push-type") == "voip" else MAX_PAYLOAD
    if len(payload) > limit:
        return "PayloadTooLarge"
    return None if parse(payload) else "PayloadEmpty"


def is_uuid(text: str) -> bool:
    """Whether it is a UUID in its canonical form (upper case allowed)."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def parse(payload: bytes) -> dict[str, Any] | None:
    """The payload's JSON object, if it is one and has `aps`."""
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) and isinstance(body.get("aps"), dict) else None
