"""SMS segments at their edges."""

import pytest

from senders.segments import segments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("a", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),  # two septets each
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 10, 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the escape pair does not fit the first part's last place
        ("äöüß@£$", 1),
        ("ő", 1),  # not in the alphabet: UCS-2
        ("ő" * 70, 1),
        ("ő" * 71, 2),
        ("ő" * 134, 2),
        ("ő" * 135, 3),
        ("😀" * 35, 1),  # two units each
        ("😀" * 36, 2),
        ("ő" * 66 + "😀" + "ő" * 10, 2),
        ("ő" * 66 + "😀" + "ő" * 66, 3),  # a surrogate pair is not split
        ("`", 1),
        ("`" * 71, 2),
    ],
)
def test_segments(text: str, expected: int) -> None:
    assert segments(text) == expected
