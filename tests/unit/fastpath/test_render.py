from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath.errors import RenderFailed, TemplateInvalid, VariableMissing
from fastpath.pure.records import unpack_parts
from fastpath.sandbox.limits import MAX_OUTPUT
from fastpath.values import ENTRY_OVERHEAD
from tests.unit.fastpath.twins import NATIVE, PURE, THOROUGH, Implementation

SUBJECT, HTML, TEXT = 1, 2, 3


def rendered(fast: Implementation, source: str, data: dict[str, Any], html: bool = False) -> str:
    content = fast.render.compile_parts([(TEXT, source, html)]).render(data)
    return unpack_parts(content)[TEXT].decode()


def test_all_parts_in_order_each_escaped_as_its_kind_asks(fast: Implementation) -> None:
    parts = [(SUBJECT, "For {{ name }}", False), (HTML, "<b>{{ name }}</b>\n", True), (TEXT, "{{ name|upper }}", False)]
    compiled = fast.render.compile_parts(parts)
    content = unpack_parts(compiled.render({"name": "O'Neil & <Söhne>"}))
    assert content == {
        SUBJECT: "For O'Neil & <Söhne>".encode(),
        HTML: "<b>O&#39;Neil &amp; &lt;Söhne&gt;</b>".encode(),
        TEXT: "O'NEIL & <SÖHNE>".encode(),
    }
    assert list(content) == [SUBJECT, HTML, TEXT]


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("no variable at all", True),
        ("{{ a }}{# a comment #}{% raw %}{{ b }}{% endraw %}", True),
        ("{{ a.b['c'][0] }}", True),
        ("{{ a|e }} {{ a|default('x') }} {{ a|d('', true) }}", True),
        ("{% if a is defined and not b %}x{% elif a == 1 %}y{% else %}z{% endif %}", True),
        ("{% for x in a.items %}{{ loop.index }}{{ x.name }}{% else %}none{% endfor %}", True),
        ("{{ 'yes' if a else 'no' }}", True),
        ("{{ a|upper }}", False),
        ("{{ a == b }}", False),
        ("{{ a + 1 }}", False),
        ("{% set b = a %}{{ b }}", False),
        ("{% for k, v in a.items() %}{{ k }}{% endfor %}", False),
        ("{% for x in a if x %}{{ x }}{% endfor %}", False),
        ("{% for x in a %}{{ loop.cycle('a', 'b') }}{% endfor %}", False),
    ],
)
def test_knows_what_it_needs_jinja_for(fast: Implementation, source: str, plain: bool) -> None:
    assert fast.render.compile_parts([(TEXT, source, True)]).plain is plain


def test_names_its_variables(fast: Implementation) -> None:
    source = (
        "{{ a.x }}{% for i in b %}{{ i }}{{ c|d('') }}{% endfor %}{% if d is defined %}{{ d }}{% endif %}{{ range(2)|list }}"
    )
    compiled = fast.render.compile_parts([(TEXT, source, False), (HTML, "{{ e }}", True)])
    assert compiled.variables == {"a", "b", "c", "d", "e"}
    assert compiled.required == {"a", "b", "e"}


@pytest.mark.parametrize(
    ("source", "data", "name"),
    [
        ("{{ name }}", {}, "name"),
        ("{{ order.total }}", {}, "order"),
        ("{{ order.total }}", {"order": {}}, "order.total"),
        ("{{ order.items[3].name }}", {"order": {"items": [1]}}, "order.items.3"),
        ("{{ order.total.net }}", {"order": {"total": None}}, "order.total.net"),
        ("{{ order.total }}", {"order": ["total"]}, "order.total"),
        ("{% if vip %}x{% endif %}", {}, "vip"),
        ("{% for x in xs %}{% endfor %}", {}, "xs"),
        ("{% for x in xs %}{% endfor %}{{ x }}", {"xs": [1]}, "x"),
        ("{{ a.b|default('x') }}", {}, "a"),
        ("{{ name|upper }}", {}, "name"),
        ("{{ order.total + 1 }}", {"order": {}}, "total"),
        ("{% for x in order.items|reverse %}{% endfor %}", {"order": {}}, "items"),
        ("{{ order.keys }}", {"order": {}}, "order.keys"),  # a method is no data
        ("{{ order.keys ~ '' }}", {"order": {}}, "keys"),
    ],
)
def test_a_missing_variable_is_named(fast: Implementation, source: str, data: dict[str, Any], name: str) -> None:
    with pytest.raises(VariableMissing) as caught:
        rendered(fast, source, data)
    assert caught.value.name == name


