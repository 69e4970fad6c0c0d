"""What is kept in a job's admin_comment: its classification and its original request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from slurm_het.core.model import SCENARIOS, Classification, Job

MARK = "het1:"
HANDED_OVER = "slurm-het: "
"""So begins the AdminComment of a job that was given to plain Slurm; why stands behind it."""
MAX_COMMENT = 900
MAX_ADMIN_COMMENT = 1000
"""With what a site's own programs have written; the hook has the same bound."""
KNOWN = 4096
"""So many comments are known by what they say: jobs that are alike have the same, and each is asked
several times."""
Sent = Literal["", "at once", "in line"]
"""It was given its nodes when it was submitted; or it waits in Slurm's line, and has none."""


_SENT: dict[str, Sent] = {"at once": "at once", "in line": "in line"}


class Mark(NamedTuple):
    """What admission left in a job: what it is, and the user's own text (JobRequest.original).

    `sent` says how it came into a pool, if hetd's plan did not send it. `wrote` is what we have
    written into the job since in place of that text, by Slurm's names of the fields (None: that is
    not told), `asked` what its user has asked for by `slurm-het ask`. `there` stands for the nodes
    and pools that there were then (pools.whats_there).
    """

    classification: Classification
    original: Mapping[str, str]
    sent: Sent = ""
    wrote: Mapping[str, str] | None = None
    asked: str = ""
    there: str = ""


def encode_comment(
    what: Classification,
    original: Mapping[str, str],
    sent: Sent = "",
    wrote: Mapping[str, str] | None = None,
    asked: str = "",
) -> str:
    """`encode_mark` of what is told. `original` is JobRequest.original, the others as in Mark."""
    return encode_mark(Mark(what, original, sent, wrote, asked))


def encode_mark(mark: Mark) -> str:
    """Classification and original request as text, so that Slurm's records are enough.

    If the text is too long, the evidence is left out, then what we wrote, then the original too; ''
    if that does not help.
    """
    what, original, sent, wrote, asked, there = mark
    data = {
        "s": what.scenario,
        "v": list(what.vendors),
        "t": list(what.types),
        "p": list(what.partitions),
        "m": what.memory_gib,
        "sh": int(what.share),
        **({"c": what.job_class} if what.job_class else {}),
        **({"f": what.program} if what.program else {}),
        **({"sent": sent} if sent else {}),
        **({"ask": asked} if asked else {}),
        **({"n": there} if there else {}),
        "orig": dict(original),
        "w": None if wrote is None else dict(wrote),
        "why": list(what.evidence),
    }
    trims: tuple[dict[str, Any], ...] = ({}, {"why": []}, {"w": None}, {"orig": {}})
    for trim in trims:
        data |= trim
        if data.get("w", ...) is None:
            del data["w"]
        # The user's words stand in it: our mark among them must not be taken for ours.
        text = MARK + without_mark(json.dumps(_readable(data), separators=(",", ":")))
        if len(text) <= MAX_COMMENT:
            return text
    return ""


def _readable(data: Any) -> Any:
    """The same with question marks for bytes that are no UTF-8: we read them as lone surrogates,
    which other readers of JSON refuse."""
    return json.loads(json.dumps(data, ensure_ascii=False).encode(errors="replace"))


def with_original(comment: str, field: str, text: str) -> str:
    """A comment of encode_comment with that text for one field of Mark.original ('': without the
    field), and with what others have written before it. '' if it is none, or has no room for it."""
    mark = decode_comment(comment)
    if mark is None or not mark.original:
        return ""
    original = {name: own for name, own in mark.original.items() if name != field}
    original |= {field: text} if text else {}
    made = encode_mark(mark._replace(original=original))
    kept = decode_comment(made)
    return in_place(comment, made) if kept and kept.original == original else ""


def without_mark(text: str) -> str:
    """The text without our mark; inside JSON it still reads the same."""
    return text.replace(MARK, MARK[:-1] + "\\u003a")


def rewritten(comment: str, gres: str) -> str:
    """The AdminComment of a job whose GRES we replace by these: they are none of its user's. ''
    where that cannot be told."""
    mark = decode_comment(comment)
    if mark is None or mark.wrote is None:
        return ""
    made = encode_mark(having_written(mark, {"tres_per_node": gres, "tres_per_job": ""}))
    return in_place(comment, made) if made else ""


def having_written(mark: Mark, fields: Mapping[str, str]) -> Mark:
    """The mark, with these fields among what we wrote. Where it is not known what we wrote before,
    no more is known now: what is not among it would be taken for its user's own."""
    return mark if mark.wrote is None else mark._replace(wrote={**mark.wrote, **fields})


def in_place(comment: str, ours: str) -> str:
    """An AdminComment with this text of ours in place of the one in it. What a site's own programs
    have written before stays, as far as there is room."""
    for begins in (MARK, HANDED_OVER):
        comment = comment.rpartition(begins)[0] if begins in comment else comment
    joined = f"{comment.rstrip()} {ours}".lstrip()
    return joined if len(joined) <= MAX_ADMIN_COMMENT else ours


def without_blanks(comment: str) -> str:
    """A comment of encode_comment without blanks, and with quotes only around JSON's strings; it
    reads the same."""
    escapes = {" ": "\\u0020", "'": "\\u0027", '\\"': "\\u0022"}
    return re.sub(r"\\.|[ ']", lambda found: escapes.get(found.group(), found.group()), comment)


def says_there(comment: str, there: str) -> bool:
    """Whether a comment of encode_mark has that for `there`; told without decoding it."""
    return f'"n":"{there}"' in comment


@lru_cache(maxsize=KNOWN)
def decode_comment(text: str) -> Mark | None:
    """Read `encode_comment` back; None if there is no mark, or it is damaged."""
    _, mark, rest = text.rpartition(MARK)
    if not mark:
        return None
    try:
        data = _readable(json.JSONDecoder().raw_decode(rest)[0])
        what = Classification(
            scenario=SCENARIOS[SCENARIOS.index(data["s"])],
            vendors=_words(data["v"]),
            types=_words(data["t"]),
            partitions=_words(data["p"]),
            memory_gib=int(data["m"]),
            share=bool(data["sh"]),
            evidence=_words(data["why"]),
            job_class=str(data.get("c", "")),
            program=str(data.get("f", "")),
        )
        if what.memory_gib < 0:
            return None
        original = {str(k): str(v) for k, v in data["orig"].items()}
        wrote = {str(k): str(v) for k, v in data["w"].items()} if "w" in data else None
        sent = _SENT.get(str(data.get("sent")), "")
        asked, there = str(data.get("ask", "")), str(data.get("n", ""))
        return Mark(what, original, sent, wrote, asked, there)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def mark_of_sent(job: Job, sent: Sent) -> Mark | None:
    """The mark of a job that was sent into a pool that way; None of all others."""
    # Most are not worth reading.
    mark = decode_comment(job.admin_comment) if '"sent":' in job.admin_comment else None
    return mark if mark and mark.sent == sent else None


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(map(str, value))
