# Declares fastpath/planner.pyx.

from fastpath.records cimport Record
from fastpath.render cimport RenderCache

cdef enum:
    WHOM_MAX = 255  # bytes of a language, and of a template's name or a type, that a key is made of


cdef class Planner:
    cdef dict _people
    cdef dict _templates
    cdef object _course
    cdef RenderCache _renders

    cdef object _plan(self, Record record, long long now_ms, dict known)
    cdef object _write(self, Record record, object course, object stored)
    cdef object _template(self, Record record, long long now_ms, dict known)
    cdef object _decided(self, Record record, object template, int available, object stored)
