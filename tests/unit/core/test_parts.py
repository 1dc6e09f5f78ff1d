"""Push data stays JSON, whatever its values hold."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Part
from core.parts import sources
from fastpath import compile_parts, unpack_parts


def rendered(values: dict[str, str], data: dict[str, Any]) -> Any:
    compiled = compile_parts(sources({Part.DATA: orjson.dumps(values).decode()}))
    return orjson.loads(unpack_parts(compiled.render(data))[Part.DATA])


def test_only_html_is_escaped() -> None:
    assert sources({Part.SUBJECT: "s", Part.HTML: "h"}) == [(Part.SUBJECT, "s", False), (Part.HTML, "h", True)]


def test_each_value_is_a_source_of_its_own() -> None:
    values = {
        "order": "no. {{ id }}",
        "kind": "plain",
        "first": '{{ items["a"][0] }}',
        "loop": "{% for x in items.a %}{{ x }};{% endfor %}",
    }
    data = {"id": 7, "items": {"a": ["x", "y"]}}
    assert rendered(values, data) == {"order": "no. 7", "kind": "plain", "first": "x", "loop": "x;y;"}


@given(st.text(), st.text(alphabet=st.characters(exclude_characters="{", codec="utf-8")), st.text())
def test_no_character_breaks_out(key: str, literal: str, value: str) -> None:
    assert rendered({f"k{key}": "{{ value }}", "literal": literal}, {"value": value}) == {f"k{key}": value, "literal": literal}


def test_braces_in_a_literal_do_not_start_a_template() -> None:
    assert rendered({"{{ key }}": "50 % }}"}, {}) == {"{{ key }}": "50 % }}"}


@pytest.mark.parametrize("text", ["[]", '{"a": 1}', "{"])
def test_anything_but_an_object_of_strings_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|json|unexpected|EOF"):
        sources({Part.DATA: text})
