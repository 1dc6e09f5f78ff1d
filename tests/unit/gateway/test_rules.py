"""Whatever the buf.validate annotations in proto/ refuse, the gateway's own validator refuses too, at the same field.

protovalidate, the annotations' own engine, is the judge; messages are broken one rule at a time and at random.
"""

import asyncio
import importlib.resources
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import protovalidate
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import keys
from core.clock import ManualClock
from core.ids import format_id, new_id
from core.model import Channel
from gateway import check_template, validate
from gateway.admin import Admin
from gateway.door import _ORIGIN
from gateway.drain import Drain
from gateway.errors import Refusal, Violation, invalid
from gateway.inbox import Inbox
from gateway.intake import Answer, Intake, Origin, Taken
from gateway.notifications import Notifications
from gateway.recipients import Recipients
from gateway.templates import Templates
from tests.unit.gateway.samples import NOW_MS, notification, recipient, template
from tidings.v1 import admin_pb2, inbox_pb2, notifications_pb2, recipients_pb2, templates_pb2, types_pb2

PROTO = Path(__file__).parents[3] / "proto"
MODULES = (admin_pb2, inbox_pb2, notifications_pb2, recipients_pb2, templates_pb2, types_pb2)
ID = format_id(new_id(1, 2, NOW_MS))

Check: TypeAlias = Callable[[Any], list[Violation]]


# The judge ------------------------------------------------------------------------------------------------------------


@cache
def annotated() -> descriptor_pool.DescriptorPool:
    """tidings.v1 with its annotations, which the generated stubs do not have."""
    arguments = [f"-I{PROTO}", f"-I{importlib.resources.files('grpc_tools') / '_proto'}", "--include_imports"]
    names = [module.DESCRIPTOR.name for module in MODULES]
    command = [sys.executable, "-m", "grpc_tools.protoc", *arguments, "--descriptor_set_out=/dev/stdout", *names]
    files = descriptor_pb2.FileDescriptorSet.FromString(subprocess.run(command, check=True, capture_output=True).stdout)
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


JUDGE = protovalidate.Validator()


def judged(message: Message) -> list[str]:
    """Paths of the fields that the annotations refuse."""
    kind = message_factory.GetMessageClass(annotated().FindMessageTypeByName(message.DESCRIPTOR.full_name))
    return [
        path_of(violation.proto.field) for violation in JUDGE.collect_violations(kind.FromString(message.SerializeToString()))
    ]


def path_of(path: Any) -> str:
    text = ""
    for element in path.elements:
        text += f".{element.field_name}"
        if element.subscript is not None and element.subscript.field == "index":
            text += f"[{element.subscript.value}]"
    return text[1:]


# The judged -----------------------------------------------------------------------------------------------------------


class PassedAll(Exception):
    """The checks are over: the message was let through to the stores."""


class Stop:
    """In place of every store: nothing behind the checks is wanted here."""

    def __getattr__(self, name: str) -> Any:
        def passed(*_: object, **__: object) -> Any:
            raise PassedAll

        return passed


class CheckOnly(Intake):
    """Checks, and goes no further."""

    def __init__(self) -> None:
        pass

    async def read(self, wire: bytes, most: int, origin: Origin) -> list[Taken]:
        return []

    async def accept(self, taken: Any, notifications: Any, origin: Origin) -> list[Answer]:
        answers: list[Answer] = []
        for each in notifications:
            faults = validate.notification(each, NOW_MS)[1]
            if not faults:
                raise PassedAll
            answers.append(invalid(faults))
        return answers


STOP: Any = Stop()
CLOCK = ManualClock(NOW_MS)
SERVICES: dict[str, Any] = {
    "notifications": Notifications(CheckOnly(), STOP, STOP, drain=Drain(), clock=CLOCK),
    "templates": Templates(STOP, STOP, STOP),
    "recipients": Recipients(STOP, STOP),
    "admin": Admin(STOP, 4, letters=STOP, admission=STOP, ledger=STOP),
    "inbox": Inbox(STOP, STOP, STOP, partitions=4, drain=Drain(), clock=CLOCK),
}


