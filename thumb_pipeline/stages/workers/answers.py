"""Reads the answers of a worker process, as untrusted data: the worker has decoded untrusted bytes.

An answer is accepted only if it belongs to the task, is complete, and holds only values that a sound worker can give
and the tables can hold. What follows from a wrong answer is decided in `pool`; what the fields mean is in `messages`.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.domain.findings import SourceFinding
from thumb_pipeline.domain.moments import is_moment
from thumb_pipeline.domain.plans import Examined, Reason
from thumb_pipeline.domain.provenance import DIGEST_FORM, LARGEST_SIDE_PX, Provenance
from thumb_pipeline.stages.workers.answer_values import (
    Check,
    NoAnswer,
    boolean,
    each,
    exactly,
    fields_of,
    integer,
    milliseconds,
    nothing,
    one_of,
    or_nothing,
    text,
    words,
)
from thumb_pipeline.stages.workers.messages import (
    Answer,
    Broken,
    Damage,
    DigestAnswer,
    DigestTask,
    Evidence,
    EvidenceAnswer,
    EvidenceTask,
    Examination,
    ExamineAnswer,
    ExamineTask,
    Outcome,
    ProofAnswer,
    ProveTask,
    ReadTask,
    RenderAnswer,
    RenderTask,
    SheetAnswer,
    SheetTask,
    Task,
    VariantAnswer,
)

__all__ = ["NoAnswer", "read_answer"]

_LARGEST = 2**63 - 1
_MOST_BASE64 = 1_000_000


def read_answer(data: bytes, task: Task, number: int) -> Answer:
    """The answer to a task.

    Args:
        data: what the worker wrote.
        task: the task that the worker was given.
        number: the number that the task was sent with; an answer with an earlier number is refused.

    Raises:
        NoAnswer: the data are not an answer to this task.
    """
    try:
        written = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NoAnswer("it is not JSON") from error
    if type(written) is not list or len(written) != 3 or type(written[0]) is not int or written[0] != number:
        raise NoAnswer("it does not belong to this task")
    _, kind, fields = written
    if kind == "Broken":
        return fields_of(Broken, _BROKEN)(fields)
    expected, read = _ANSWERS[type(task)]
    if kind != expected.__name__:
        raise NoAnswer("it is an answer to another kind of task")
    answer: Answer = read(task, fields)
    return answer


def _rendered(task: RenderTask, fields: Any) -> RenderAnswer:
    return fields_of(RenderAnswer, {**_RENDERED, "variants": exactly(len(task.variants), _variant)})(fields)


def _examinations(task: ExamineTask, fields: Any) -> ExamineAnswer:
    return fields_of(ExamineAnswer, {"files": exactly(len(task.files), _examined)})(fields)


def _evidence(task: EvidenceTask, fields: Any) -> EvidenceAnswer:
    return fields_of(EvidenceAnswer, {"files": exactly(len(task.files), fields_of(Evidence, _EVIDENCE))})(fields)


def _sheet(task: SheetTask, fields: Any) -> SheetAnswer:
    picture = _BASE64 if task.target is None else nothing
    return fields_of(SheetAnswer, {"n_pictures": integer(0, len(task.files)), "base64": picture})(fields)


def _digest(_task: DigestTask, fields: Any) -> DigestAnswer:
    return fields_of(DigestAnswer, {"digest": or_nothing(_DIGEST)})(fields)


def _proof(task: ProveTask | ReadTask, fields: Any) -> ProofAnswer:
    """Reads an answer that names each file of the task at most once."""
    place, states = integer(0, len(task.files) - 1), _SOURCE_STATES if isinstance(task, ReadTask) else _VARIANT_STATES
    damage = fields_of(Damage, {"index": place, "state": states, "detail": words})
    checks = {"wrong": each(damage), "moved": each(place), "n_bytes": integer(0, _LARGEST)}
    answer = fields_of(ProofAnswer, checks)(fields)
    places = [*(one.index for one in answer.wrong), *answer.moved]
    if len(set(places)) < len(places):
        raise NoAnswer("it names a file twice")
    return answer


def _variant(fields: Any) -> VariantAnswer:
    answer = fields_of(VariantAnswer, _VARIANT)(fields)
    stands = answer.outcome in (Outcome.MADE, Outcome.UNCHANGED)
    facts = (answer.width_px, answer.height_px, answer.n_bytes, answer.mtime_ns, answer.checksum)
    if (stands and None in facts) or (answer.outcome == Outcome.FAILED) is (answer.reason is None):
        raise NoAnswer("it lacks the result of a variant")
    return answer


def _examined(fields: Any) -> Examination:
    answer = fields_of(Examination, _EXAMINED)(fields)
    facts = (answer.width_px, answer.height_px, answer.n_bytes, answer.mtime_ns, answer.checksum)
    if answer.reason is None and (None in facts or 0 in facts[:2]):
        raise NoAnswer("it does not describe a file that is to be adopted")
    return answer


def _provenance(fields: Any) -> Provenance:
    if type(fields) is not dict or fields.keys() != set(Provenance.__slots__):
        raise NoAnswer("the fields are not those of Provenance")
    try:
        return Provenance(**fields)
    except ValueError as error:
        raise NoAnswer(str(error)) from error


_DIGEST = text(re.compile(DIGEST_FORM).fullmatch)
_FORMAT = text(re.compile("[ -~]{1,60}").fullmatch)
_EXIF_TIME = text(re.compile(r"[0-9]{4}(?:-[0-9]{2}){2}T[0-9]{2}(?::[0-9]{2}){2}(?:[+-][0-9]{2}:[0-9]{2})?").fullmatch)
_THUMB_HASH = text(re.compile("[A-Za-z0-9+/]{1,60}={0,2}").fullmatch)
_BASE64 = text(re.compile(f"[A-Za-z0-9+/]{{0,{_MOST_BASE64}}}={{0,2}}").fullmatch)
_SIDE, _N_BYTES, _MTIME = integer(1, LARGEST_SIDE_PX), integer(0, _LARGEST), integer(-_LARGEST - 1, _LARGEST)
_SIDE_OF_ANY = integer(0, LARGEST_SIDE_PX)  # 0 for a file that is not a picture
_VARIANT_STATES, _SOURCE_STATES = one_of(*Reason), one_of(*SourceFinding)

_FILE = {"n_bytes": or_nothing(_N_BYTES), "mtime_ns": or_nothing(_MTIME), "checksum": or_nothing(_DIGEST)}
_BROKEN: dict[str, Check] = {"message": words, "is_of_folder": boolean}
_VARIANT: dict[str, Check] = {
    **_FILE,
    "outcome": one_of(*Outcome),
    "reason": or_nothing(one_of(*FailureReason)),
    "detail": or_nothing(words),
    "width_px": or_nothing(_SIDE),
    "height_px": or_nothing(_SIDE),
    "frame_at": or_nothing(text(is_moment)),
    "ms": milliseconds,
}
_RENDERED: dict[str, Check] = {
    "digest": or_nothing(_DIGEST),
    "format": or_nothing(_FORMAT),
    "width_px": or_nothing(_SIDE),
    "height_px": or_nothing(_SIDE),
    "exif_captured_at": or_nothing(_EXIF_TIME),
    "thumb_hash": or_nothing(_THUMB_HASH),
}
_EXAMINED: dict[str, Check] = {
    **_FILE,
    "reason": or_nothing(one_of(*Reason)),
    "known_digest": or_nothing(_DIGEST),
    "is_trusted": boolean,
    "width_px": or_nothing(_SIDE_OF_ANY),
    "height_px": or_nothing(_SIDE_OF_ANY),
    "source_digest": or_nothing(_DIGEST),
    "frame_at": or_nothing(text(is_moment)),
}
_SEEN: dict[str, Check] = {
    "opens": boolean,
    "is_whole": boolean,
    "width_px": _SIDE_OF_ANY,
    "height_px": _SIDE_OF_ANY,
    "provenance": or_nothing(_provenance),
}
_EVIDENCE: dict[str, Check] = {**_FILE, "seen": fields_of(Examined, _SEEN), "format": or_nothing(_FORMAT)}

_ANSWERS: dict[type, tuple[type, Callable[[Any, Any], Any]]] = {
    RenderTask: (RenderAnswer, _rendered),
    ExamineTask: (ExamineAnswer, _examinations),
    SheetTask: (SheetAnswer, _sheet),
    EvidenceTask: (EvidenceAnswer, _evidence),
    DigestTask: (DigestAnswer, _digest),
    ProveTask: (ProofAnswer, _proof),
    ReadTask: (ProofAnswer, _proof),
}
"""For each kind of task: the kind of its answer, and the function that reads the answer from JSON, given the task."""
