# cython: boundscheck=False, wraparound=False
"""Single values of a notification that are plainly good, for other native modules. No Python API.

fastpath/pure/intake.py does the same. What is not plainly good needs a closer look, and is not called bad here.
"""

from cpython.unicode cimport PyUnicode_DecodeUTF8

from fastpath.wire cimport Message, Text, read_message, str_of

cdef enum:
    NAME_CHARACTERS = 128
    EMAIL_CHARACTERS = 254
    LOCAL_CHARACTERS = 64
    LABEL_CHARACTERS = 63
    DEDUPE_MAX_S = 604800
    NANOS = 1000000000
    PAIR = 0x06  # fields of a Timestamp and a Duration: 1, 2

cdef unsigned long long LAST_SECOND = 253402300799  # 9999-12-31

cdef enum:
    LETTER = 1  # a to z
    DIGIT = 2
    CAPITAL = 4
    LOCAL = 8  # what else may stand before the @ of a plain address
    NAME = 16  # what else may stand in a name

cdef unsigned char[256] _SORTS
for _byte in range(256):
    _SORTS[_byte] = (LETTER if 97 <= _byte <= 122 else DIGIT if 48 <= _byte <= 57 else CAPITAL if 65 <= _byte <= 90 else 0) | (
        LOCAL if _byte in b"_+-" else 0
    ) | (NAME if _byte in b"._-" else 0)


cdef bint is_name(const Text *text) noexcept nogil:
    cdef Py_ssize_t index
    if not 1 <= text.size <= NAME_CHARACTERS or not _SORTS[text.at[0]] & (LETTER | DIGIT | CAPITAL):
        return False
    for index in range(1, text.size):
        if not _SORTS[text.at[index]] & (LETTER | DIGIT | CAPITAL | NAME):
            return False
    return True


cdef int is_line(const Text *text, Py_ssize_t limit) except -1:
    """Whether it is printable, in at most so many characters."""
    cdef Py_ssize_t index
    for index in range(text.size):
        if not 32 <= text.at[index] < 127:
            break
    else:
        return text.size <= limit
    if text.at[index] < 128 or text.size > 4 * limit:
        return 0
    try:
        line = str_of(text)
    except UnicodeDecodeError:
        return 0
    return len(line) <= limit and line.isprintable()


cdef int mask_of(const Text *channels) noexcept nogil:
    """The mask of packed channels; -1 if one does not exist or stands twice."""
    cdef int mask = 0
    cdef Py_ssize_t index
    for index in range(channels.size):
        if not 1 <= channels.at[index] <= 4 or mask >> (channels.at[index] - 1) & 1:
            return -1
        mask |= 1 << (channels.at[index] - 1)
    return mask


cdef bint _pair(const Text *text, Message *pair, unsigned long long most) noexcept nogil:
    """Seconds (1) and nanoseconds (2), neither negative."""
    return read_message(pair, text.at, text.at + text.size, PAIR, 0) and pair.number[1] <= most and pair.number[2] < NANOS


cdef bint is_moment(const Text *text, long long *ms) noexcept nogil:
    cdef Message pair
    if not _pair(text, &pair, LAST_SECOND):
        return False
    ms[0] = pair.number[1] * 1000 + pair.number[2] // 1000000
    return True


cdef bint is_window(const Text *text, long long *seconds) noexcept nogil:
    cdef Message pair
    if not _pair(text, &pair, DEDUPE_MAX_S) or (pair.number[1] == DEDUPE_MAX_S and pair.number[2]):
        return False
    seconds[0] = pair.number[1] + (pair.number[2] > 0)
    return True


cdef bint is_plain_email(const Text *text, frozenset undeliverable) except -1:
    """Whether an address needs no closer look; "" needs none."""
    cdef const unsigned char *at = text.at
    cdef const unsigned char *end = at + text.size
    cdef const unsigned char *label
    if text.size == 0:
        return True
    if text.size > EMAIL_CHARACTERS:
        return False
    while True:
        label = at
        while at < end and _SORTS[at[0]] & (LETTER | DIGIT | LOCAL):
            at += 1
        if at == label or at == end:
            return False
        at += 1
        if (at - 1)[0] == 64:
            break
        if (at - 1)[0] != 46:
            return False
    if at - 1 - text.at > LOCAL_CHARACTERS:
        return False
    cdef int labels = 0
    cdef bint letters
    while True:
        label, letters = at, True
        while at < end and (_SORTS[at[0]] & (LETTER | DIGIT) or at[0] == 45):
            letters &= _SORTS[at[0]] == LETTER
            if at[0] == 45 and (at == label or (at - 1)[0] == 45):
                return False
            at += 1
        if at == label or at - label > LABEL_CHARACTERS or (at - 1)[0] == 45:
            return False
        if at == end:
            break
        if at[0] != 46:
            return False
        at += 1
        labels += 1
    if labels == 0 or not letters or at - label < 2:
        return False
    return PyUnicode_DecodeUTF8(<const char *>label, at - label, NULL) not in undeliverable
