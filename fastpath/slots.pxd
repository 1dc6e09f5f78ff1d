# Where native modules find fields without a Python call: of records by offset in the header and index of the string, of the
# tuples of fastpath/values.py by position. fastpath/forward.pyx checks the former against fastpath/layout.py.

from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE

cdef enum:  # kinds
    NOTIFICATION = 1
    DELIVERY = 2
    OUTCOME = 3

cdef enum:  # offsets in the header, see fastpath/records.pxd for more
    PRIORITY = 5
    KLASS = 6
    CHANNEL = 7
    STATUS = 8
    STATION = 9
    PLATFORM = 10
    DEVICE = 11
    FLAGS = 15
    TEMPLATE_VERSION = 16
    EXTRA = 20
    AT_MS = 48
    EXPIRES_MS = 56
    QUEUED_MS = 64

cdef enum:  # strings of a notification
    N_TYPE = 0
    N_RECIPIENT = 1
    N_EMAIL = 2
    N_PHONE = 3
    N_DEVICES = 4
    N_LANGUAGE = 5
    N_TEMPLATE = 7
    N_DATA = 8
    N_SOURCE = 9
    N_TRACEPARENT = 10
    N_MARK = 11

cdef enum:  # strings of a delivery
    D_TYPE = 0
    D_RECIPIENT = 1
    D_ADDRESS = 2
    D_LANGUAGE = 3
    D_TEMPLATE = 4
    D_CONTENT = 5
    D_SOURCE = 6
    D_TRACEPARENT = 7

cdef enum:  # strings of an outcome
    O_TYPE = 0
    O_RECIPIENT = 1
    O_TEMPLATE = 2
    O_LANGUAGE = 3
    O_SOURCE = 4
    O_TRACEPARENT = 5
    O_CODE = 8
    O_REASON = 9
    O_VERDICTS = 10

cdef enum:  # tuples
    TARGET_CHANNEL = 0
    TARGET_ADDRESS = 1
    TARGET_PLATFORM = 2
    TARGET_DEVICE = 3
    CONTACT_ID = 0
    CONTACT_EMAIL = 1
    CONTACT_PHONE = 2
    CONTACT_DEVICES = 3
    CONTACT_LANGUAGE = 4
    LETTER_TARGET = 0
    LETTER_LANGUAGE = 1
    LETTER_CONTENT = 2
    LETTER_VERDICTS = 3
    REFUSAL_CHANNEL = 0
    REFUSAL_STATUS = 1
    REFUSAL_RULE = 2
    REFUSAL_REASON = 3
    REFUSAL_VERDICTS = 4
    REFUSAL_DEVICE = 5
    PLAN_LETTERS = 0
    PLAN_REFUSALS = 1
    PLAN_VERSION = 2
    WAY_CHANNEL = 0
    WAY_LANGUAGE = 1
    WAY_COMPILED = 2
    WAY_KEY = 3
    WAY_VERDICTS = 4
    COURSE_VERSION = 0
    COURSE_WAYS = 1


cdef inline object item(object values, Py_ssize_t index):
    """An item of a named tuple, or of any other tuple that is long enough."""
    if not isinstance(values, tuple) or not 0 <= index < PyTuple_GET_SIZE(values):
        raise TypeError("not the named tuple that is expected")
    return <object>PyTuple_GET_ITEM(values, index)
