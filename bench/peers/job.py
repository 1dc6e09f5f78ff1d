"""The job that every contender does with a message: drop what was seen, render, record. Needs Jinja2 and orjson, none of ours.

A message is the JSON of bench.pipeline's notifications; one in ten repeats the one before it. The record is one element of a
Redis list. Each contender's module fills its own queue and works it off: `python -m bench.peers.on_NAME fill|work ...`.
"""

import random
import sys
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import blake2b
from typing import Any

import jinja2
import orjson

OUT = "peers:out"  # list: one element for each message that is done
SEEN = "peers:seen:"  # string: who was first with this content
SEEN_S = 3600
LANGUAGES = ("en", "de", "fr", "es", "pl")
REPEAT_EVERY = 10
PLAIN = "{{ name }}: {{ order }} ({{ total }})"
LOOP = "<h1>{{ name }}</h1><ul>{% for item in items %}<li>{{ item.title }}: {{ item.price }}</li>{% endfor %}</ul>"


def messages(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Messages, the same for every contender."""
    dice = random.Random(seed)
    last: dict[str, Any] = {}
    for i in range(count):
        if i % REPEAT_EVERY == REPEAT_EVERY - 1:
            yield last | {"id": i}
            continue
        who = dice.randrange(10_000)
        goods = [{"title": f"thing {dice.randrange(1000)}", "price": f"{dice.randrange(100)}.00"} for _ in range(3)]
        last = {
            "id": i,
            "recipient": f"person-{who}",
            "language": LANGUAGES[who % len(LANGUAGES)],
            "template": ("plain", "loop")[i % 2],
            "data": {"name": f"Person {i}", "order": f"{seed}-{i}", "total": f"{i}.00", "items": goods},
        }
        yield last


def seen_key(message: dict[str, Any]) -> str:
    """The mark of a message's content."""
    content = orjson.dumps([message["recipient"], message["template"], message["data"]])
    return SEEN + blake2b(content, digest_size=16).hexdigest()


@cache
def _templates(name: str, language: str) -> tuple[jinja2.Template, ...]:
    """Subject, HTML and text, compiled once."""
    text, html = jinja2.Environment(autoescape=False), jinja2.Environment(autoescape=True)
    body = html.from_string(LOOP if name == "loop" else PLAIN)
    return text.from_string(language + " {{ order }}"), body, text.from_string(PLAIN)


def done(message: dict[str, Any], first: object) -> bytes:
    """The record: rendered if this message was the `first` with its content (SET NX answered OK)."""
    if not first:
        return orjson.dumps([message["id"], "suppressed"])
    parts = [template.render(message["data"]) for template in _templates(message["template"], message["language"])]
    return orjson.dumps([message["id"], "queued", *parts])


def main(fill: Callable[[str, int, int], None], work: Callable[[str, int], None]) -> None:
    """The command line of a contender: `fill URL COUNT SEED`, or `work URL PROCESSES` until it is terminated."""
    verb, url, *numbers = sys.argv[1:]
    if verb == "fill":
        count, seed = map(int, numbers)
        fill(url, count, seed)
    else:
        work(url, int(numbers[0]))