def test_a_key_of_the_data_comes_before_a_method(fast: Implementation) -> None:
    data = {"order": {"items": ["a", "b"], "keys": "k"}}
    assert rendered(fast, "{% for x in order.items %}{{ x }}{% endfor %}{{ order.keys }}", data) == "abk"
    assert rendered(fast, "{% for k, v in order.items() %}{{ k }} {% endfor %}", data) == "items keys "


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("a\nb {{ name }", 2),
        ("{% if a %}", 1),
        ("a\n\n{{ a|nothing }}", 3),
        ("{% if false %}\n{{ a|nothing }}{% endif %}", 2),
        ("{{ a is nothing }}", 1),
        ("\n{% include 'other' %}", 2),
        ("{{ a.__class__ }}", 1),
        ("{% for loop in a %}{% endfor %}", 1),
    ],
)
def test_an_invalid_template_is_told_with_its_part_and_line(fast: Implementation, source: str, line: int) -> None:
    with pytest.raises(TemplateInvalid) as caught:
        fast.render.compile_parts([(SUBJECT, "fine", False), (HTML, source, True)])
    assert (caught.value.part, caught.value.line) == (HTML, line)
    assert str(caught.value).startswith(f"line {line}: ")


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("{% for x in a %}{% endfor %}", {"a": 5}),
        ("{% if a < 'x' %}{% endif %}", {"a": 5}),
        ("{% if 'x' in a %}{% endif %}", {"a": 5}),
        ("{{ a / 0 }}", {"a": 5}),
        ("{{ a }}", {"a": "\ud800"}),
        ("{{ a }}", {"a": object()}),
        ("{{ a|lower|e }}", {"a": "\ud800"}),
    ],
)
def test_what_cannot_be_done_with_this_data_is_told(fast: Implementation, source: str, data: dict[str, Any]) -> None:
    with pytest.raises(RenderFailed) as caught:
        rendered(fast, source, data)
    assert not isinstance(caught.value, VariableMissing)


