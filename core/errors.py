"""One tree of errors. Drivers' errors are wrapped where they enter, with `__cause__` kept; no other room invents a root.

fastpath imports no room, so its errors (fastpath/errors.py) are plain ValueErrors.
"""


class TidingsError(Exception):
    """The root: everything tidings raises on purpose."""


class ConfigError(TidingsError):
    """A setting is missing or makes no sense; the message names it and the remedy."""


class BadId(TidingsError):
    """Text that is not a notification id."""


class BadToken(TidingsError):
    """A signed token that tidings did not sign, or signed for another purpose."""


class StoreError(TidingsError):
    """Redis refused or could not be reached."""


class StoreUnavailable(StoreError):
    """Redis is down, failing over or not answering in time: what was asked may or may not have happened."""


class StoreFull(StoreError):
    """Redis is out of memory or read-only: nothing was written."""


class LedgerError(TidingsError):
    """PostgreSQL refused; a bug or a broken constraint."""


class LedgerUnavailable(LedgerError):
    """PostgreSQL is down or not answering in time."""


class ProviderError(TidingsError):
    """A provider could not be spoken to at all (never a provider's answer: answers are values)."""
