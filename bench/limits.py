"""What providers take at most, as their own documentation says, each with its address. Looked up in November 2026."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """One provider's limit.

    Attributes:
        name: of what there may be several.
        channel: whose messages count.
        per_s: messages (SMS: segments) a second of one; 0 if the provider publishes no number.
        words: the limit as a person says it.
        source: where the provider says it.
    """

    name: str
    channel: str
    per_s: float
    words: str
    source: str

    def needed(self, per_s: float) -> str:
        """How many of them a rate takes."""
        return f"{math.ceil(per_s / self.per_s):,}" if self.per_s else "no published number"


LIMITS = (
    Limit(
        "FCM projects",
        "push",
        600_000 / 60,
        "600,000 messages a minute and project by default; more on request",
        "https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas",
    ),
    Limit(
        "APNs connections",
        "push",
        0,
        "none published: several connections, each with as many streams as its SETTINGS frame says",
        "https://developer.apple.com/documentation/usernotifications/establishing-a-connection-to-apns",
    ),
    Limit(
        "Twilio long codes (US)",
        "sms",
        1,
        "one segment a second and number; up to ten hours' worth is queued",
        "https://www.twilio.com/docs/api/errors/30001",
    ),
    Limit(
        "Twilio short codes (US)",
        "sms",
        100,
        "100 segments a second and number, more on request",
        "https://www.twilio.com/docs/api/errors/30001",
    ),
    Limit(
        "Twilio accounts",
        "sms",
        2_000,
        "2,000 messages a second, subaccounts included",
        "https://www.twilio.com/docs/api/errors/63017",
    ),
    Limit(
        "SendGrid accounts",
        "email",
        0,
        "none published: X-RateLimit headers tell; 1,000 recipients and 30 MB a call",
        "https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits",
    ),
)
