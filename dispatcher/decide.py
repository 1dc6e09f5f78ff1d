"""What becomes of one notification: which deliveries, in which words, and why not. Pure: plain values in, plain values out.

Reads no clock, asks no store and packs no frame; dispatcher/station.py fetches what goes in and carries out what comes out.
"""

from collections.abc import Sequence
from functools import lru_cache

from core import verdicts
from core.keys import CHANNEL_NAMES
from core.model import Channel, Status
from core.verdicts import Verdict
from dispatcher.reach import Reach, given_mask, reach
from dispatcher.rules import DEFAULT_RULES
from dispatcher.templates import Template, TemplateKey
from fastpath import (
    Contact,
    Course,
    Letter,
    Plan,
    Planner,
    Record,
    Refusal,
    RenderCache,
    RenderFailed,
    Route,
    Router,
    Rule,
    TemplateInvalid,
    VariableMissing,
    Way,
)

ALL_CHANNELS = sum(channel.mask for channel in Channel)
REASON_CHARS = 300  # a template's own error message may quote the whole data


@lru_cache(maxsize=8192)
def explain(*looked: Verdict) -> bytes:
    """Verdicts as records carry them, see core/verdicts.py."""
    return verdicts.pack(*looked)


class Decider:
    """The rules of the dispatcher, in their order: expiry, recipient, template, route, language, rendering.

    Args:
        renders: what was rendered before, for inputs that come again.
        rules: routing rules that come before the default ones.
    """

    def __init__(self, renders: RenderCache, rules: Sequence[Rule] = ()) -> None:
        self._router = Router((*rules, *DEFAULT_RULES))
        self._renders = renders

    def planner(
        self, people: dict[str, tuple[Contact | None, int]], templates: dict[TemplateKey, tuple[Template | None, int]]
    ) -> Planner:
        """The native short cut to what `plan` decides, over the given shelves."""
        return Planner(people, templates, self.course, self._renders)

    def plan(self, record: Record, stored: Contact | None, template: Template | None, standing: str) -> Plan:
        """Decides over one notification.

        Args:
            record: the notification.
            stored: what is stored of its recipient, None if there is none.
            template: its template, None if nobody has it.
            standing: where the recipient's addresses come from: "given", "stored", "unknown" (nobody has the id) or
                "away" (could not be asked for, given addresses suffice).
        """
        if standing == "unknown" and not given_mask(record):
            reason = f"unknown_recipient: nobody has the id {record.recipient_id!r} and no address was given"
            return self._refuse_all(record, Status.SUPPRESSED, "unknown_recipient", reason)
        if template is None:
            version = f" v{record.version}" if record.version else ""
            reason = f"nobody has the template {record.template!r}{version}"
            return self._refuse_all(record, Status.FAILED, "unknown_template", reason)
        return self._route(record, reach(record, stored), template, ("recipient", standing, ""))

    def expired(self, record: Record) -> Plan:
        """The plan of a notification whose time is over."""
        return self._refuse_all(record, Status.EXPIRED, "expired", "expired: its expires_at passed before it was sent")

    def duplicate(self, record: Record, plan: Plan, earlier: str) -> Plan:
        """What is left of `plan` if the recipient was sent the same content before, under the id `earlier`."""
        reason = f"duplicate: the same content went out as {earlier} within {record.extra} s"
        why = explain(("duplicate", "suppressed", earlier))
        targets = [letter.target for letter in plan.letters]
        refusals = [Refusal(t.channel, Status.SUPPRESSED, "duplicate", reason, why, t.device) for t in targets]
        return Plan((), (*plan.refusals, *refusals), plan.version)

    def _wanted(self, record: Record, available: int) -> tuple[int, ...]:
        """The channels asked for, or the one of `available` (a mask) that the rules would take."""
        found = self._route_of(record, available)
        return found.channels if record.channel else found.channels[:1]

    def _refuse_all(self, record: Record, status: Status, rule: str, reason: str) -> Plan:
        why = explain((rule, status.name.lower(), ""))
        wanted = self._wanted(record, ALL_CHANNELS)
        return Plan((), tuple(Refusal(channel, status, rule, reason, why) for channel in wanted), record.version)

    def course(self, record: Record, template: Template, available: int, wish: str, standing: str) -> Course | None:
        """What `plan` would decide before rendering, for fastpath.Planner to remember; None where it would refuse anything.

        Args:
            record: of it only type, priority, class and the channels asked for count.
            template: its template.
            available: mask of the channels that the recipient has an address for.
            wish: the language wished for, "" for none.
            standing: as for `plan`.
        """
        found = self._route_of(record, available & template.channels)
        if found.missing or not found.channels:
            return None
        looked = (("recipient", standing, ""), _routed(found))
        try:
            return Course(template.version, tuple(_way(template, channel, wish, looked) for channel in found.channels))
        except TemplateInvalid:
            return None

    def _route_of(self, record: Record, available: int) -> Route:
        return self._router.route(record.type, record.priority, record.klass, record.channel, available)

    def _route(self, record: Record, whom: Reach, template: Template, first: Verdict) -> Plan:
        found = self._route_of(record, whom.available & template.channels)
        looked = (first, _routed(found))
        letters: list[Letter] = []
        refusals: list[Refusal] = []
        missing = found.missing
        if not found.channels and not missing:
            missing = self._wanted(record, template.channels) or self._wanted(record, ALL_CHANNELS)
        for channel in missing:
            refusals.append(_unreachable(channel, whom, template, looked))
        for channel in found.channels:
            try:
                way = _way(template, channel, whom.language, looked)
                content = self._renders.render(way.key, way.compiled, record.data or b"{}")
            except VariableMissing as error:
                reason = f"data lacks the variable {error.name!r} that template {template.label} uses"
                refusals.append(_unrendered(channel, "missing_variable", reason, looked))
            except (RenderFailed, TemplateInvalid) as error:
                reason = f"template {template.label}: {error}"[:REASON_CHARS]
                refusals.append(_unrendered(channel, "template_error", reason, looked))
            else:
                letters += [Letter(target, way.language, content, way.verdicts) for target in whom.targets[channel - 1]]
        return Plan(tuple(letters), tuple(refusals), template.version)


def _way(template: Template, channel: int, wish: str, looked: tuple[Verdict, ...]) -> Way:
    language, compiled = template.content(channel, wish)
    why = explain(*looked, ("language", language, wish))
    return Way(channel, language, compiled, (template.name, template.version, channel, language), why)


def _routed(found: Route) -> Verdict:
    return ("route", _names(found.channels), found.rule)


def _unreachable(channel: int, whom: Reach, template: Template, looked: tuple[Verdict, ...]) -> Refusal:
    """Why a channel that was asked for is not taken: no address, or nothing to say on it."""
    name = CHANNEL_NAMES[Channel(channel)]
    if whom.available & Channel(channel).mask:
        why = explain(*looked, ("content", "failed", name))
        return Refusal(channel, Status.FAILED, "no_content", f"template {template.label} has no content for {name}", why)
    why = explain(*looked, ("no_address", "suppressed", name))
    return Refusal(channel, Status.SUPPRESSED, "no_address", f"no_address: the recipient has none for {name}", why)


def _unrendered(channel: int, rule: str, reason: str, looked: tuple[Verdict, ...]) -> Refusal:
    return Refusal(channel, Status.FAILED, rule, reason, explain(*looked, (rule, "failed", "")))


@lru_cache(maxsize=64)
def _names(channels: tuple[int, ...]) -> str:
    return ",".join(CHANNEL_NAMES[Channel(channel)] for channel in channels) or "none"
