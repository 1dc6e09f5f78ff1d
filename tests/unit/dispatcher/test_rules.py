"""An operator's routing rules as the router takes them."""

from core.model import Channel
from core.settings import RoutingRule
from dispatcher.rules import DEFAULT_RULES, configured
from fastpath import Router, Rule


def test_words_become_masks() -> None:
    rule = RoutingRule(
        name="codes",
        types=("login.*",),
        priorities=("critical", "low"),
        classes=("alert",),
        channels=("sms", "email"),
        mode="all",
    )
    expected = Rule(
        name="codes", types=("login.*",), priorities=0b1001, klasses=0b100, channels=(Channel.SMS, Channel.EMAIL), mode="all"
    )
    assert configured([rule]) == (expected,)


def test_the_default_rules_match_whatever_comes() -> None:
    router = Router(DEFAULT_RULES)
    for priority in range(1, 5):
        for klass in range(1, 4):
            assert router.route("any", priority, klass, 0, 0b1111).channels
