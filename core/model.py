"""The words of tidings: priorities, channels, classes, statuses with their transitions, stations, parts, error classes.

Plain values only: nothing here does I/O or knows how a value is stored. The numbers are wire format (frames, PostgreSQL
and tidings.v1 share them): append, never renumber.
"""

from enum import IntEnum


class Priority(IntEnum):
    """How urgent. Lower is read first; streams are read strictly in this order."""

    CRITICAL = 1
    HIGH = 2
    MEDIUM = 3
    LOW = 4


class Channel(IntEnum):
    """How a recipient is reached. `mask` is its bit in a channel mask."""

    EMAIL = 1
    SMS = 2
    PUSH = 3
    IN_APP = 4

    @property
    def mask(self) -> int:
        """The channel's bit in a channel mask (EMAIL 1, SMS 2, PUSH 4, IN_APP 8)."""
        return 1 << (self - 1)


class Class(IntEnum):
    """What kind of message the law sees: promotional needs consent, transactional and alert do not."""

    TRANSACTIONAL = 1
    PROMOTIONAL = 2
    ALERT = 3


class Status(IntEnum):
    """Where a delivery stands. The transitions are in TRANSITIONS."""

    ACCEPTED = 1  # the gateway answered OK: the notification is in Redis
    SCHEDULED = 2  # waits for its send time
    QUEUED = 3  # routed and rendered, waits in its channel's stream
    SENDING = 4  # a sender has it in hand
    SENT = 5  # the provider took it
    DELIVERED = 6  # the provider, the receiving server or the device says that it arrived
    OPENED = 7
    CLICKED = 8
    READ = 9  # in-app: the recipient marked it as read
    SUPPRESSED = 10  # a rule said no; the rule is named
    EXPIRED = 11  # its expires_at passed first
    CANCELLED = 12
    RETRYING = 13  # a temporary failure; waits for its next attempt
    FAILED = 14  # a permanent failure, in the provider's own words
    DEAD = 15  # attempts spent; in the dead-letter stream
    UNKNOWN = 16  # a crash or a timeout hid the provider's answer


_ENDS = frozenset({Status.SUPPRESSED, Status.EXPIRED, Status.CANCELLED})

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.ACCEPTED: frozenset({Status.SCHEDULED, Status.QUEUED, Status.FAILED, Status.DEAD}) | _ENDS,
    Status.SCHEDULED: frozenset({Status.QUEUED, Status.FAILED, Status.DEAD}) | _ENDS,
    Status.QUEUED: frozenset({Status.SENDING, Status.DEAD}) | _ENDS,
    Status.SENDING: frozenset({Status.SENT, Status.RETRYING, Status.FAILED, Status.DEAD, Status.UNKNOWN}) | _ENDS,
    Status.RETRYING: frozenset({Status.SENDING, Status.DEAD}) | _ENDS,
    Status.UNKNOWN: frozenset({Status.SENDING, Status.SENT, Status.DELIVERED, Status.FAILED, Status.DEAD}) | _ENDS,
    Status.SENT: frozenset({Status.DELIVERED, Status.OPENED, Status.CLICKED, Status.READ, Status.FAILED}),
    Status.DELIVERED: frozenset({Status.OPENED, Status.CLICKED, Status.READ, Status.FAILED}),  # FAILED: a late bounce
    Status.OPENED: frozenset({Status.CLICKED}),
    Status.CLICKED: frozenset(),
    Status.READ: frozenset(),
    # Replayed, too late for that, dropped; or a webhook tells that an unanswered attempt did arrive.
    Status.DEAD: frozenset({Status.QUEUED, Status.EXPIRED, Status.CANCELLED, Status.DELIVERED}),
    Status.FAILED: frozenset(),
    Status.SUPPRESSED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.CANCELLED: frozenset(),
}

# Of two statuses of one delivery the one with the higher rank is the later: webhooks overtake each other, times do not decide.
RANK: dict[Status, int] = {
    Status.ACCEPTED: 0,
    Status.SCHEDULED: 1,
    Status.QUEUED: 2,
    Status.SENDING: 3,
    Status.RETRYING: 4,
    Status.UNKNOWN: 5,
    Status.DEAD: 6,
    Status.EXPIRED: 6,
    Status.CANCELLED: 6,
    Status.SUPPRESSED: 6,
    Status.SENT: 7,  # above: news of an arrival settles what was given up as unknown
    Status.DELIVERED: 8,
    Status.OPENED: 9,
    Status.CLICKED: 10,
    Status.READ: 10,
    Status.FAILED: 11,  # a late bounce
}


class Station(IntEnum):
    """Who wrote an event of a timeline."""

    GATEWAY = 1
    DISPATCHER = 2
    SENDER = 3
    PROVIDER = 4  # told by a webhook or a receipt
    RECIPIENT = 5  # read, unsubscribed
    OPERATOR = 6


class Part(IntEnum):
    """A rendered piece of a message. Which channel has which is in PARTS."""

    SUBJECT = 1
    HTML = 2
    TEXT = 3  # e-mail's plain text; the whole of an SMS
    TITLE = 4
    BODY = 5
    DATA = 6  # push: a JSON object of strings
    ACTION = 7  # in-app: the URL that a click opens


PARTS: dict[Channel, tuple[Part, ...]] = {
    Channel.EMAIL: (Part.SUBJECT, Part.HTML, Part.TEXT),
    Channel.SMS: (Part.TEXT,),
    Channel.PUSH: (Part.TITLE, Part.BODY, Part.DATA),
    Channel.IN_APP: (Part.TITLE, Part.BODY, Part.ACTION),
}


class Platform(IntEnum):
    """Which push service a device token belongs to."""

    FCM = 1
    APNS = 2


class ErrorClass(IntEnum):
    """What a failed attempt was; the retry decision looks at nothing else of it."""

    NONE = 0
    TEMPORARY = 1  # 5xx: nothing was taken, try again
    THROTTLED = 2  # 429: the provider asks for patience
    PERMANENT = 3  # invalid address, rejected content
    UNREGISTERED = 4  # the address is gone for good (push token, hard bounce)
    AMBIGUOUS = 5  # the request went out and no answer came: it may have been taken
    MISCONFIGURED = 6  # credentials refused: no recipient is at fault
    POISON = 7  # its consumer died on it again and again
    UNREACHABLE = 8  # no connection, no name: the provider never saw it, and it costs no attempt
