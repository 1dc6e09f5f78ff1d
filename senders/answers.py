"""What providers' answers mean: one table per provider, from its own codes to an ErrorClass. Pure.

A provider's own code decides; where the table does not know it, the kind of status does (4xx is permanent, 5xx temporary).
Sources: SendGrid Mail Send errors, Twilio error dictionary, FCM v1 ErrorCode, "Handling notification responses from APNs",
RFC 5321 and RFC 3463 (enhanced status codes).
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from core.logs import masked
from core.model import ErrorClass

WORDS_MAX = 300  # characters of a provider's words that are kept
CODE_MAX = 64
RETRY_AFTER_MAX_MS = 24 * 3600 * 1000  # longer wishes are taken as this

_T, _Q, _P, _U, _M = (
    ErrorClass.TEMPORARY,
    ErrorClass.THROTTLED,
    ErrorClass.PERMANENT,
    ErrorClass.UNREGISTERED,
    ErrorClass.MISCONFIGURED,
)

# Any provider by HTTP, unless its own table says otherwise.
HTTP: Mapping[int, ErrorClass] = {401: _M, 403: _M, 404: _M, 405: _M, 408: _T, 425: _T, 429: _Q}

# SendGrid answers by HTTP status; a 400 names the field at fault (see senders/sendgrid.py for one item among many).
SENDGRID: Mapping[str, ErrorClass] = {
    "400": _P,
    "401": _M,  # key unknown or revoked
    "403": _M,  # key lacks the scope, or the sender identity is not verified
    "406": _M,
    "413": _P,  # over 30 MB
    "415": _M,
    "429": _Q,
}
# Fields of a 400 that no recipient is at fault for.
SENDGRID_OURS = ("from", "reply_to", "template_id", "asm", "categories", "ip_pool_name")

TWILIO: Mapping[str, ErrorClass] = {
    "20003": _M,  # authentication
    "20005": _M,  # account not active
    "20404": _M,  # no such account
    "20429": _Q,  # too many requests
    "20500": _T,
    "20503": _T,
    "14107": _Q,  # sending faster than allowed
    "21211": _P,  # not a phone number
    "21212": _M,  # our number is not valid
    "21408": _P,  # no permission to send to that region
    "21602": _P,  # no body
    "21603": _M,  # no sender
    "21606": _M,  # our number cannot send SMS
    "21608": _P,  # trial account, number not verified
    "21610": _U,  # the recipient answered STOP
    "21611": _Q,  # our number's queue is full
    "21612": _P,  # no route between these two numbers
    "21614": _U,  # not a mobile number
    "21617": _P,  # over 1,600 characters
    "21659": _M,  # our number belongs to somebody else
    "30001": _Q,
    "30002": _M,  # account suspended
    "63038": _Q,  # the account's daily limit
}

# FcmError.errorCode; where there is none, google.rpc.Status.status.
FCM: Mapping[str, ErrorClass] = {
    "INVALID_ARGUMENT": _P,
    "UNREGISTERED": _U,
    "SENDER_ID_MISMATCH": _P,  # the token belongs to another Firebase project
    "QUOTA_EXCEEDED": _Q,
    "RESOURCE_EXHAUSTED": _Q,
    "UNAVAILABLE": _T,
    "INTERNAL": _T,
    "DEADLINE_EXCEEDED": _T,
    "THIRD_PARTY_AUTH_ERROR": _M,  # the project's own APNs or web push credentials
    "UNAUTHENTICATED": _M,
    "PERMISSION_DENIED": _M,
    "NOT_FOUND": _M,  # the project; a token that is gone is UNREGISTERED
}

APNS: Mapping[str, ErrorClass] = {
    "BadCollapseId": _P,
    "BadDeviceToken": _P,  # also a token of the other environment: no ground to forget it
    "BadExpirationDate": _P,
    "BadMessageId": _P,
    "BadPriority": _P,
    "BadTopic": _M,
    "DeviceTokenNotForTopic": _P,
    "DuplicateHeaders": _P,
    "IdleTimeout": _T,
    "InvalidPushType": _P,
    "MissingDeviceToken": _P,
    "MissingTopic": _M,
    "PayloadEmpty": _P,
    "TopicDisallowed": _M,
    "BadCertificate": _M,
    "BadCertificateEnvironment": _M,
    "ExpiredProviderToken": _M,
    "Forbidden": _M,
    "InvalidProviderToken": _M,
    "MissingProviderToken": _M,
    "UnrelatedKeyIdInToken": _M,
    "BadEnvironmentKeyIdInToken": _M,
    "BadPath": _P,
    "MethodNotAllowed": _M,
    "ExpiredToken": _U,
    "Unregistered": _U,
    "PayloadTooLarge": _P,
    "TooManyProviderTokenUpdates": _Q,
    "TooManyRequests": _Q,
    "InternalServerError": _T,
    "ServiceUnavailable": _T,
    "Shutdown": _T,
}

# Enhanced status codes first, then reply codes; everything else by its first digit.
SMTP: Mapping[str, ErrorClass] = {
    "5.1.1": _U,  # no such mailbox
    "5.1.2": _U,  # no such domain
    "5.1.6": _U,  # mailbox has moved
    "5.1.10": _U,  # the domain takes no mail (null MX)
    "5.2.1": _U,  # mailbox disabled
    "5.7.8": _M,  # our credentials
    "4.3.2": _Q,  # not accepting now, or too fast
    "4.4.5": _Q,  # congestion
    "4.7.0": _Q,  # rate limits of the large providers
    "421": _T,
    "530": _M,  # authentication wanted
    "534": _M,
    "535": _M,  # authentication refused
    "538": _M,
}


def of_http(table: Mapping[str, ErrorClass], code: str, status: int) -> ErrorClass:
    """The class of an HTTP answer that is not a success: by the provider's code, else by its status."""
    known = table.get(code) or table.get(str(status)) or HTTP.get(status)
    return known or (_T if status >= 500 else _P)


def of_smtp(reply: int, enhanced: str) -> ErrorClass:
    """The class of an SMTP reply that is not a success; `enhanced` is "5.1.1" or ""."""
    known = SMTP.get(enhanced) or SMTP.get(str(reply))
    return known or (_P if reply >= 500 else _T)


def words(text: str, *private: str) -> str:
    """A provider's words as they may be kept: one line, shortened, addresses masked, `private` strings too."""
    for secret in private:
        if secret:
            text = text.replace(secret, "[address]")
    return masked(" ".join(text.split()))[:WORDS_MAX]


def code_word(code: object) -> str:
    """A provider's code as it may be kept."""
    return " ".join(str(code).split())[:CODE_MAX]


_SECONDS = re.compile(r"\d{1,9}(\.\d+)?")


def retry_after_ms(value: str | None, now_ms: int) -> int:
    """A Retry-After header (seconds or an HTTP date) as milliseconds from now; 0 if there is none or it makes no sense."""
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        wish = int(float(text) * 1000)
    else:
        try:
            wish = int(parsedate_to_datetime(text).timestamp() * 1000) - now_ms
        except (TypeError, ValueError, OverflowError):
            return 0
    return min(max(wish, 0), RETRY_AFTER_MAX_MS)
