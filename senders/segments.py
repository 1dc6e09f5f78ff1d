"""How many segments an SMS takes, which is what is billed. Pure. Source: 3GPP TS 23.038 (GSM 7 bit alphabet), 23.040."""

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")  # two septets each: an escape and the character

SEPTETS = (160, 153)  # in a single message; in each part of a longer one (7 go to its header)
UNITS = (70, 67)  # the same in UTF-16 code units


def segments(text: str) -> int:
    """The number of segments that `text` is sent in; 0 for an empty one."""
    if not text:
        return 0
    if _BASIC.issuperset(text):  # nearly always; the others cost a look at each character
        return 1 if len(text) <= SEPTETS[0] else -(-len(text) // SEPTETS[1])
    if all(c in _BASIC or c in _EXTENDED for c in text):
        return _parts([2 if c in _EXTENDED else 1 for c in text], *SEPTETS)
    return _parts([len(c.encode("utf-16-be")) // 2 for c in text], *UNITS)


def _parts(widths: list[int], single: int, part: int) -> int:
    """Parts for characters of these widths; a character is never split between two."""
    if sum(widths) <= single:
        return 1
    count, room = 1, part
    for width in widths:
        if width > room:
            count, room = count + 1, part
        room -= width
    return count
