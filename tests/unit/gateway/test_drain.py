"""The drain is heard once, also by who comes late, and not by who has left."""

from gateway.drain import Drain


def test_the_drain_is_heard() -> None:
    drain, heard = Drain(), list[str]()
    with drain.listening(lambda: heard.append("early")), drain.listening(lambda: heard.append("another")):
        with drain.listening(lambda: heard.append("gone")):
            pass
        drain.begin()
        drain.begin()
        assert sorted(heard) == ["another", "early"]
    with drain.listening(lambda: heard.append("late")):
        assert heard[-1] == "late" and drain.begun