def by_service(service: str, method: str) -> Check:
    async def call(request: Message) -> list[Violation]:
        _ORIGIN.set(Origin("tests", ""))
        raw = isinstance(request, notifications_pb2.SendRequest)
        answer = getattr(SERVICES[service], method)(request.SerializeToString() if raw else request, None)
        try:
            if hasattr(answer, "__aiter__"):
                await anext(answer)
            else:
                await answer
        except Refusal as refusal:
            return list(refusal.violations)
        except PassedAll:
            pass
        return []

    return lambda request: asyncio.run(call(request))


def checked_notification(message: notifications_pb2.Notification) -> list[Violation]:
    return validate.notification(message, NOW_MS)[1]


LETTERS = admin_pb2.DeadLetterFilter(
    channels=[types_pb2.CHANNEL_SMS],
    type="a",
    error_classes=[admin_pb2.ERROR_CLASS_POISON],
    keys=[f"1-0@{keys.dead(0, Channel.SMS)}"],
)


def preview() -> templates_pb2.PreviewRequest:
    request = templates_pb2.PreviewRequest(template=template(), channel=types_pb2.CHANNEL_SMS)
    request.data.update({"name": "Ada"})
    return request


CASES: list[tuple[Message, Check]] = [
    (notification(), checked_notification),
    (recipient(), lambda message: validate.recipient(message)[1]),
    (template(), lambda message: check_template.template(message).faults),
    (notifications_pb2.SendRequest(notification=notification()), by_service("notifications", "Send")),
    (notifications_pb2.GetRequest(notification_id=ID), by_service("notifications", "Get")),
    (notifications_pb2.ListRequest(recipient_id="ada", type="a", page_size=3), by_service("notifications", "List")),
    (templates_pb2.PutRequest(template=template()), by_service("templates", "Put")),
    (templates_pb2.TemplatesServiceGetRequest(name="a"), by_service("templates", "Get")),
    (templates_pb2.TemplatesServiceListRequest(page_size=3), by_service("templates", "List")),
    (templates_pb2.PreviewRequest(name="a", channel=types_pb2.CHANNEL_SMS, language="de"), by_service("templates", "Preview")),
    (preview(), by_service("templates", "Preview")),
    (recipients_pb2.UpsertRequest(recipient=recipient()), by_service("recipients", "Upsert")),
    (recipients_pb2.RecipientsServiceGetRequest(recipient_id="ada"), by_service("recipients", "Get")),
    (inbox_pb2.InboxServiceListRequest(recipient_id="ada", page_size=3), by_service("inbox", "List")),
    (inbox_pb2.WatchRequest(recipient_id="ada", after_notification_id=ID), by_service("inbox", "Watch")),
    (inbox_pb2.MarkReadRequest(recipient_id="ada", notification_ids=[ID]), by_service("inbox", "MarkRead")),
]
CASES += [
    (admin_pb2.ListDeadLettersRequest(filter=LETTERS), by_service("admin", "ListDeadLetters")),
    (admin_pb2.ReplayDeadLettersRequest(filter=LETTERS, per_second=5), by_service("admin", "ReplayDeadLetters")),
    (admin_pb2.DropDeadLettersRequest(filter=LETTERS), by_service("admin", "DropDeadLetters")),
    (admin_pb2.HaltChannelRequest(channel=types_pb2.CHANNEL_SMS, reason="costs"), by_service("admin", "HaltChannel")),
    (admin_pb2.ResumeChannelRequest(channel=types_pb2.CHANNEL_SMS), by_service("admin", "ResumeChannel")),
]
NAMES = [f"{i}-{type(message).__name__}" for i, (message, _) in enumerate(CASES)]


