"""Which channels a notification takes. The words are in the twin, fastpath/pure/router.py."""

cimport cython
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject

from fastpath.values import MEMO_MAX, REQUESTED, UNMATCHED, Route

cdef int _MEMO_MAX = MEMO_MAX


@cython.final
@cython.internal
cdef class Compiled:

    def __cinit__(self, rule):
        self.name = rule.name
        self.types = tuple((pattern.removesuffix("*"), pattern.endswith("*")) for pattern in rule.types)
        self.priorities = rule.priorities or 0xFF
        self.klasses = rule.klasses or 0xFF
        self.count = len(rule.channels)
        if self.count > MAX_CHANNELS:
            raise ValueError(f"rule {rule.name!r} has more than {MAX_CHANNELS} channels")
        for index, channel in enumerate(rule.channels):
            self.channels[index] = channel
        self.first = rule.mode == "first"

    cdef bint matches(self, str type, int priority, int klass) except -1:
        if not (self.priorities >> (priority - 1) & 1 and self.klasses >> (klass - 1) & 1):
            return False
        if not self.types:
            return True
        cdef str pattern
        for pattern, prefix in self.types:
            if type.startswith(pattern) if prefix else type == pattern:
                return True
        return False

    cdef tuple reachable(self, int available):
        found = [self.channels[index] for index in range(self.count) if available >> (self.channels[index] - 1) & 1]
        return tuple(found[:1] if self.first else found)


@cython.final
cdef class Router:

    def __init__(self, rules):
        self._rules = [Compiled(rule) for rule in rules]
        self._memo = {}
        self._size = 0

    def route(self, str type not None, int priority, int klass, int requested, int available):
        if not (1 <= priority <= 8 and 1 <= klass <= 8 and 0 <= requested <= 255 and 0 <= available <= 255):
            raise ValueError(f"cannot route priority {priority}, class {klass}, masks {requested} and {available}")
        cdef object key = priority | klass << 8 | requested << 16 | available << 24
        cdef PyObject *decided = PyDict_GetItem(self._memo, type)
        cdef PyObject *route = PyDict_GetItem(<dict>decided, key) if decided is not NULL else NULL
        if route is not NULL:
            return <object>route
        if self._size >= _MEMO_MAX:
            self._memo.clear()
            self._size = 0
        self._size += 1
        made = self._decide(type, priority, klass, requested, available)
        self._memo.setdefault(type, {})[key] = made
        return made

    cdef object _decide(self, str type, int priority, int klass, int requested, int available):
        cdef Compiled rule
        cdef int channel
        if requested:
            asked = [channel for channel in range(1, MAX_CHANNELS + 1) if requested >> (channel - 1) & 1]
            reachable = tuple([channel for channel in asked if available >> (channel - 1) & 1])
            return Route(reachable, tuple([channel for channel in asked if channel not in reachable]), REQUESTED)
        for rule in self._rules:
            if rule.matches(type, priority, klass):
                return Route(rule.reachable(available), (), rule.name)
        return Route((), (), UNMATCHED)
