# cython: wraparound=False
"""The marks that a batch's notifications lay claim to: made, looked for in the filter, packed for Redis, answered. No I/O.

The words are in the twin, fastpath/pure/claims.py. A claim is a struct and no object; what is written to a lot was counted
before.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from libc.string cimport memcmp, memcpy

from fastpath.dedupe cimport FIELDS, LocalFilter, hash_fields, murmur3_x64_128
from fastpath.records cimport ID_OFFSET, KIND, Record, get_u32, put_u32, text_of
from fastpath.slots cimport *

from fastpath.values import CONTENT_SPANS_S, KEY_SPAN_S, Lot

cdef enum:
    KEY = 105  # "i", before a mark in the filter, which holds both kinds
    CONTENT = 99  # "c"

cdef tuple _SPANS = CONTENT_SPANS_S
cdef long long _KEY_SPAN = KEY_SPAN_S
cdef long long _LONGEST = CONTENT_SPANS_S[-1]


@cython.final
cdef class Claims:

    def __init__(self, LocalFilter seen not None, long long key_ttl_s, long long now_ms):
        if not 0 < key_ttl_s < 1 << 31 or not 0 <= now_ms < <long long>1 << 47:
            raise ValueError("key_ttl_s is not a positive i32, or now_ms no time of this age")
        self._seen, self._key_ttl_s, self._now_ms = seen, key_ttl_s, now_ms
        self._lots = []
        self._places = []

    def __dealloc__(self):
        PyMem_Free(self._claims)

    def ask(self, str entry_id not None, list records not None, list plans not None):
        cdef uint32_t index
        cdef Record record
        cdef Claim *claim
        cdef bytes place
        if len(records) != len(plans):
            raise ValueError("a plan, or None, for each notification")
        for index in range(<uint32_t>len(records)):
            record = <Record?>records[index]
            plan = plans[index]
            if record._start is NULL or record._start[KIND] != NOTIFICATION:
                raise TypeError("notifications lay claims")
            if _has_key(record):
                claim = self._new(index, self._key_ttl_s, False)
                claim.mark[0] = KEY
                murmur3_x64_128(record._start + ID_OFFSET, DIGEST, 0, claim.mark + 1)
                place = f"{entry_id}:{index}".encode()
                murmur3_x64_128(<const unsigned char *>PyBytes_AS_STRING(place), PyBytes_GET_SIZE(place), 0, claim.value)
                self._look(claim)
            if plan is not None and item(plan, PLAN_LETTERS) and get_u32(record._start + EXTRA):
                claim = self._new(index, min(get_u32(record._start + EXTRA), _LONGEST), True)
                _put_content(record, item(plan, PLAN_VERSION), claim.mark)
                memcpy(claim.value, record._start + ID_OFFSET, DIGEST)
                self._look(claim)
        self._entries += 1

    def strange(self):
        cdef dict lots = {}
        cdef uint32_t lot
        self._sort(lots)
        self._lots, self._places = [], []
        for lot, key in enumerate(lots):
            places = []
            self._lots.append(Lot(*key, self._packed(lot, places)))
            self._places.append(places)
        return self._lots

    def settle(self, list replies not None):
        cdef Claim *claim
        cdef Py_ssize_t index
        cdef list late = []
        if len(replies) != len(self._places):
            raise ValueError("a reply for each lot that was asked for")
        for index in range(len(replies)):
            self._tell(self._places[index], replies[index])
        for index in range(self._count):
            claim = self._claims + index
            if not claim.told:
                if claim.before < 0:
                    raise ValueError("strange() comes before settle()")
                memcpy(claim.first, self._claims[claim.before].first, DIGEST)
                claim.told = True
            if memcmp(claim.first, claim.value, DIGEST):
                first = PyBytes_FromStringAndSize(<const char *>claim.first, DIGEST)
                late.append((claim.entry, claim.index, bool(claim.content), first))
        return late

    cdef Claim *_new(self, uint32_t index, long long ttl_s, bint content) except NULL:
        """Room for a claim of a record."""
        cdef Claim *claims
        if self._count == self._room:
            room = 2 * self._room + 64
            claims = <Claim *>PyMem_Realloc(self._claims, room * sizeof(Claim))
            if claims is NULL:
                raise MemoryError
            self._claims, self._room = claims, room
        cdef Claim *claim = self._claims + self._count
        claim.content, claim.told = content, False
        claim.entry, claim.index = self._entries, index
        claim.lot, claim.before = 0, -1
        claim.ends_ms = self._now_ms + 1000 * ttl_s
        return claim

    cdef int _look(self, Claim *claim) except -1:
        """Asks the filter whose it is, and counts the claim."""
        cdef const unsigned char *value
        cdef Py_ssize_t size
        value = self._seen.find(claim.mark, MARK, self._now_ms, &size)
        if value is not NULL:
            if size != DIGEST:
                raise ValueError("values in a filter of claims are 16 bytes")
            memcpy(claim.first, value, DIGEST)
            claim.told = True
        self._count += 1
        return 0

    cdef int _sort(self, dict lots) except -1:
        """Gives each claim that nobody told of a lot, or the earlier one to the same mark."""
        cdef Py_ssize_t cells = 2, index, other
        cdef Claim *claim
        cdef uint32_t at
        while cells < 2 * self._count:
            cells *= 2
        cdef uint32_t *table = <uint32_t *>PyMem_Calloc(cells, sizeof(uint32_t))  # claims, counted from 1; 0 is free
        if table is NULL:
            raise MemoryError
        try:
            for index in range(self._count):
                claim = self._claims + index
                if claim.told:
                    continue
                at = get_u32(claim.mark + 1) & <uint32_t>(cells - 1)
                claim.before = -1
                while table[at] and claim.before < 0:
                    other = table[at] - 1
                    if memcmp(self._claims[other].mark, claim.mark, MARK) == 0:
                        claim.before = other
                    at = (at + 1) & <uint32_t>(cells - 1)
                if claim.before < 0:
                    table[at] = <uint32_t>(index + 1)
                    claim.lot = self._lot_of(claim, lots)
        finally:
            PyMem_Free(table)
        return 0

    cdef uint32_t _lot_of(self, Claim *claim, dict lots) except? 0xFFFFFFFF:
        cdef long long ttl_s = (claim.ends_ms - self._now_ms) // 1000, span_s = _KEY_SPAN
        if claim.content:
            for span_s in _SPANS:
                if ttl_s <= span_s:
                    break
        return lots.setdefault((bool(claim.content), span_s, claim.ends_ms // (1000 * span_s)), len(lots))

    cdef bytes _packed(self, uint32_t lot, list places):
        """The claims of a lot; notes which they are in `places`."""
        cdef Py_ssize_t index
        cdef Claim *claim
        cdef int byte
        for index in range(self._count):
            claim = self._claims + index
            if claim.lot == lot and claim.before < 0 and not claim.told:
                places.append(index)
        cdef bytes packed = PyBytes_FromStringAndSize(NULL, CLAIM * len(places))
        cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(packed)
        for place in places:
            claim = self._claims + <Py_ssize_t>place
            memcpy(at, claim.mark + 1, DIGEST)
            memcpy(at + DIGEST, claim.value, DIGEST)
            for byte in range(END):
                at[2 * DIGEST + byte] = claim.ends_ms >> 8 * (END - 1 - byte) & 255
            at += CLAIM
        return packed

    cdef int _tell(self, list places, list reply) except -1:
        """Notes whose a lot's marks are; those that are ours the filter learns."""
        cdef Py_ssize_t index
        cdef Claim *claim
        if len(reply) % 2:
            raise ValueError("a reply has the place of a claim and 16 bytes, by turns")
        for index in range(0, len(reply), 2):
            place, value = reply[index], reply[index + 1]
            if not (
                isinstance(place, int) and 0 <= place < len(places)
                and isinstance(value, bytes) and PyBytes_GET_SIZE(value) == DIGEST
            ):
                raise ValueError("a reply has the place of a claim and 16 bytes, by turns")
            claim = self._claims + <Py_ssize_t>places[place]
            memcpy(claim.first, PyBytes_AS_STRING(value), DIGEST)
            claim.told = True
        for place in places:
            claim = self._claims + <Py_ssize_t>place
            if not claim.told:
                memcpy(claim.first, claim.value, DIGEST)
                claim.told = True
                self._seen.keep(claim.mark, MARK, claim.value, DIGEST, claim.ends_ms)
        return 0


cdef inline bint _has_key(Record record) noexcept:
    cdef Py_ssize_t size
    text_of(record, N_MARK, &size)
    return size != 0


cdef int _put_content(Record record, uint32_t version, unsigned char *mark) except -1:
    """The mark of a notification's content."""
    cdef const char *field[FIELDS]
    cdef Py_ssize_t size[FIELDS]
    cdef unsigned char[4] version_bytes
    cdef int index
    for index in (N_RECIPIENT, N_EMAIL, N_PHONE, N_DEVICES):
        field[0] = text_of(record, index, &size[0])
        if size[0]:
            break
    field[1] = text_of(record, N_TYPE, &size[1])
    field[2] = text_of(record, N_TEMPLATE, &size[2])
    put_u32(version_bytes, version)
    field[3], size[3] = <const char *>version_bytes, 4
    field[4] = text_of(record, N_DATA, &size[4])
    mark[0] = CONTENT
    return hash_fields(field, size, mark + 1)