# One rule at a time ---------------------------------------------------------------------------------------------------


def bad_values(rules: Any) -> Iterator[Any]:
    """Values just outside of each rule of a field."""
    kind = rules.WhichOneof("type")
    rule: Any = getattr(rules, kind) if kind else None
    if kind == "string":
        yield from ([""] if rule.min_len or rules.required or rule.uuid else [])
        yield from (["x" * (rule.max_len + 1)] if rule.HasField("max_len") else [])
        yield from (["x" * (rule.max_bytes + 1), "é" * (rule.max_bytes // 2 + 1)] if rule.HasField("max_bytes") else [])
        yield from (["a b", "-a", "a\n", "ä"] if rule.HasField("pattern") else [])
        yield from ([ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}"] if rule.uuid else [])
    elif kind == "int32":
        yield from ([rule.gte - 1] if rule.HasField("gte") else [])
        yield from ([rule.lte + 1] if rule.HasField("lte") else [])
    elif kind == "uint32":
        yield rule.lte + 1
    elif kind == "enum":
        yield from [-1, 99, *rule.not_in] if rule.defined_only else rule.not_in


def broken(message: Message) -> Iterator[tuple[str, Message]]:
    """Copies of `message`, each with one rule of one field broken, anywhere inside of it."""
    descriptor = annotated().FindMessageTypeByName(message.DESCRIPTOR.full_name)
    options: Any = message_factory.GetMessageClass(annotated().FindMessageTypeByName("google.protobuf.FieldOptions"))
    extension = annotated().FindExtensionByName("buf.validate.field")
    for field in descriptor.fields:
        rules = options.FromString(field.GetOptions().SerializeToString()).Extensions[extension]
        yield from broken_field(message, field, rules)


def broken_field(message: Message, field: Any, rules: Any) -> Iterator[tuple[str, Message]]:
    name = field.name
    value = getattr(message, name)
    if rules.required and field.message_type:
        copy = clone(message)
        copy.ClearField(name)
        yield name, copy
    if rules.WhichOneof("type") == "repeated":
        yield from broken_list(message, name, rules.repeated)
    elif rules.WhichOneof("type") == "map":
        copy = clone(message)
        getattr(copy, name).update({f"k{i}": "v" for i in range(rules.map.max_pairs + 1)})
        yield name, copy
    elif rules.WhichOneof("type") == "duration":
        for seconds, nanos in ((-1, 0), (0, -1), (rules.duration.lte.seconds, 1)):
            copy = clone(message)
            getattr(copy, name).seconds, getattr(copy, name).nanos = seconds, nanos
            yield name, copy
    for bad in bad_values(rules):
        copy = clone(message)
        setattr(copy, name, bad)
        yield name, copy
    ours = field.message_type and field.message_type.full_name.startswith("tidings.")
    if ours and not field.is_repeated and message.HasField(name):
        for path, inner in broken(value):
            copy = clone(message)
            getattr(copy, name).CopyFrom(inner)
            yield f"{name}.{path}", copy


def broken_list(message: Message, name: str, rules: Any) -> Iterator[tuple[str, Message]]:
    items = list(getattr(message, name))
    if rules.min_items:
        yield f"{name}!", with_items(message, name, [])
    if rules.HasField("max_items"):
        yield f"{name}!", with_items(message, name, ((items or [1]) * (rules.max_items + 1))[: rules.max_items + 1])
    if rules.unique:
        yield name, with_items(message, name, [*items, items[0]])
    for bad in bad_values(rules.items):
        yield f"{name}[0]", with_items(message, name, [bad])
    for i, item in enumerate(items[:2]):
        if isinstance(item, Message):
            for path, inner in broken(item):
                yield f"{name}[{i}].{path}", with_items(message, name, [*items[:i], inner, *items[i + 1 :]])


def with_items(message: Message, name: str, items: list[Any]) -> Message:
    copy = clone(message)
    copy.ClearField(name)
    getattr(copy, name).extend(items)
    return copy


def clone(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def same_field(path: str, found: str) -> bool:
    """Whether a violation at `found` tells of the fault at `path`: at it ("!": exactly), in it, or at the list around it."""
    if path.endswith("!"):
        return found == path[:-1]
    return found == path or found.startswith((f"{path}[", f"{path}.")) or path.startswith((f"{found}[", f"{found}."))


@pytest.mark.parametrize(("message", "check"), CASES, ids=NAMES)
def test_a_good_message_is_accepted_by_both(message: Message, check: Check) -> None:
    assert judged(message) == []
    assert check(message) == []


@pytest.mark.parametrize(("message", "check"), CASES, ids=NAMES)
def test_each_broken_rule_is_noticed_at_its_field(message: Message, check: Check) -> None:
    count = 0
    for path, bad in broken(message):
        assert judged(bad), f"{path}: the annotation accepts what was meant to break it"
        found = [violation.field for violation in check(bad)]
        assert any(same_field(path, field) for field in found), f"{path}: {found}"
        count += 1
    assert count


# At random ------------------------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(
    ["", "a", "de", "a b", "a\nb", "x" * 36, "x" * 129, "x" * 256, "x" * 2049, "ada@example.com", ID]
) | st.text(max_size=40)
NUMBERS = st.sampled_from([-1, 0, 1, 2, 4, 5, 99, 200, 201, 500, 501, 2**31 - 1])


def scramble(draw: st.DrawFn, message: Message, depth: int = 0) -> None:
    """Sets some fields of a message to anything."""
    fields = [f for f in message.DESCRIPTOR.fields if f.message_type is None or f.message_type.full_name.startswith("tidings.")]
    for field in draw(st.lists(st.sampled_from(fields), max_size=3, unique_by=lambda f: f.name)):
        if field.is_repeated:
            items = getattr(message, field.name)
            if field.message_type is None:
                del items[:]
                items.extend(draw(st.lists(value_of(field), max_size=6)))
            elif field.message_type.GetOptions().map_entry:
                items.update(draw(st.dictionaries(TEXTS, TEXTS, max_size=3)))
            elif items and depth < 3:
                scramble(draw, items[draw(st.integers(0, len(items) - 1))], depth + 1)
        elif field.message_type is None:
            setattr(message, field.name, draw(value_of(field)))
        elif draw(st.booleans()):
            message.ClearField(field.name)
        elif depth < 3:
            scramble(draw, getattr(message, field.name), depth + 1)


def value_of(field: Any) -> st.SearchStrategy[Any]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return TEXTS
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64):
        return NUMBERS.filter(lambda number: number >= 0)
    return NUMBERS


@st.composite
def scrambled(draw: st.DrawFn) -> tuple[Message, Check]:
    message, check = draw(st.sampled_from(CASES))
    copy = clone(message)
    scramble(draw, copy)
    return copy, check


@given(scrambled())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_the_annotations_refuse_is_refused(case: tuple[Message, Check]) -> None:
    message, check = case
    refused = judged(message)
    if refused:
        found = [violation.field for violation in check(message)]
        assert found, refused


def test_every_rule_of_requests_is_of_a_kind_that_these_tests_break() -> None:
    known = {"string", "int32", "uint32", "enum", "repeated", "map", "duration", None}
    rules_of = annotated().FindMessageTypeByName("buf.validate.FieldRules")
    assert {field.name for field in rules_of.oneofs_by_name["type"].fields} <= known
    assert {type(message).__name__ for message, _ in CASES} >= requests() - {"SendBatchRequest", "SendStreamRequest"}


def requests() -> set[str]:
    """Names of all request messages that have fields."""
    services = [service for module in MODULES for service in module.DESCRIPTOR.services_by_name.values()]
    inputs: list[Descriptor] = [method.input_type for service in services for method in service.methods]
    return {each.name for each in inputs if each.fields}
