"""The bytes of records and frames, told once for the Cython codecs, their pure twin and the tests. Constants only.

A record is one notification, delivery or outcome:

    header (80 bytes, little endian, the slots below) | u32 end[K] | payload

`end[i]` is where the i-th string of its kind ends, counted from the start of the payload; strings follow each other in
the order given below. Every field is reached without decoding another one, and a record is forwarded as it came.

A frame is what one stream entry carries (a large one goes through Redis squeezed, see core/squeeze.py):

    b"TF" | u8 version | u8 kind | u32 count | records
"""

FIELD = b"f"  # the only field of a stream entry: its frame

MAGIC = b"TF"
VERSION = 1
FRAME_HEADER = 8

NOTIFICATION = 1
DELIVERY = 2
OUTCOME = 3

HEADER = 80

# name -> (offset, width in bytes, signed). Times are milliseconds since the epoch, 0 for none.
SLOTS: dict[str, tuple[int, int, bool]] = {
    "length": (0, 4, False),  # of the whole record
    "kind": (4, 1, False),
    "priority": (5, 1, False),  # core.model.Priority
    "klass": (6, 1, False),  # core.model.Class
    "channel": (7, 1, False),  # core.model.Channel; in a notification the mask of the channels asked for
    "status": (8, 1, False),  # outcome: core.model.Status
    "station": (9, 1, False),  # outcome: core.model.Station
    "platform": (10, 1, False),  # delivery by push: core.model.Platform
    "device": (11, 1, False),  # delivery and outcome by push: which device, from 0
    "attempt": (12, 2, False),  # attempts begun so far
    "error_class": (14, 1, False),  # core.model.ErrorClass of the last failure
    "flags": (15, 1, False),
    "version": (16, 4, False),  # template version
    "extra": (20, 4, False),  # notification: dedupe window (s); delivery: attempts spent before a replay; outcome: billed units
    # 24..40: id, 16 bytes
    "accepted_ms": (40, 8, True),
    "at_ms": (48, 8, True),  # notification: created by the caller; delivery: not before; outcome: when it happened
    "expires_ms": (56, 8, True),
    "queued_ms": (64, 8, True),  # delivery and outcome: when the dispatcher forwarded it
    "sending_ms": (72, 8, True),  # outcome: when the attempt began
}
ID_OFFSET = 24
ID_WIDTH = 16

# Strings by kind, in payload order. BLOBS are handed out as bytes, all others as str (UTF-8).
STRINGS: dict[int, tuple[str, ...]] = {
    NOTIFICATION: (
        "type",
        "recipient_id",
        "email",
        "phone",
        "devices",  # JSON: [[platform, token], ...]
        "language",
        "timezone",
        "template",
        "data",  # JSON object
        "source",
        "traceparent",  # W3C; "" if the call had none
        "mark",  # digest of caller and idempotency key; "" without a key
    ),
    DELIVERY: (
        "type",
        "recipient_id",
        "address",  # e-mail address, E.164 number or device token; recipient id for in-app
        "language",  # the language it was rendered in
        "template",
        "content",  # packed parts, see pack_parts
        "source",
        "traceparent",
        "provider",  # the provider of the last attempt
        "code",  # the last failure in the provider's own code
        "reason",  # and words
    ),
    OUTCOME: (
        "type",
        "recipient_id",
        "template",
        "language",
        "source",
        "traceparent",
        "provider",
        "provider_id",  # the provider's own message id
        "code",
        "reason",
        "verdicts",  # what the rules said that looked at it, in order, see core/verdicts.py
    ),
}
BLOBS = frozenset({"devices", "data", "content", "verdicts"})

# Flags of a record.
FIRST = 1  # outcome: opens a delivery (carries its static fields)
