# cython: boundscheck=False, wraparound=False
"""Notifications of a request, from the bytes of protobuf straight to records.

The words are in the twin, fastpath/pure/intake.py. Every length is checked against the end of its message before it is read.
1 stands for "good", 0 for "needs a closer look".
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t

from fastpath.canonical cimport Canonical
from fastpath.plain cimport is_line, is_moment, is_name, is_plain_email, is_window, mask_of
from fastpath.records cimport HEADER, ID_OFFSET, ID_WIDTH, ACCEPTED_MS, Draft, Record, begin, encode, put_u32, put_u64
from fastpath.wire cimport Message, Text, next_item, read_message, read_size, read_varint, same, str_of

from hashlib import blake2b

from fastpath import layout

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    ID_CHARACTERS = 128
    SOURCE_CHARACTERS = 128
    KEY_CHARACTERS = 255
    VERSION_MAX = 2147483647
    PROMOTIONAL_DEDUPE_S = 3600
    MEDIUM = 3
    TRANSACTIONAL = 1
    PROMOTIONAL = 2
    EMAIL_AND_SMS = 3
    RANDOM = 8
    NUMBERS = 0x8C  # those of a notification that are numbers, a bit each: 2, 3, 7
    TEXTS = 0x3F72  # and those of known length: 1, 4, 5, 6, 8 to 13
    RECIPIENT = 0x6E  # of a recipient: 1, 2, 3, 5, 6

# Where things are in a record.
cdef enum:
    PRIORITY = 5
    KLASS = 6
    CHANNEL = 7
    TEMPLATE_VERSION = 16
    EXTRA = 20
    AT_MS = 48
    EXPIRES_MS = 56

cdef enum:
    TYPE
    RECIPIENT_ID
    EMAIL
    PHONE
    DEVICES
    LANGUAGE
    TIMEZONE
    TEMPLATE
    DATA
    SOURCE
    TRACEPARENT
    MARK

if [layout.SLOTS[name][0] for name in ("priority", "klass", "channel", "version", "extra", "at_ms", "expires_ms")] != [
    PRIORITY, KLASS, CHANNEL, TEMPLATE_VERSION, EXTRA, AT_MS, EXPIRES_MS
] or layout.STRINGS[layout.NOTIFICATION] != (
    "type", "recipient_id", "email", "phone", "devices", "language", "timezone", "template", "data", "source", "traceparent", "mark"
):
    raise ImportError("fastpath.intake was built for another layout; build it again")
cdef int NOTIFICATION = layout.NOTIFICATION

cdef uint32_t[256] _CRC
for _byte in range(256):
    _rest = _byte
    for _bit in range(8):
        _rest = _rest >> 1 ^ (0xEDB88320 if _rest & 1 else 0)
    _CRC[_byte] = _rest


@cython.final
cdef class Reader:

    def __cinit__(self, uint32_t partitions, checks not None):
        if partitions < 1:
            raise ValueError("there is at least one partition")
        self._partitions = partitions
        self._email, self._phone, self._language, self._timezone, self._undeliverable = checks
        self._canonical = Canonical()

    def scan(self, bytes wire not None):
        cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(wire)
        cdef const unsigned char *end = at + PyBytes_GET_SIZE(wire)
        cdef const unsigned char *item
        cdef Text name, last
        cdef unsigned long long version, last_version = 0
        cdef Py_ssize_t count = 0
        cdef set references = set()
        last.at, last.size = NULL, -1
        while at < end:
            item = next_item(&at, end)
            if item is NULL:
                return None
            count += 1
            if not _reference(item, at, &name, &version) or (version == last_version and same(&name, &last)):
                continue
            references.add((str_of(&name), version))
            last, last_version = name, version
        return count, references

    def read(
        self, bytes wire not None, Py_ssize_t first, known not None, *,
        unsigned int admitted, long long now_ms, bytes random not None, str traceparent not None, mark
    ):
        cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(wire)
        cdef const unsigned char *end = at + PyBytes_GET_SIZE(wire)
        cdef const unsigned char *item
        cdef const unsigned char *dice = <const unsigned char *>PyBytes_AS_STRING(random)
        cdef Py_ssize_t left = PyBytes_GET_SIZE(random) // RANDOM
        cdef list found = []
        if PyBytes_GET_SIZE(random) % RANDOM or first < 0:
            raise ValueError("8 random bytes for each id, from a place in the request on")
        self._template.at = NULL
        self._known, self._mark, self._traceparent = known, mark, traceparent
        self._admitted, self._now_ms = admitted, now_ms
        try:
            while left and at < end:
                item = next_item(&at, end)
                if item is NULL:
                    raise ValueError("not a request of notifications only")
                if first:
                    first -= 1
                    continue
                found.append(self._take(item, at, dice))
                dice += RANDOM
                left -= 1
        finally:
            self._terms = self._known = self._mark = self._traceparent = None
        if left:
            raise ValueError("the request has not so many notifications")
        return found

    cdef object _take(self, const unsigned char *at, const unsigned char *end, const unsigned char *dice):
        """The record of one notification, with a key its digest too; None if it needs a closer look."""
        cdef Message n
        cdef Draft draft
        cdef object email, phone, language, timezone, mark  # in normal form, while the draft borrows from them
        cdef Record record
        if not read_message(&n, at, end, NUMBERS, TEXTS):
            return None
        begin(&draft, NOTIFICATION)
        if not self._plain(&n, &draft) or not self._template_suits(&n, &draft):
            return None
        cdef Message to
        if not read_message(&to, n.text[5].at, n.text[5].at + n.text[5].size, 0, RECIPIENT) or not is_line(&to.text[1], ID_CHARACTERS):
            return None
        email = phone = language = timezone = None
        try:
            email = None if is_plain_email(&to.text[2], self._undeliverable) else self._email(str_of(&to.text[2]))
            phone = self._phone(str_of(&to.text[3])) if to.text[3].size else None
            language = self._language(str_of(&to.text[5])) if to.text[5].size else None
            timezone = self._timezone(str_of(&to.text[6])) if to.text[6].size else None
        except ValueError:
            return None
        _put(&draft, RECIPIENT_ID, &to.text[1])
        _put_checked(&draft, EMAIL, &to.text[2], email)
        _put_checked(&draft, PHONE, &to.text[3], phone)
        _put_checked(&draft, LANGUAGE, &to.text[5], language)
        _put_checked(&draft, TIMEZONE, &to.text[6], timezone)
        cdef int who = _who(&draft)
        if who < 0:
            return None
        if n.text[12].size == 0:
            self._stamp(&draft, who, dice)
            return encode(&draft)
        put_u32(draft.header + TEMPLATE_VERSION, <uint32_t>n.number[7])
        record = encode(&draft)
        content = blake2b(record.raw, digest_size=16).digest()
        mark = self._mark(str_of(&n.text[12]))
        draft.text[MARK] = PyUnicode_AsUTF8AndSize(mark, &draft.size[MARK])
        self._stamp(&draft, who, dice)
        return encode(&draft), content

    cdef int _plain(self, Message *n, Draft *draft) except -1:
        """Whatever stands for itself."""
        cdef unsigned long long priority = n.number[2] or MEDIUM, klass = n.number[3] or TRANSACTIONAL
        cdef long long window = PROMOTIONAL_DEDUPE_S if klass == PROMOTIONAL else 0, at_ms = 0, expires_ms = 0
        if priority > 4 or not self._admitted >> (priority - 1) & 1 or klass > 3 or n.number[7] > VERSION_MAX:
            return 0
        cdef int mask = mask_of(&n.text[4])
        if mask < 0 or not is_name(&n.text[1]) or not is_name(&n.text[6]):
            return 0
        if not is_line(&n.text[9], SOURCE_CHARACTERS) or not is_line(&n.text[12], KEY_CHARACTERS):
            return 0
        if n.seen >> 10 & 1 and not is_moment(&n.text[10], &at_ms):
            return 0
        if n.seen >> 11 & 1 and (not is_moment(&n.text[11], &expires_ms) or expires_ms <= self._now_ms):
            return 0
        if n.seen >> 13 & 1 and not is_window(&n.text[13], &window):
            return 0
        draft.header[PRIORITY], draft.header[KLASS], draft.header[CHANNEL] = priority, klass, mask
        put_u32(draft.header + EXTRA, <uint32_t>window)
        put_u64(draft.header + AT_MS, at_ms)
        put_u64(draft.header + EXPIRES_MS, expires_ms)
        _put(draft, TYPE, &n.text[1])
        _put(draft, TEMPLATE, &n.text[6])
        _put(draft, SOURCE, &n.text[9])
        return 1

    cdef int _template_suits(self, Message *n, Draft *draft) except -1:
        """Looks the template up, unless it is the one before, and writes the data if it has what that requires."""
        if self._template.at is NULL or self._asked != n.number[7] or not same(&self._template, &n.text[6]):
            self._terms = self._known.get((str_of(&n.text[6]), n.number[7]))
            self._template, self._asked = n.text[6], n.number[7]
            if self._terms is not None:
                _, self._version, self._required, self._channels = self._terms
        if self._terms is None or draft.header[CHANNEL] & ~self._channels:
            return 0
        if not self._canonical.put(n.text[8].at, n.text[8].at + n.text[8].size, self._required):
            return 0
        draft.text[DATA], draft.size[DATA] = <const char *>self._canonical.json, self._canonical.size
        return 1

    cdef int _stamp(self, Draft *draft, int who, const unsigned char *dice) except -1:
        """What a record has beside what the caller said: id, time, the template's version, trace context."""
        cdef unsigned char *id = draft.header + ID_OFFSET
        cdef uint32_t partition = _crc32(draft.text[who], draft.size[who]) % self._partitions
        cdef int index
        for index in range(6):
            id[index] = self._now_ms >> (40 - 8 * index) & 255
        id[6] = 0x70 | (partition >> 6 & 15)
        id[7] = (partition << 2 & 252) | (draft.header[PRIORITY] - 1)
        for index in range(8):
            id[8 + index] = dice[index]
        id[8] = id[8] & 0x3F | 0x80
        put_u32(draft.header + TEMPLATE_VERSION, self._version)
        put_u64(draft.header + ACCEPTED_MS, self._now_ms)
        draft.text[TRACEPARENT] = PyUnicode_AsUTF8AndSize(self._traceparent, &draft.size[TRACEPARENT])
        return 0


