"""What one rendering of a template may do: its purse of work. Pure.

The rule that keeps this sound: whatever takes time or memory by the size of a value spends for that size first. Values are
weighed with all that is nested in them, as a few lines can build a list that prints for ever.
"""

import re
import types
from collections.abc import Iterable
from itertools import islice
from typing import Any

from jinja2.runtime import Context

from fastpath.errors import RenderFailed

MAX_OUTPUT = 1 << 20  # bytes of one rendered part
MAX_WORK = 250_000  # units for one part: about one for a node evaluated, an item visited or 8 characters handled
TEXT_SHIFT = 3  # characters to units
MAX_BITS = 4096  # of a whole number that a template computes

_VIEWS: tuple[type[Iterable[Any]], ...] = (type({}.keys()), type({}.values()), type({}.items()))
_NESTED = (str, list, tuple, dict, range)
_FIELD = re.compile(r"(\([^()]*\))?[#0\- +]*\d{0,2}(\.\d{0,2})?[hlL]?[a-zA-Z]")  # of a printf format; no width over 99


class Purse(Context):
    """The variables of one rendering, and the work it may still do."""

    left = MAX_WORK

    def spend(self, units: int) -> None:
        """Raises RenderFailed once a rendering has done more than MAX_WORK."""
        self.left -= units
        if self.left < 0:
            raise RenderFailed(f"takes too much work: more than {MAX_WORK} steps")

    def weigh(self, *values: Any) -> None:
        """Spend what it takes to look at these values and at all that is in them."""
        for value in values:
            if type(value) is str:
                self.spend(len(value) >> TEXT_SHIFT)
            elif isinstance(value, (*_NESTED, *_VIEWS)):
                self._weigh_all(value)

    def _weigh_all(self, value: Any) -> None:
        heap = [value]
        while heap:
            value = heap.pop()
            self.spend(1 + (len(value) >> TEXT_SHIFT if isinstance(value, str) else len(value)))
            if isinstance(value, dict):
                heap += (each for pair in value.items() for each in pair if isinstance(each, _NESTED))
            elif not isinstance(value, (str, range)):
                heap += (each for each in value if isinstance(each, _NESTED))

    def listed(self, value: Any) -> Any:
        """A generator as a list, no longer than the work left allows; anything else as it is."""
        if not isinstance(value, types.GeneratorType):
            return value
        found = list(islice(value, self.left + 1))
        self.spend(len(found))
        return found


def before_multiplying(purse: Purse, left: Any, right: Any) -> None:
    """Spend for text or a list repeated; refuse a number that grows out of hand."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, (str, list, tuple)) and isinstance(other, int):
            purse.spend(len(one) * max(other, 0) >> (TEXT_SHIFT if isinstance(one, str) else 0))
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MAX_BITS:
        raise RenderFailed("a number grows too large")


def before_raising(base: Any, exponent: Any) -> None:
    """Refuse a power that grows out of hand."""
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > MAX_BITS:
        raise RenderFailed("a number grows too large")


def before_formatting(purse: Purse, text: str, *values: Any) -> None:
    """Spend for printf formatting: each field may print all of the values. Widths are refused, as they grow from nothing."""
    for field in text.replace("%%", "").split("%")[1:]:
        if not _FIELD.match(field):
            raise RenderFailed(f"cannot format %{field[:16]}: a field is like %s, %d or %.2f, its width at most 99")
        purse.weigh(*values)
