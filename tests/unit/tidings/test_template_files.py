"""Template files: the shape is read and checked here, and the examples we ship are whole."""

import re
from pathlib import Path

import pytest

from core.model import PARTS, Channel
from tidings import messages, template_files
from tidings.template_files import BadFile

EXAMPLES = Path(template_files.__file__).parent / "examples"

GOOD = """
name = "hello"
default_language = "de"
variables = ["name", "note?"]

[email.de]
subject = "Hallo {{ name }}"
html = { file = "hello.html" }

[push.de]
title = "Hallo"
body = "..."
data = { screen = "home" }
"""


def write(folder: Path, text: str, name: str = "hello.toml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_a_file_with_another_beside_it(tmp_path: Path) -> None:
    (tmp_path / "hello.html").write_text("<p>Hallo</p>")
    t = template_files.load(write(tmp_path, GOOD))
    assert (t.name, t.default_language, t.variables) == ("hello", "de", ("name", "note?"))
    assert t.contents == {
        "email": {"de": {"subject": "Hallo {{ name }}", "html": "<p>Hallo</p>"}},
        "push": {"de": {"title": "Hallo", "body": "...", "data": {"screen": "home"}}},
    }


def test_name_and_default_language_can_be_left_out(tmp_path: Path) -> None:
    t = template_files.load(write(tmp_path, '[sms.fr]\ntext = "Bonjour"', "welcome.toml"))
    assert (t.name, t.default_language, t.variables) == ("welcome", "fr", ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "is not TOML"),
        ('[fax.en]\ntext = "x"', "'fax' is not known"),
        ('name = "x"', "has no texts"),
        ('variables = "name"\n[sms.en]\ntext = "x"', "variables a list of strings"),
        ('[sms]\ntext = "x"', r"a table for each language, e.g. \[sms.en\]"),
        ("[sms.en]\ntext = 5", r"\[sms.en\] text is a string"),
        ('[email.en]\nhtml = { file = "missing.html" }', "'missing.html', which cannot be read"),
        ("[push.en]\ndata = { screen = 5 }", "data is a table of strings"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadFile, match=words):
        template_files.load(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"hello\.toml: No such file"):
        template_files.load(tmp_path / "hello.toml")


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.toml")), ids=lambda file: file.stem)
def test_our_examples_are_whole(file: Path) -> None:
    t = template_files.load(file)
    messages.template(t.name, t.contents, t.default_language, t.variables)
    declared = {name.removesuffix("?") for name in t.variables}
    for channel, languages in t.contents.items():
        assert t.default_language in languages
        allowed = {part.name.lower() for part in PARTS[Channel[channel.upper()]]}
        for parts in languages.values():
            assert parts.keys() <= allowed
            used = set(re.findall(r"{{ ?(\w+)", str(parts))) - {"item"}
            assert used <= declared
