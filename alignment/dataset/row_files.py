"""JSON lines of a dataset folder as records, and the messages in them.

A file that is no JSON lines of the right keys is refused with its line, because a person wrote it by hand. A
message that is not text is one row that cannot be used (`Unusable`): it may come from anybody who chats.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import LeftOut, Reason, Unusable
from alignment.errors import SnapshotProblem
from alignment.files import BrokenLine, json_lines

Made = TypeVar("Made")


def records(path: Path, needed: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a JSONL file, which must have the needed keys, and targets that are shares.

    Raises `SnapshotProblem` naming the file, and the line that is not such a record.
    """
    try:
        for number, record in json_lines(path):
            if not isinstance(record, dict) or any(key not in record for key in needed):
                raise SnapshotProblem(f"{path}, line {number} needs the keys {', '.join(needed)}.")
            target = record.get("target", 1.0)
            if not isinstance(target, int | float) or not 0 <= target <= 1 + 1e-9:  # sums round
                raise SnapshotProblem(
                    f"{path}, line {number} has the target {target!r}: it is a share between 0 and 1."
                )
            yield record
    except BrokenLine as error:
        raise SnapshotProblem(f"{path}, line {error.number} is not JSON: write one JSON object a line.") from error
    except FileNotFoundError as error:
        raise SnapshotProblem(f"{path} does not exist; name a folder that holds {path.name}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotProblem(f"{path} cannot be read: {error}.") from error


def rows_of(
    path: Path, needed: Sequence[str], make: Callable[[Mapping[str, Any]], Made], left: LeftOut | None
) -> list[Made]:
    """A row of each record that can be made one; the others are counted in `left`."""
    made: list[Made] = []
    for record in records(path, needed):
        try:
            made.append(make(record))
        except Unusable as why:
            if left is not None:
                left.add(why, record.get("judgements", ()))
    return made


def messages(value: Any) -> tuple[Message, ...]:
    """A list of {"role", "content"}, or one text as a user's. Raises `Unusable` on what is neither."""
    if isinstance(value, str):
        return (Message("user", value),)
    if not isinstance(value, list):
        raise Unusable(Reason.NOT_TEXT, "a prompt is a text or a list of messages")
    return tuple(_message(turn) for turn in value)


def completion(value: Any) -> str:
    """An answer: a text, or messages whose texts are joined. Raises `Unusable` on what is neither."""
    return value if isinstance(value, str) else "".join(message.content for message in messages(value))


def _message(turn: Any) -> Message:
    if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
        raise Unusable(Reason.NOT_TEXT, "a message has a role and content")
    return Message(turn["role"], _text(turn.get("content")))


def _text(content: Any) -> str:
    """A message's content: a text, or parts of type text, joined."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise Unusable(Reason.NOT_TEXT, f"the content of a message is {_kind(content)}")
    for part in content:
        if not isinstance(part, Mapping) or part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            raise Unusable(Reason.NOT_TEXT, "a message has a part that is not text")
    return "".join(part["text"] for part in content)


def _kind(content: Any) -> str:
    return "empty" if content is None or content == [] else "not text"