cdef bint _reference(
    const unsigned char *at, const unsigned char *end, Text *name, unsigned long long *version
) noexcept nogil:
    """The template that is named, as far as that can be told without a look at other fields."""
    cdef int tag
    cdef unsigned long long number
    cdef const unsigned char *text_end
    name.size = version[0] = 0
    while at < end:
        tag = at[0]
        at += 1
        if tag & 7 == 0:
            if not read_varint(&at, end, &number):
                return False
            if tag == 56:
                version[0] = number
        elif tag & 7 == 2:
            text_end = read_size(&at, end)
            if text_end is NULL:
                return False
            if tag == 50:
                name.at, name.size = at, text_end - at
            at = text_end
        else:
            return False
    return version[0] <= VERSION_MAX and is_name(name)


cdef inline void _put(Draft *draft, int place, const Text *text) noexcept:
    draft.text[place], draft.size[place] = <const char *>text.at, text.size


cdef int _put_checked(Draft *draft, int place, const Text *text, object normal) except -1:
    """The value in its normal form, which is `text` itself if None."""
    if normal is None:
        _put(draft, place, text)
    else:
        draft.text[place] = PyUnicode_AsUTF8AndSize(normal, &draft.size[place])
    return 0


cdef int _who(const Draft *draft) noexcept nogil:
    """The place of what names the recipient; -1 if nothing does, or nothing by which a channel that is asked for reaches it."""
    cdef int mask = draft.header[CHANNEL]
    cdef const char *id = draft.text[RECIPIENT_ID]
    if draft.size[RECIPIENT_ID]:
        return -1 if id[0] == 32 or id[draft.size[RECIPIENT_ID] - 1] == 32 else RECIPIENT_ID
    if mask & ~EMAIL_AND_SMS or (mask & 1 and not draft.size[EMAIL]) or (mask & 2 and not draft.size[PHONE]):
        return -1
    return EMAIL if draft.size[EMAIL] else PHONE if draft.size[PHONE] else -1


cdef uint32_t _crc32(const char *text, Py_ssize_t size) noexcept nogil:
    cdef uint32_t rest = 0xFFFFFFFF
    cdef Py_ssize_t index
    for index in range(size):
        rest = rest >> 8 ^ _CRC[(rest ^ <unsigned char>text[index]) & 255]
    return ~rest
