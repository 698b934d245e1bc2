"""File formats of feedback, both ways: our rows to their records, their records to feedback in no format.

Pure: values in, values out; files are read and written by `exchange`. One module a family says what its format
cannot carry. A writer keeps every value or raises `Skip`, a reader gives feedback or raises it, so nothing is
changed on the way without being counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from alignment.dataset.reading.feedback import Feedback, Kind, Record, Skip
from alignment.dataset.reading.formats import (
    fastchat,
    hh,
    llama_factory,
    oasst,
    open_webui,
    openai,
    ranked,
    table,
    trl,
    ultrafeedback,
)
from alignment.errors import ReadingProblem

__all__ = ["FORMATS", "Feedback", "Format", "Kind", "Record", "Skip", "detect"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format: what of our rows it takes, how a record is written and read, and how a record shows itself.

    `ending` is that of written files: a JSON object a line, one JSON array, or a table.
    """

    takes: tuple[Kind, ...]
    write: Callable[[Iterable[Feedback], Counter[str]], Iterator[Record]]
    read: Callable[[Record], list[Feedback]]
    shows: Callable[[Record], bool]
    ending: str = "jsonl"


def each(write: Callable[[Feedback], Record]) -> Callable[[Iterable[Feedback], Counter[str]], Iterator[Record]]:
    """A writer of one record for one row; what it cannot carry is counted by reason."""

    def written(rows: Iterable[Feedback], left_out: Counter[str]) -> Iterator[Record]:
        for row in rows:
            try:
                yield write(row)
            except Skip as reason:
                left_out[str(reason)] += 1

    return written


def _has(*keys: str) -> Callable[[Record], bool]:
    return lambda record: set(keys) <= set(record)


def _is_hh(record: Record) -> bool:
    return _has("chosen", "rejected")(record) and "prompt" not in record and hh.is_dialogue(record["chosen"])


def _is_rating(record: Record) -> bool:
    return isinstance(record.get("data"), Mapping) and "rating" in record["data"] and "meta" in record


PAIR, MARK, RANKING, VOTE, SHOWN = Kind.PAIR, Kind.MARK, Kind.RANKING, Kind.VOTE, Kind.DEMONSTRATION

# In the order in which a record is tried: what needs more keys comes before what needs fewer of them.
FORMATS: Mapping[str, Format] = {
    "openai-preference": Format(
        (PAIR,),
        each(openai.write_preference),
        openai.read_preference,
        _has("input", "preferred_output", "non_preferred_output"),
    ),
    "open-webui": Format((MARK,), each(open_webui.write_open_webui), open_webui.read_open_webui, _is_rating, "json"),
    "fastchat": Format((VOTE,), each(fastchat.write_fastchat), fastchat.read_fastchat, fastchat.is_fastchat),
    "oasst": Format((RANKING,), oasst.write_oasst, oasst.read_oasst, _has("message_tree_id", "prompt")),
    "ultrafeedback": Format(
        (RANKING,),
        each(ultrafeedback.write_ultrafeedback),
        ultrafeedback.read_ultrafeedback,
        ultrafeedback.is_ultrafeedback,
    ),
    "ranked": Format((RANKING,), each(ranked.write_ranked), ranked.read_ranked, _has("prompt", "responses")),
    "llama-factory": Format(
        (PAIR, MARK, SHOWN),
        each(llama_factory.write_llama_factory),
        llama_factory.read_llama_factory,
        llama_factory.is_llama_factory,
        "json",
    ),
    "openai-chat": Format((SHOWN,), each(openai.write_chat), openai.read_chat, _has("messages")),
    "trl-unpaired": Format((MARK,), each(trl.write_unpaired), trl.read_unpaired, _has("prompt", "completion", "label")),
    "hh": Format((PAIR,), each(hh.write_hh), hh.read_hh, _is_hh),
    "trl": Format((PAIR,), each(trl.write_trl), trl.read_trl, _has("chosen", "rejected")),
    "csv": Format((PAIR,), each(table.write_csv), table.read_csv, lambda record: False, "csv"),
}


def detect(record: Record) -> str:
    """The format of a file by one of its records. Raises `ReadingProblem` when it is none that can be read."""
    for name, format in FORMATS.items():
        if format.shows(record):
            return name
    raise ReadingProblem(
        f"The format of this file cannot be told from its keys ({', '.join(sorted(record)) or 'none'}). "
        f"Name it with --format: {', '.join(FORMATS)}."
    )