@pytest.mark.parametrize(
    "source", ["{{ a }}" * 17, "{{ a|safe }}" * 17, "{% for x in b %}{{ a }}{% endfor %}", "{{ a|e }}" * 4]
)
def test_output_is_limited(fast: Implementation, source: str) -> None:
    data = {"a": "&" * (MAX_OUTPUT // 16), "b": [1] * 17}
    with pytest.raises(RenderFailed, match="more than"):
        rendered(fast, source, data)
    assert len(rendered(fast, "{{ a }}" * 16, data)) == MAX_OUTPUT


def test_loops_shadow_and_come_back(fast: Implementation) -> None:
    source = (
        "{% for x in xs %}{{ x }}{% for x in ys %}{{ x }}{{ loop.index }}{% endfor %}{{ x }}{{ loop.last }} {% endfor %}{{ x }}"
    )
    assert rendered(fast, source, {"x": "out", "xs": "ab", "ys": [7]}) == "a71aFalse b71bTrue out"


def test_data_is_left_as_it_was(fast: Implementation) -> None:
    data: dict[str, Any] = {"xs": [1, 2]}
    assert rendered(fast, "{% for x in xs %}{{ x }}{% endfor %}", data) == "12"
    assert data == {"xs": [1, 2]}


# The cache


def test_what_is_seen_for_the_second_time_is_kept(fast: Implementation) -> None:
    cache, compiled = fast.render.RenderCache(1 << 20), fast.render.compile_parts([(TEXT, "{{ a }}", False)])
    first = cache.render(("order", 1, "en"), compiled, b'{"a":1}')
    assert cache.stats() == (0, 1, 0, 0)
    second = cache.render(("order", 1, "en"), compiled, b'{"a":1}')
    assert cache.render(("order", 1, "en"), compiled, bytes(bytearray(b'{"a":1}'))) is second
    assert unpack_parts(first) == unpack_parts(second) == {TEXT: b"1"}
    assert cache.stats()[:3] == (1, 2, 1)


@THOROUGH
@given(st.integers(0, 2000), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=40))
def test_twins_keep_alike(max_bytes: int, inputs: list[tuple[int, int]]) -> None:
    caches = [each.render.RenderCache(max_bytes) for each in (NATIVE, PURE)]
    compiled = [each.render.compile_parts([(TEXT, "{{ a }}", False)]) for each in (NATIVE, PURE)]
    for key, value in inputs:
        data = b'{"a":%d}' % value
        contents = [cache.render((key,), one, data) for cache, one in zip(caches, compiled, strict=True)]
        assert contents[0] == contents[1]
        assert caches[0].stats() == caches[1].stats()


def test_other_keys_and_data_are_rendered_apart(fast: Implementation) -> None:
    cache, one = fast.render.RenderCache(1 << 20), fast.render.compile_parts([(TEXT, "{{ a }}", False)])
    other = fast.render.compile_parts([(TEXT, "other {{ a }}", False)])
    contents = [
        cache.render(("order", 1), one, b'{"a":1}'),
        cache.render(("order", 2), other, b'{"a":1}'),
        cache.render(("order", 1), one, b'{"a":2}'),
    ]
    assert [unpack_parts(content)[TEXT] for content in contents] == [b"1", b"other 1", b"2"]
    assert cache.stats()[:3] == (0, 3, 0)


def test_the_least_recently_used_goes_first(fast: Implementation) -> None:
    compiled = fast.render.compile_parts([(TEXT, "{{ a }}", False)])
    size = len(b'{"a":1}') + 5 + 1 + ENTRY_OVERHEAD
    cache = fast.render.RenderCache(3 * size)
    for letter in (1, 1, 2, 2, 3, 3, 1, 4, 4):
        cache.render(("k",), compiled, b'{"a":%d}' % letter)
    assert cache.stats() == (1, 8, 3, 3 * size)
    cache.render(("k",), compiled, b'{"a":1}')
    assert cache.stats().hits == 2
    cache.render(("k",), compiled, b'{"a":2}')
    assert cache.stats().misses == 9


def test_what_is_larger_than_the_cache_is_not_kept(fast: Implementation) -> None:
    cache, compiled = fast.render.RenderCache(ENTRY_OVERHEAD), fast.render.compile_parts([(TEXT, "{{ a }}", False)])
    for _ in range(2):
        assert unpack_parts(cache.render(("k",), compiled, b'{"a":1}')) == {TEXT: b"1"}
    assert cache.stats() == (0, 2, 0, 0)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"a"', b"\xff", b'{"a":NaN}'])
def test_data_is_a_json_object(fast: Implementation, data: bytes) -> None:
    cache, compiled = fast.render.RenderCache(1 << 20), fast.render.compile_parts([(TEXT, "x", False)])
    with pytest.raises(RenderFailed):
        cache.render(("k",), compiled, data)
    assert cache.stats()[2:] == (0, 0)


def test_failures_are_not_kept(fast: Implementation) -> None:
    cache, compiled = fast.render.RenderCache(1 << 20), fast.render.compile_parts([(TEXT, "{{ a }}", False)])
    for _ in range(2):
        with pytest.raises(VariableMissing):
            cache.render(("k",), compiled, orjson.dumps({}))
    assert cache.stats()[2:] == (0, 0)


@pytest.mark.parametrize(
    ("language", "available", "expected"),
    [
        ("de-AT", ["en", "de", "de-AT"], "de-AT"),
        ("de-AT", ["en", "de"], "de"),
        ("de-at", ["en", "DE"], "DE"),
        ("zh-Hant-TW", ["zh-Hant", "zh"], "zh-Hant"),
        ("fr", ["en", "de"], "en"),
        ("de", ["en", "de-AT"], "en"),
        ("", ["de"], "en"),
        ("d", ["de"], "en"),
    ],
)
def test_language_falls_back(fast: Implementation, language: str, available: list[str], expected: str) -> None:
    assert fast.render.fallback(language, available, "en") == expected
