"""What the ledger hands out and takes in: frozen values of str, int, bytes and core.model's enums. No psycopg, no I/O.

Every time is milliseconds since the Unix epoch (UTC), 0 for none. Ids of notifications are the 16 bytes of core.ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.model import Channel, Class, Part, Platform, Priority, Station, Status

SCOPES = frozenset({"send", "read", "admin"})


@dataclass(frozen=True, slots=True)
class TemplateVariable:
    """A variable that a template declares: a top-level key of the notification's data."""

    name: str
    required: bool


@dataclass(frozen=True, slots=True)
class TemplateContent:
    """The sources of a template's parts for one channel and language (core.model.PARTS tells which parts a channel has)."""

    channel: Channel
    language: str  # BCP 47
    parts: Mapping[Part, str]  # push's DATA is a JSON object whose values are sources


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """A template in one version. `version` and `created_ms` are the ledger's; what put() is given there is ignored."""

    name: str
    default_language: str
    variables: tuple[TemplateVariable, ...]
    contents: tuple[TemplateContent, ...]
    version: int = 0
    created_ms: int = 0


@dataclass(frozen=True, slots=True)
class StoredDevice:
    """A device that push reaches."""

    platform: Platform
    token: str


@dataclass(frozen=True, slots=True)
class StoredRecipient:
    """A recipient's addresses; "" for what is not known. `updated_ms` is the ledger's."""

    recipient_id: str
    email: str = ""
    phone: str = ""  # E.164
    devices: tuple[StoredDevice, ...] = ()
    language: str = ""  # BCP 47
    timezone: str = ""  # IANA
    updated_ms: int = 0


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller's key without its secret, of which only the hash is stored."""

    key_id: int
    name: str
    scopes: frozenset[str]  # a subset of SCOPES
    created_ms: int
    revoked_ms: int = 0


@dataclass(frozen=True, slots=True)
class InboxItem:
    """One message of a recipient's in-app inbox."""

    notification_id: bytes
    recipient_id: str
    type: str
    title: str
    body: str
    action: str  # URL that a click opens; may be ""
    created_ms: int
    read_ms: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """One outcome as a station reported it, whether it was folded into its delivery's row or came later."""

    status: Status
    station: Station
    attempt: int
    at_ms: int
    sending_ms: int = 0  # when the attempt began, if the report is of an attempt
    error_class: int = 0
    units: int = 0  # billed units (SMS segments)
    provider: str = ""
    provider_id: str = ""
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One line of a delivery's timeline."""

    status: Status
    at_ms: int
    station: Station
    attempt: int
    provider: str = ""
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule said when it looked at a notification."""

    rule: str
    verdict: str
    detail: str


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """What became of a notification on one channel (and, for push, one device); its status is that of its last event."""

    channel: Channel | None  # None: it ended before it was routed
    device: int
    status: Status
    attempts: int
    timeline: tuple[TimelineEvent, ...]
    provider: str = ""
    provider_message_id: str = ""
    units: int = 0
    language: str = ""
    template_version: int = 0
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredNotification:
    """What the ledger knows of a notification. Fields are "" while only later outcomes than the first were applied."""

    notification_id: bytes
    type: str
    priority: Priority
    klass: Class | None  # None: not known yet
    recipient_id: str
    template: str
    source: str
    accepted_ms: int
    trace_id: str  # 32 hexadecimal digits, or ""
    deliveries: tuple[StoredDelivery, ...]


@dataclass(frozen=True, slots=True)
class NotificationFilter:
    """Which notifications to list, newest first. "" and 0 mean no bound."""

    recipient_id: str = ""
    type: str = ""
    after_ms: int = 0  # accepted at or after
    before_ms: int = 0  # accepted before
    before_id: bytes = field(default=b"")  # the page's end: the last id of the page before
    limit: int = 50
