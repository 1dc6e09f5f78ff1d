"""What breaks its consumer is isolated, split and dead-lettered, and says so to the ledger."""

from core import keys
from core.ids import new_id
from core.model import Channel, ErrorClass, Priority, Status
from core.poison import HARD, is_spoilt, is_suspect, isolate, settlement
from core.streams import Entry
from fastpath import Record, pack_frame, record, unpack_frame
from fastpath.layout import DELIVERY, OUTCOME

NOW = 1_700_000_000_000


def delivery(attempt: int = 0) -> Record:
    id_ = new_id(2, Priority.HIGH, NOW)
    return record(DELIVERY, id=id_, priority=2, klass=1, channel=Channel.SMS, attempt=attempt, type="otp", address="+491")


def test_an_entry_has_its_last_chance_alone() -> None:
    retry = pack_frame([delivery(attempt=3)])
    fresh, due = Entry("s", "1-0", b""), Entry("s", "3-0", retry, True, 4)
    again, due_again = Entry("s", "2-0", b"", False, 3), Entry("s", "4-0", retry, True, 6)
    inherited = Entry("s", "5-0", b"", False, 2)
    assert isolate([fresh, again, due, due_again, inherited], 3) == [[fresh, due, inherited], [again], [due_again]]
    assert isolate([again], 3) == [[again]]
    assert isolate([], 3) == []


def test_attempts_at_a_provider_are_no_crashes() -> None:
    frame = pack_frame([delivery(attempt=3)])
    assert not is_suspect(Entry("s", "1-0", frame, True, 5), 3)
    assert is_suspect(Entry("s", "1-0", frame, True, 6), 3)
    assert is_suspect(Entry("s", "1-0", frame, False, 3), 3)
    assert is_suspect(Entry("s", "1-0", b"rubbish", True, 3), 3)


def test_there_is_an_end_to_trials() -> None:
    assert not is_spoilt(Entry("s", "1-0", b"", False, 3 * HARD), 3)
    assert is_spoilt(Entry("s", "1-0", b"", False, 3 * HARD + 1), 3)


def test_a_frame_is_split_into_what_is_not_done_yet() -> None:
    items = [delivery() for _ in range(10)]
    entry = Entry("s", "1-0", pack_frame(items), deliveries=4, done=bytes([0b0000_0101, 0b10]))
    made = settlement(entry, 2, NOW)
    assert made.done is None and made.appends == ()
    assert [unpack_frame(w.frame)[0].id for w in made.waits] == [items[i].id for i in range(10) if i not in (0, 2, 9)]


def test_a_single_record_goes_to_the_dead_letters_and_the_ledger_hears_of_it() -> None:
    item = delivery(attempt=2)
    made = settlement(Entry("s", "1-0", pack_frame([item]), True, 9), 2, NOW)
    assert [a.stream for a in made.appends] == [keys.dead(2, Channel.SMS), keys.outcomes(2)]
    letter, outcome = (unpack_frame(a.frame)[0] for a in made.appends)
    assert (letter.id, letter.error_class, letter.kind) == (item.id, ErrorClass.POISON, DELIVERY)
    assert (outcome.kind, outcome.status, outcome.channel, outcome.attempt) == (OUTCOME, Status.DEAD, Channel.SMS, 2)


def test_what_cannot_be_read_is_kept_for_an_operator() -> None:
    made = settlement(Entry("s", "1-0", b"rubbish", False, 4), 2, NOW)
    assert made.appends[0].stream == keys.dead(2, None)
    assert made.appends[0].frame == b"rubbish"
