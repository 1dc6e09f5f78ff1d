"""Types of the façade: whichever implementation is in use, it has these."""

from fastpath.batches import by_priority, join_messages, pack_acknowledgement, pack_frames, pack_result, pack_results
from fastpath.books import join_frames, lacking, outcome_frame, overdue
from fastpath.claims import Claims
from fastpath.dedupe import LocalFilter, content_hash, murmur3
from fastpath.errors import FrameError, RenderFailed, TemplateInvalid, VariableMissing
from fastpath.forward import Outgoing
from fastpath.intake import Reader
from fastpath.planner import Planner
from fastpath.records import Record, Writer, ages, pack_frame, pack_parts, record, unpack_frame, unpack_parts
from fastpath.render import Compiled, RenderCache, compile_parts, fallback
from fastpath.resp import pack_ack, pack_command, pack_commands, pack_xadd, read_entries
from fastpath.router import Router
from fastpath.rows import RowPacker
from fastpath.structs import read_struct
from fastpath.values import Checks, Contact, Course, Letter, Lot, Plan, Refusal, Route, Rule, Target, Terms, Way

NATIVE: bool
WHY: str

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
