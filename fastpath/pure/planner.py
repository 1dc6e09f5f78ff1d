"""Twin of fastpath/planner.pyx: the usual notification's plan, by what was decided before; the rest is handed back. No I/O."""

from collections.abc import Callable
from typing import Any

import orjson

from fastpath.errors import FrameError, RenderFailed, VariableMissing
from fastpath.layout import NOTIFICATION
from fastpath.pure.records import Record
from fastpath.pure.render import RenderCache
from fastpath.values import COURSES_MAX, Contact, Course, Letter, Plan, Target

EMAIL, SMS, PUSH, IN_APP = 1, 2, 3, 4  # channels of core.model
EMAIL_MASK, SMS_MASK, PUSH_MASK, IN_APP_MASK = 1, 2, 4, 8
TEXT_MAX = 255  # bytes of a language, a type, a template's name that decisions are remembered for


class Planner:
    """Plans notifications whose recipient and template are known, and of which nothing is refused.

    Args:
        people: what is kept of recipients: id -> (contact, None if nobody has the id; fresh until, ms). Only read.
        templates: what is kept of templates: (name, version) -> (template, None if nobody has it; fresh until, ms). A
            template is an object with a dict `courses`, in which this class remembers.
        course: decides: (record, template, mask of the channels with an address, language wished for, "given" or "stored":
            where the addresses come from) -> the course, None if anything is refused. What it decides may depend on nothing
            else of the record than type, priority, class and the channels asked for.
        renders: renders.
    """

    def __init__(
        self,
        people: dict[str, tuple[Contact | None, int]],
        templates: dict[tuple[str, int], tuple[Any, int]],
        course: Callable[[Record, Any, int, str, str], Course | None],
        renders: RenderCache,
    ) -> None:
        self._people, self._templates, self._course, self._renders = people, templates, course, renders

    def plan(self, records: list[Record], now_ms: int) -> tuple[list[Plan | None], list[int]]:
        """The plan of each notification, None of what has to be looked at more closely; and the indices of those.

        That is: expired, devices given, a recipient or template that is not kept, not fresh or does not exist, something to
        be refused, a rendering that fails, text that is not UTF-8.
        """
        plans = [self._plan(record, now_ms) for record in records]
        return plans, [index for index, plan in enumerate(plans) if plan is None]

    def _plan(self, record: Record, now_ms: int) -> Plan | None:
        if record.kind != NOTIFICATION or record.devices or 0 != record.expires_ms <= now_ms:
            return None
        try:
            template = _fresh(self._templates, (record.template, record.version), now_ms)
            if template is None:
                return None
            stored = _fresh(self._people, record.recipient_id, now_ms) if _must_look_up(record) else None
            if _must_look_up(record) and stored is None:
                return None
            course = self._decided(record, template, stored)
            return None if course is None else self._write(record, course, stored)
        except (FrameError, VariableMissing, RenderFailed):
            return None

    def _write(self, record: Record, course: Course, stored: Contact | None) -> Plan:
        letters: list[Letter] = []
        for way in course.ways:
            content = self._renders.render(way.key, way.compiled, record.data or b"{}")
            letters += [Letter(to, way.language, content, way.verdicts) for to in _targets(record, way.channel, stored)]
        return Plan(tuple(letters), (), course.version)

    def _decided(self, record: Record, template: Any, stored: Contact | None) -> Course | None:
        available = (_stored(stored) if stored else 0) | _given(record) | (IN_APP_MASK if record.recipient_id else 0)
        language = record.language or (stored[4] if stored else "")
        if any(len(text.encode()) > TEXT_MAX for text in (language, record.type, record.template)):
            return None
        key = (record.priority, record.klass, record.channel, available, stored is None, language, record.type)
        if key not in template.courses:
            if len(template.courses) >= COURSES_MAX:
                template.courses.clear()
            standing = "given" if stored is None else "stored"
            template.courses[key] = self._course(record, template, available, language, standing)
        course: Course | None = template.courses[key]
        return course


def _given(record: Record) -> int:
    return (EMAIL_MASK if record.email else 0) | (SMS_MASK if record.phone else 0)


def _stored(contact: Contact) -> int:
    """Mask of the channels that a stored recipient has an address for; the inbox is not asked about."""
    _, email, phone, devices, _ = contact
    return (EMAIL_MASK if email else 0) | (SMS_MASK if phone else 0) | (PUSH_MASK if devices else 0)


def _must_look_up(record: Record) -> bool:
    """True if the recipient store may know something that the notification needs and was not given."""
    given, asked = _given(record), record.channel
    if not record.recipient_id:
        return False
    return not (given and asked and not asked & ~(given | IN_APP_MASK) and record.language)


def _fresh(kept: dict[Any, tuple[Any, int]], key: object, now_ms: int) -> Any:
    value, fresh_until = kept.get(key, (None, 0))
    return value if fresh_until > now_ms else None


def _targets(record: Record, channel: int, stored: Contact | None) -> tuple[Target, ...]:
    """Where a message goes on a channel that there is an address for: what was given comes before what is stored."""
    _, email, phone, devices, _ = stored or ("", "", "", "[]", "")
    if channel == EMAIL:
        return (Target(EMAIL, record.email or email),)
    if channel == SMS:
        return (Target(SMS, record.phone or phone),)
    if channel == PUSH:
        return tuple(Target(PUSH, token, platform, i) for i, (platform, token) in enumerate(orjson.loads(devices)))
    return (Target(IN_APP, record.recipient_id),)
