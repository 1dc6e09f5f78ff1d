"""The hot path's pure functions: records, frames, plans, routing, dedupe, rendering, RESP, Structs. No I/O, asyncio or room.

Native (Cython) where the modules are built, else their readable twins in fastpath/pure: `NATIVE` says which, `WHY` why not.
The choice is made here and only here, for all modules at once; whether a twin is good enough is for the caller to say.
"""

from fastpath.errors import FrameError, RenderFailed, TemplateInvalid, VariableMissing
from fastpath.values import Checks, Contact, Course, Letter, Lot, Plan, Refusal, Route, Rule, Target, Terms, Way

try:
    from fastpath.batches import by_priority, join_messages, pack_acknowledgement, pack_frames, pack_result, pack_results
    from fastpath.books import join_frames, lacking, outcome_frame, overdue
    from fastpath.claims import Claims
    from fastpath.dedupe import LocalFilter, content_hash, murmur3
    from fastpath.forward import Outgoing
    from fastpath.intake import Reader
    from fastpath.planner import Planner
    from fastpath.records import Record, Writer, ages, pack_frame, pack_parts, record, unpack_frame, unpack_parts
    from fastpath.render import Compiled, RenderCache, compile_parts, fallback
    from fastpath.resp import pack_ack, pack_command, pack_commands, pack_xadd, read_entries
    from fastpath.router import Router
    from fastpath.rows import RowPacker
    from fastpath.structs import read_struct

    NATIVE, WHY = True, ""
except ImportError as error:
    from fastpath.pure.batches import (
        by_priority,
        join_messages,
        pack_acknowledgement,
        pack_frames,
        pack_result,
        pack_results,
    )
    from fastpath.pure.books import join_frames, lacking, outcome_frame, overdue
    from fastpath.pure.claims import Claims
    from fastpath.pure.dedupe import LocalFilter, content_hash, murmur3
    from fastpath.pure.forward import Outgoing
    from fastpath.pure.intake import Reader
    from fastpath.pure.planner import Planner
    from fastpath.pure.records import Record, Writer, ages, pack_frame, pack_parts, record, unpack_frame, unpack_parts
    from fastpath.pure.render import Compiled, RenderCache, compile_parts, fallback
    from fastpath.pure.resp import pack_ack, pack_command, pack_commands, pack_xadd, read_entries
    from fastpath.pure.router import Router
    from fastpath.pure.rows import RowPacker
    from fastpath.pure.structs import read_struct

    NATIVE, WHY = False, str(error)

__all__ = [
    "NATIVE",
    "WHY",
    "Checks",
    "Claims",
    "Compiled",
    "Contact",
    "Course",
    "FrameError",
    "Letter",
    "LocalFilter",
    "Lot",
    "Outgoing",
    "Plan",
    "Planner",
    "Reader",
    "Record",
    "Refusal",
    "RenderCache",
    "RenderFailed",
    "Route",
    "Router",
    "RowPacker",
    "Rule",
    "Target",
    "TemplateInvalid",
    "Terms",
    "VariableMissing",
    "Way",
    "Writer",
    "ages",
    "by_priority",
    "compile_parts",
    "content_hash",
    "fallback",
    "join_frames",
    "join_messages",
    "lacking",
    "murmur3",
    "outcome_frame",
    "overdue",
    "pack_ack",
    "pack_acknowledgement",
    "pack_command",
    "pack_commands",
    "pack_frame",
    "pack_frames",
    "pack_parts",
    "pack_result",
    "pack_results",
    "pack_xadd",
    "read_entries",
    "read_struct",
    "record",
    "unpack_frame",
    "unpack_parts",
]
