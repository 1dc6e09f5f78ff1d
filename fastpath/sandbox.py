"""Jinja2 as templates may use it: no Python behind it, strict about missing variables. Pure; knows no channel."""

from typing import Any, NoReturn

from jinja2 import StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fastpath.errors import RenderFailed, VariableMissing


class Missing(StrictUndefined):
    """A variable that the data lacks: any use of it but `default` and `is defined` fails with its name."""

    __slots__ = ()

    def _fail_with_undefined_error(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise VariableMissing(str(self._undefined_name))

    __iter__ = __str__ = __len__ = _fail_with_undefined_error
    __eq__ = __ne__ = __bool__ = __hash__ = _fail_with_undefined_error
    __contains__ = _fail_with_undefined_error


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of every template. In `a.b`, a key of the data comes before a method of the same name."""

    def __init__(self, html: bool) -> None:
        super().__init__(autoescape=html, undefined=Missing)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What `obj.attribute` is: an item of a dict, else a harmless attribute, else undefined."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


TEXT = Sandbox(html=False)
HTML = Sandbox(html=True)
PLAIN_TYPES = frozenset({str, int, float, bool, type(None), list, dict})


def lookup(value: Any, key: str | int, path: str) -> Any:
    """One step of a path where it is not a plain item of a dict or list. Raises VariableMissing(path)."""
    found = TEXT.getattr(value, key) if isinstance(key, str) else TEXT.getitem(value, key)
    if isinstance(found, Undefined):
        raise VariableMissing(path)
    return found


def text_of(value: Any) -> str:
    """A value of the data as templates print it.

    Raises:
        VariableMissing: a method, found where the data lacks a key of its name.
        RenderFailed: anything else that is not data.
    """
    if type(value) in PLAIN_TYPES:
        return str(value)
    if callable(value):
        raise VariableMissing(getattr(value, "__name__", "?"))
    raise RenderFailed(f"cannot print a {type(value).__name__}")
