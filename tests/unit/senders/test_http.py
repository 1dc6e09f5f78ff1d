"""What a request that got no answer means."""

from core.model import ErrorClass
from senders.http import new_session, post
from senders.provider import Answer


async def test_a_name_that_does_not_resolve_is_an_unreachable_provider() -> None:
    async with new_session(1) as session:
        answer = await post(session, "http://provider.invalid/send", b"", {})  # RFC 6761: never resolves
    assert isinstance(answer, Answer)
    assert answer.error_class is ErrorClass.UNREACHABLE
