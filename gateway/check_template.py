"""Templates: every fault of one at once, in names, languages, parts and in the text itself. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core import parts as part_sources
from core.model import PARTS, Channel, Part
from fastpath import TemplateInvalid, compile_parts
from gateway import fields, views
from gateway.validate import Faults
from tidings.v1 import templates_pb2 as pb
from tidings.v1.types_pb2 import ErrorReason

VARIABLES = 64
VARIABLE_CHARACTERS = 64
CONTENTS = 200
PAIRS = 32  # of push data
KEY_CHARACTERS = 128

# As proto/ says: characters, or bytes where it counts bytes.
CHARACTERS = {Part.SUBJECT: 1_000, Part.TITLE: 1_000, Part.ACTION: 2_048}
BYTES = {Part.HTML: 524_288, Part.TEXT: 262_144, Part.BODY: 16_384, Part.DATA: 65_536}
ONE_LINE = frozenset({Part.SUBJECT, Part.ACTION})
NEEDED: dict[Channel, tuple[frozenset[Part], ...]] = {  # one of each set
    Channel.EMAIL: (frozenset({Part.SUBJECT}), frozenset({Part.HTML, Part.TEXT})),
    Channel.SMS: (frozenset({Part.TEXT}),),
    Channel.PUSH: (frozenset({Part.TITLE, Part.BODY, Part.DATA}),),
    Channel.IN_APP: (frozenset({Part.TITLE, Part.BODY}),),
}
# Keys of push data that FCM, APNs or tidings itself use.
RESERVED = frozenset({"aps", "from", "message_type"})
RESERVED_PREFIXES = ("google", "gcm", "tidings_")

_REQUIRED = ErrorReason.ERROR_REASON_REQUIRED
_FORMAT = ErrorReason.ERROR_REASON_INVALID_FORMAT
_LARGE = ErrorReason.ERROR_REASON_TOO_LARGE
_MANY = ErrorReason.ERROR_REASON_TOO_MANY_ITEMS
_TWICE = ErrorReason.ERROR_REASON_DUPLICATE_ITEM


@dataclass(slots=True)
class Checked:
    """What a template's check found: its languages in normal form, and all its faults with paths relative to it."""

    language: str = ""
    languages: list[str] = field(default_factory=list)  # one a content
    faults: Faults = field(default_factory=Faults)


def template(t: pb.Template) -> Checked:
    """Checks a template that is to be stored or rendered."""
    found = Checked()
    found.faults.check("name", fields.name, t.name)
    found.language = _language(t.default_language, "default_language", found.faults)
    declared = _variables(t, found.faults)
    if not t.contents:
        found.faults.note("contents", _REQUIRED, "is required: at least one")
    elif len(t.contents) > CONTENTS:
        found.faults.note("contents", _MANY, f"has {len(t.contents)} items; at most {CONTENTS} are allowed")
    else:
        _contents(t, declared, found)
    return found


def _language(text: str, path: str, faults: Faults) -> str:
    if not text:
        faults.note(path, _REQUIRED, "is required")
        return ""
    return faults.check(path, fields.language, text)


def _variables(t: pb.Template, faults: Faults) -> frozenset[str]:
    if len(t.variables) > VARIABLES:
        faults.note("variables", _MANY, f"has {len(t.variables)} items; at most {VARIABLES} are allowed")
        return frozenset(v.name for v in t.variables)
    declared: set[str] = set()
    for i, variable in enumerate(t.variables):
        path, name = f"variables[{i}].name", variable.name
        if not name:
            faults.note(path, _REQUIRED, "is required")
        elif len(name) > VARIABLE_CHARACTERS:
            faults.note(path, _LARGE, f"has {len(name)} characters; at most {VARIABLE_CHARACTERS} are allowed")
        elif not (name.isascii() and name.isidentifier()):
            faults.note(path, _FORMAT, f"{fields.quote(name)} may have ASCII letters, digits and '_', no digit first")
        elif name in declared:
            faults.note(path, _TWICE, f"{fields.quote(name)} stands twice")
        declared.add(name)
    return frozenset(declared)


