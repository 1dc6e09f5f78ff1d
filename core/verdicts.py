"""How the verdicts of a decision are written, in records and in the ledger's rows: every delivery has them. Pure.

A verdict is three words: a rule, what it said, a detail. A word that tidings itself uses is written as one character, any other
as a JSON string: `bdaglhp"de""de"` is what most deliveries have. Written out, that was a third of a row.
"""

import json
from collections.abc import Iterator
from typing import TypeAlias

import orjson

Verdict: TypeAlias = tuple[str, str, str]  # rule, verdict, detail

_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"  # of ASCII, and neither " nor [
# A word's character is that at its place: words are added at the end only, and none is ever taken out.
_WORDS = (
    *("", "recipient", "given", "stored", "unknown", "away"),
    *("route", "requested", "default", "critical", "promotional", "email", "sms", "push", "in_app"),
    *("language", "content", "no_address", "unknown_recipient", "unknown_template", "missing_variable", "template_error"),
    *("expired", "duplicate", "overload", "suppressed", "failed", "cancelled"),
)
_WRITTEN = dict(zip(_WORDS, _CHARACTERS, strict=False))
_READ = {character: word for word, character in _WRITTEN.items()}
_raw_decode = json.JSONDecoder().raw_decode


def pack(*verdicts: Verdict) -> bytes:
    """Verdicts in the order in which the rules looked, as UTF-8 without a null character."""
    return b"".join(_WRITTEN[word].encode() if word in _WRITTEN else orjson.dumps(word) for three in verdicts for word in three)


def unpack(packed: str) -> tuple[Verdict, ...]:
    """The verdicts; also of rows written before there was this form, which have [[rule, verdict, detail], ...] in JSON.

    Raises:
        ValueError: neither.
    """
    if packed.startswith("["):
        return tuple((rule, verdict, detail) for rule, verdict, detail in orjson.loads(packed))
    words = _words(packed)
    return tuple(zip(words, words, words, strict=True))


def _words(packed: str) -> Iterator[str]:
    at = 0
    while at < len(packed):
        if packed[at] == '"':
            word, at = _raw_decode(packed, at)
            yield word
        elif packed[at] in _READ:
            yield _READ[packed[at]]
            at += 1
        else:
            raise ValueError(f"verdicts have no word {packed[at]!r}")
