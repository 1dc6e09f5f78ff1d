"""What becomes of one notification: which deliveries, in which words, and why not. Pure: plain values in, plain values out.

Reads no clock, asks no store and packs no frame; dispatcher/station.py fetches what goes in and carries out what comes out.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import orjson

from core.keys import CHANNEL_NAMES
from core.model import Channel, Status
from dispatcher.reach import Reach, Target, given_mask, reach
from dispatcher.rules import DEFAULT_RULES
from dispatcher.templates import Template
from fastpath import Record, RenderCache, RenderFailed, Router, Rule, TemplateInvalid, VariableMissing
from ledger.values import StoredRecipient

ALL_CHANNELS = sum(channel.mask for channel in Channel)
REASON_CHARS = 300  # a template's own error message may quote the whole data

Verdict: TypeAlias = tuple[str, str, str]  # rule, verdict, detail


class Letter(NamedTuple):
    """A delivery to make: where to, in which language, with which packed parts, and the verdicts that led to it."""

    target: Target
    language: str
    content: bytes
    verdicts: bytes


class Refusal(NamedTuple):
    """A delivery that ends here.

    Attributes:
        channel: core.model.Channel.
        status: SUPPRESSED, EXPIRED or FAILED.
        rule: which rule said no; the outcome's code.
        reason: in words, for people.
        verdicts: JSON, all rules that looked at it, in order.
        device: which of several devices, from 0.
    """

    channel: int
    status: Status
    rule: str
    reason: str
    verdicts: bytes
    device: int = 0


class Plan(NamedTuple):
    """Everything that becomes of one notification; `version` is the template's, 0 if there is none."""

    letters: Sequence[Letter] = ()
    refusals: Sequence[Refusal] = ()
    version: int = 0


@lru_cache(maxsize=8192)
def explain(*verdicts: Verdict) -> bytes:
    """Verdicts as the ledger keeps them: JSON [[rule, verdict, detail], ...]."""
    return orjson.dumps(verdicts)


class Decider:
    """The rules of the dispatcher, in their order: expiry, recipient, template, route, language, rendering.

    Args:
        renders: what was rendered before; equal inputs are rendered once.
        rules: routing rules that come before the default ones.
    """

    def __init__(self, renders: RenderCache, rules: Sequence[Rule] = ()) -> None:
        self._router = Router((*rules, *DEFAULT_RULES))
        self._renders = renders

    def plan(self, record: Record, stored: StoredRecipient | None, template: Template | None, standing: str) -> Plan:
        """Decides over one notification.

        Args:
            record: the notification.
            stored: its recipient as stored, None if there is none.
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
        verdicts = explain(("duplicate", "suppressed", earlier))
        targets = [letter.target for letter in plan.letters]
        refusals = [Refusal(t.channel, Status.SUPPRESSED, "duplicate", reason, verdicts, t.device) for t in targets]
        return Plan((), (*plan.refusals, *refusals), plan.version)

    def _wanted(self, record: Record, available: int) -> tuple[int, ...]:
        """The channels asked for, or the one of `available` (a mask) that the rules would take."""
        found = self._router.route(record.type, record.priority, record.klass, record.channel, available)
        return found.channels if record.channel else found.channels[:1]

    def _refuse_all(self, record: Record, status: Status, rule: str, reason: str) -> Plan:
        verdicts = explain((rule, status.name.lower(), ""))
        refusals = [Refusal(channel, status, rule, reason, verdicts) for channel in self._wanted(record, ALL_CHANNELS)]
        return Plan((), refusals, record.version)

    def _route(self, record: Record, whom: Reach, template: Template, first: Verdict) -> Plan:
        usable = whom.available & template.channels
        found = self._router.route(record.type, record.priority, record.klass, record.channel, usable)
        route = ("route", _names(found.channels), found.rule)
        letters: list[Letter] = []
        refusals: list[Refusal] = []
        missing = found.missing
        if not found.channels and not missing:
            missing = self._wanted(record, template.channels) or self._wanted(record, ALL_CHANNELS)
        for channel in missing:
            refusals.append(_unreachable(channel, whom, template, (first, route)))
        for channel in found.channels:
            try:
                language, content = self._render(record, whom.language, template, channel)
            except VariableMissing as error:
                reason = f"data lacks the variable {error.name!r} that template {template.label} uses"
                refusals.append(_unrendered(channel, "missing_variable", reason, (first, route)))
            except (RenderFailed, TemplateInvalid) as error:
                reason = f"template {template.label}: {error}"[:REASON_CHARS]
                refusals.append(_unrendered(channel, "template_error", reason, (first, route)))
            else:
                verdicts = explain(first, route, ("language", language, whom.language))
                letters += [Letter(target, language, content, verdicts) for target in whom.targets(channel)]
        return Plan(letters, refusals, template.version)

    def _render(self, record: Record, language: str, template: Template, channel: int) -> tuple[str, bytes]:
        found, compiled = template.content(channel, language)
        return found, self._renders.render((template.name, template.version, channel, found), compiled, record.data or b"{}")


def _unreachable(channel: int, whom: Reach, template: Template, looked: tuple[Verdict, ...]) -> Refusal:
    """Why a channel that was asked for is not taken: no address, or nothing to say on it."""
    name = CHANNEL_NAMES[Channel(channel)]
    if whom.available & Channel(channel).mask:
        verdicts = explain(*looked, ("content", "failed", name))
        return Refusal(channel, Status.FAILED, "no_content", f"template {template.label} has no content for {name}", verdicts)
    verdicts = explain(*looked, ("no_address", "suppressed", name))
    return Refusal(channel, Status.SUPPRESSED, "no_address", f"no_address: the recipient has none for {name}", verdicts)


def _unrendered(channel: int, rule: str, reason: str, looked: tuple[Verdict, ...]) -> Refusal:
    return Refusal(channel, Status.FAILED, rule, reason, explain(*looked, (rule, "failed", "")))


@lru_cache(maxsize=64)
def _names(channels: tuple[int, ...]) -> str:
    return ",".join(CHANNEL_NAMES[Channel(channel)] for channel in channels) or "none"