def _contents(t: pb.Template, declared: frozenset[str], found: Checked) -> None:
    seen: set[tuple[int, str]] = set()
    for i, content in enumerate(t.contents):
        path = f"contents[{i}]"
        before = len(found.faults)
        language = _language(content.language, f"{path}.language", found.faults)
        found.languages.append(language)
        if not Channel.EMAIL <= content.channel <= Channel.IN_APP:
            text = f"{content.channel} is not a channel; 1 (email) to 4 (in-app) are"
            found.faults.note(f"{path}.channel", ErrorReason.ERROR_REASON_UNKNOWN_VALUE, text)
            continue
        if (content.channel, language) in seen and len(found.faults) == before:
            found.faults.note(path, _TWICE, "has the channel and language of one before it")
        seen.add((content.channel, language))
        _content(content, path, declared, found.faults)
    if found.language:
        for channel in sorted({channel for channel, _ in seen} - {c for c, language in seen if language == found.language}):
            text = f"there is no content for {Channel(channel).name.lower()} in the default language {found.language}"
            found.faults.note("contents", ErrorReason.ERROR_REASON_MISSING_CONTENT, text)


def _content(content: pb.Content, path: str, declared: frozenset[str], faults: Faults) -> None:
    channel = Channel(content.channel)
    sources = views.parts(content)
    for part, source in sources.items():
        at = f"{path}.{part.name.lower()}"
        if part not in PARTS[channel]:
            faults.note(at, _FORMAT, f"{channel.name.lower()} has no such part; leave it empty")
        elif part is Part.DATA and not _data(content.data, at, faults):
            continue
        elif _sized(part, source, at, faults):
            _compiles(part, source, at, declared, faults)
    for needed in NEEDED[channel]:
        if not needed & sources.keys():
            names = " or ".join(sorted(part.name.lower() for part in needed))
            faults.note(f"{path}.{min(needed).name.lower()}", _REQUIRED, f"{channel.name.lower()} needs {names}")


def _sized(part: Part, source: str, at: str, faults: Faults) -> bool:
    before = len(faults)
    if len(source) > CHARACTERS.get(part, len(source)):
        faults.note(at, _LARGE, f"has {len(source)} characters; at most {CHARACTERS[part]} are allowed")
    elif (size := len(source.encode())) > BYTES.get(part, size):
        faults.note(at, _LARGE, f"is {size} bytes long; at most {BYTES[part]} are allowed")
    elif "\0" in source:
        faults.note(at, _FORMAT, "has a NUL character")
    elif part in ONE_LINE and not source.isprintable():
        faults.note(at, _FORMAT, "has control characters or line breaks; use printable ones only")
    return len(faults) == before


def _data(data: Mapping[str, str], at: str, faults: Faults) -> bool:
    before = len(faults)
    if len(data) > PAIRS:
        faults.note(at, _MANY, f"has {len(data)} pairs; at most {PAIRS} are allowed")
    for key in list(data)[:PAIRS]:
        if not key or len(key) > KEY_CHARACTERS or not key.isprintable():
            faults.note(at, _FORMAT, f"the key {fields.quote(key)} must be 1 to {KEY_CHARACTERS} printable characters")
        elif key.lower() in RESERVED or key.lower().startswith(RESERVED_PREFIXES):
            faults.note(f"{at}.{key}", _FORMAT, "is a key that FCM, APNs or tidings reserve; use another one")
        elif "\0" in data[key]:
            faults.note(f"{at}.{key}", _FORMAT, "has a NUL character")
    return len(faults) == before


def _compiles(part: Part, source: str, at: str, declared: frozenset[str], faults: Faults) -> None:
    try:
        used = compile_parts(part_sources.sources({part: source})).variables
    except TemplateInvalid as error:
        faults.note(at, ErrorReason.ERROR_REASON_INVALID_TEMPLATE, str(error))
        return
    for name in sorted(used - declared):
        text = f"uses {fields.quote(name)}, which variables does not declare"
        faults.note(at, ErrorReason.ERROR_REASON_INVALID_TEMPLATE, text)
