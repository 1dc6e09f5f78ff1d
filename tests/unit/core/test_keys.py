"""Every name of a partition shares one hash tag, and no two names meet."""

import re

from core import keys
from core.census import paths
from core.model import Channel, Priority


def test_all_names_of_a_partition_share_its_hash_tag() -> None:
    names = [name for name, _ in paths(7)]
    names += [f(keys.outbound(7, Channel.SMS, Priority.LOW)) for f in (keys.waiting, keys.due, keys.progress)]
    names += [keys.seen(7, "content", 3600, 12)]
    assert {re.search(r"\{(.*?)\}", name).group(1) for name in names} == {"p7"}  # type: ignore[union-attr]
    assert len(set(names)) == len(names)


def test_names_are_the_designs() -> None:
    assert keys.inbound(0, Priority.CRITICAL) == "tidings:{p0}:in:critical"
    assert keys.outbound(3, Channel.SMS, Priority.HIGH) == "tidings:{p3}:out:sms:high"
    assert keys.dead(1, Channel.EMAIL) == "tidings:{p1}:dead:email"
    assert keys.outcomes(2) == "tidings:{p2}:outcomes"
    assert keys.short(keys.outbound(3, Channel.IN_APP, Priority.HIGH)) == "out:in_app:high"
