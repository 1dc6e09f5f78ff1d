"""Which channels a notification takes when its caller names none: an operator's rules, then the default ones.

Values only; fastpath.Router applies them.
"""

from collections.abc import Sequence

from core.model import Channel, Class, Priority
from core.settings import RoutingRule
from fastpath import Rule

_EMAIL, _SMS, _PUSH, _IN_APP = Channel

# First match decides; the last one matches everything, so that no notification ends up without a channel.
DEFAULT_RULES: tuple[Rule, ...] = (
    Rule(name="critical", priorities=1 << (Priority.CRITICAL - 1), channels=(_SMS, _PUSH, _EMAIL, _IN_APP)),
    # SMS costs, and a promotional one needs a consent of its own in most countries.
    Rule(name="promotional", klasses=1 << (Class.PROMOTIONAL - 1), channels=(_PUSH, _EMAIL, _IN_APP)),
    Rule(name="default", channels=(_PUSH, _EMAIL, _SMS, _IN_APP)),
)


def configured(rules: Sequence[RoutingRule]) -> tuple[Rule, ...]:
    """An operator's rules as the router takes them."""
    return tuple(
        Rule(
            name=rule.name,
            types=rule.types,
            priorities=sum(1 << (Priority[name.upper()] - 1) for name in set(rule.priorities)),
            klasses=sum(1 << (Class[name.upper()] - 1) for name in set(rule.classes)),
            channels=tuple(Channel[name.upper()] for name in rule.channels),
            mode=rule.mode,
        )
        for rule in rules
    )
