"""One reading of messages, however a file writes them.

A conversation is a list of `role` and `content` or of `from` and `value`, one such object, the same as JSON or as a
Python literal in a text, a list of question and answer, hh's dialogue, a text that a chat template rendered, or plain
text. Content is text or parts; parts of type text are joined as they are. What a model thought before it spoke is left
out and said. A filled image, video or sound ends the row, or is left out and said with `text_only`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.cells import ROLE_KEYS, TEXT_KEYS, empty, filled, is_message, messages_in, opened
from alignment.dataset.reading.feedback import Skip
from alignment.dataset.reading.transcripts import begins_plainly, dialogue, ended, is_dialogue, is_rendered, rendered
from alignment.dataset.reading.turns import call_of, calls_text
from alignment.dataset.reading.ways import Ways

_USER, _ASSISTANT, _SYSTEM, _TOOL, CALL = "user", "assistant", "system", "tool", "call"
ROLES = {
    **dict.fromkeys(("user", "human", "prompter", "person", "customer"), _USER),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "ai", "chatbot"), _ASSISTANT),
    **dict.fromkeys(("system", "developer"), _SYSTEM),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "tool_result", "ipython"), _TOOL),
    **dict.fromkeys(("function_call", "tool_call", "tool_calls"), CALL),
}
_PLAIN_ROLES = {who: who for who in (_USER, _ASSISTANT, _SYSTEM)}
_MEDIA = ("image", "video", "audio", "picture", "file")
MEDIA_COLUMNS = ("images", "image", "videos", "video", "audios", "audio", "image_url", "image_urls", "image_path")
_MEDIA_PARTS = ("inlineData", "inline_data", "fileData", "file_data", "document")  # Gemini's and Bedrock's
_MEDIA_KEYS = frozenset(MEDIA_COLUMNS)
_PLACES = ("<image>", "<video>", "<audio>")  # where a text says that a picture stands
_THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking")
_EXCHANGES: tuple[tuple[str, str], ...] = (
    ("input", "output"),
    ("user", "assistant"),
    ("human", "assistant"),
    ("human", "gpt"),
    ("human", "bot"),
)
_EXCHANGES += (("question", "answer"), ("prompt", "response"), ("query", "response"), ("instruction", "output"))
_WEIGHTS = ("weight", "loss_weight", "loss", "train", "training")  # ms-swift's and axolotl's are true or false
HAS_IMAGES = "has images"
NO_TEXT = "a message that is not text"
IMAGES_LEFT_OUT = "Images were left out of {n} places, as --text-only says; the text was kept."
THOUGHTS_LEFT_OUT = "Reasoning before an answer was left out of {n} messages; the answers were kept."


@dataclass(frozen=True, slots=True)
class Turn:
    """A message, and whether a file means it to be learned (OpenAI's `weight`, LLaMA-Factory's `loss_weight`)."""

    message: Message
    learned: bool = True


def conversation(value: Any, role: str = _USER, ways: Ways | None = None, *, listed: bool = False) -> list[Message]:
    """The messages in a value; a plain text is one of this role.

    `listed`: a list of texts is turns of this role's side. Raises `Skip`.
    """
    return [turn.message for turn in turns_of(value, role, ways, listed=listed)]


def turns_of(value: Any, role: str = _USER, ways: Ways | None = None, *, listed: bool = False) -> list[Turn]:
    """As `conversation`, with what is meant to be learned."""
    ways = ways or Ways()
    if isinstance(value, str):
        found = messages_in(value)
        if isinstance(found, str) and listed:
            inner = opened(value)
            if isinstance(inner, list) and inner and all(isinstance(each, (str, list)) for each in inner):
                found = inner
        if isinstance(found, str):
            return _plain(found, role, ways)
        value = found
    if isinstance(value, Mapping):
        if is_message(value):
            return _turns([value], ways)
        for key in ("messages", "content", "text", "value", "parts", "response"):
            if key in value and set(value) <= {key, "model", "id"}:
                return turns_of(value[key], role, ways)
        raise Skip("a message that is not an object with a role")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [Turn(Message(role, str(value)))]
    if not isinstance(value, Sequence):
        raise Skip(NO_TEXT if isinstance(value, bool) or value is None else "not a list of messages")
    if listed and value and all(isinstance(text, str) for text in value):
        return [Turn(Message(role, text)) for text in value]
    if value and all(isinstance(each, (list, tuple)) for each in value):
        return _exchanges(value, ways)
    if value and (names := _exchanged(value)):
        return _exchanges([[each.get(name) for name in names] for each in value], ways)
    if value and all(_is_part(each) for each in value):
        return [Turn(Message(role, _text(value, False, ways)))]
    return _turns(value, ways)


def stands_alone(text: str) -> bool:
    """Whether a text is one message, word for word, by its first and last characters: neither a list nor a transcript.

    It says what `conversation` and `answer` would find, for the many texts of which that is plain.
    """
    return begins_plainly(text) and text.rstrip()[-1:] != ">"


def answer(value: Any, ways: Ways | None = None, *, listed: bool = False) -> tuple[list[Message], str]:
    """What stands before the last answer in a value, and that answer. Raises `Skip`."""
    turns = conversation(value, _ASSISTANT, ways, listed=listed)
    if not turns or turns[-1].role != _ASSISTANT:
        raise Skip("does not end in an answer")
    return turns[:-1], turns[-1].content


def without_images(record: Mapping[str, Any], ways: Ways) -> Mapping[str, Any]:
    """The record where its picture columns are empty, or without them with `text_only`. Raises `Skip`."""
    if _MEDIA_KEYS.isdisjoint(record) or not any(key in record and filled(record[key]) for key in MEDIA_COLUMNS):
        return record
    if not ways.text_only:
        raise Skip(HAS_IMAGES)
    ways.notice(IMAGES_LEFT_OUT)
    return {key: _unplaced(value) for key, value in record.items() if key not in MEDIA_COLUMNS}


def _unplaced(value: Any) -> Any:
    """The same texts without the marks where a picture stood."""
    if isinstance(value, str):
        for mark in _PLACES:
            value = value.replace(mark, "")
        return value
    if isinstance(value, list):
        return [_unplaced(each) for each in value]
    if isinstance(value, dict):
        return {key: _unplaced(each) for key, each in value.items()}
    return value


def _plain(text: str, role: str, ways: Ways) -> list[Turn]:
    if is_dialogue(text):
        turns = dialogue(text)
        if turns[-1].role == _ASSISTANT and not turns[-1].content.strip() and role == _USER:
            turns.pop()
        return [Turn(turn) for turn in turns]
    if is_rendered(text):
        ways.notice("Markers of a chat template were read as turns in {n} texts.")
        return [Turn(turn) for turn in rendered(text)]
    if role == _ASSISTANT and (kept := ended(text)) != text:
        ways.notice("The marker that ends an answer in a chat template was left out of {n} answers.")
        text = kept
    return [Turn(Message(role, text))]


def _exchanged(value: Sequence[Any]) -> tuple[str, str] | None:
    """The keys of question and answer where each object of a list holds both, and nobody is named who speaks."""
    if not all(isinstance(each, Mapping) and not any(key in each for key in ROLE_KEYS) for each in value):
        return None
    return next((keys for keys in _EXCHANGES if all(set(keys) <= set(each) for each in value)), None)


def _exchanges(value: Sequence[Sequence[Any]], ways: Ways) -> list[Turn]:
    """`[[question, answer], …]`; the last answer may be missing."""
    found = []
    for each in value:
        if len(each) != 2 or not isinstance(each[0], str) or not isinstance(each[1], (str, type(None))):
            raise Skip(NO_TEXT)
        found.append(Turn(Message(_USER, each[0])))
        if each[1] is not None:
            found.append(Turn(Message(_ASSISTANT, each[1])))
    return found


def _turns(value: Sequence[Any], ways: Ways) -> list[Turn]:
    found: list[Turn] = []
    order: dict[str, int] = {}  # the place of each call's id, so that results can follow it
    results: list[tuple[int, Turn]] = []
    for entry in value:
        if type(entry) is dict and len(entry) == 2 and not results:  # as nearly all messages are
            said, who = entry.get("content"), entry.get("role")
            if type(said) is str and type(who) is str and who in _PLAIN_ROLES:
                found.append(Turn(Message(_PLAIN_ROLES[who], said)))
                continue
        if not isinstance(entry, Mapping):
            raise Skip("a message that is not an object")
        who = _role(entry)
        said = entry.get("content")
        if len(entry) == 2 and isinstance(said, str) and who not in (_TOOL, CALL):  # as nearly all messages are
            found += [*_in_order(results), Turn(Message(who, said))]
            results = []
            continue
        learned = all(entry.get(key) is None or _number(entry[key]) != 0 for key in _WEIGHTS)
        content = next((entry[key] for key in TEXT_KEYS if entry.get(key) is not None), None)
        calls, content = _calls(entry, who, content)
        who = _ASSISTANT if who == CALL else who
        if who == _ASSISTANT and any(filled(entry[key]) for key in _THOUGHT_KEYS if key in entry):
            ways.notice(THOUGHTS_LEFT_OUT)
        if content is None and not calls and filled(entry.get("refusal")):
            raise Skip("an answer that is a refusal (its content is empty)")
        if any(filled(entry[key]) for key in MEDIA_COLUMNS if key in entry):
            _picture(ways)
        told = _results(content) if who == _USER else []
        if told:
            found += _in_order(results) + [Turn(Message(_TOOL, _text(each, True, ways))) for each in told]
            results = []
            content = [part for part in content if part.get("type") != "tool_result"]
            if not content:
                continue
        text = _text(content, bool(calls), ways)
        if who == _TOOL:
            place = order.get(str(entry.get("tool_call_id")), len(order) + len(results))
            results.append((place, Turn(Message(who, text), learned)))
            continue
        found += _in_order(results)
        results = []
        if calls:
            order = {str(call.get("id")): place for place, call in enumerate(calls) if isinstance(call, Mapping)}
            text = calls_text([call_of(call) for call in calls], text)
        found.append(Turn(Message(who, text), learned))
    return found + _in_order(results)


def _in_order(results: list[tuple[int, Turn]]) -> list[Turn]:
    return [turn for _, turn in sorted(results, key=lambda result: result[0])]


def _role(entry: Mapping[str, Any]) -> str:
    name = next((entry[key] for key in ROLE_KEYS if key in entry), None)
    if not isinstance(name, str):
        raise Skip("a message without a role")
    who = ROLES.get(name.strip().lower())
    if who is None:
        raise Skip("a message of an unknown role")
    return who


def _calls(entry: Mapping[str, Any], who: str, content: Any) -> tuple[list[Any], Any]:
    """Tool calls of a message, wherever they stand, and the rest of its content."""
    function = entry.get("function_call")  # the older way to call one tool
    calls = entry.get("tool_calls") or ([{"function": function}] if function else [])
    calls = opened(calls) if isinstance(calls, str) else calls
    if who == CALL:
        inner = opened(content) if isinstance(content, str) else content
        if isinstance(inner, str):
            raise Skip("a function call that is not JSON")
        return list(inner) if isinstance(inner, list) else [inner], None
    if isinstance(content, list) and any(
        isinstance(p, Mapping) and _kind(p) in ("tool_use", "tool_call") for p in content
    ):
        calls = list(calls)
        for part in content:
            if _kind(part) == "tool_use":
                calls.append({"id": part.get("id"), "name": part.get("name"), "arguments": part.get("input")})
            elif _kind(part) == "tool_call":
                inner = part.get("value")
                calls.append(opened(inner) if isinstance(inner, str) else inner)
        content = [part for part in content if _kind(part) not in ("tool_use", "tool_call")] or None
    if not isinstance(calls, list):
        raise Skip("tool calls are not a list")
    return calls, content


def _results(content: Any) -> list[Any]:
    """What tools answered, in a person's message of parts."""
    if not isinstance(content, list):
        return []
    return [part.get("content") for part in content if isinstance(part, Mapping) and part.get("type") == "tool_result"]


def _kind(part: Any) -> str:
    return str(part.get("type") or "") if isinstance(part, Mapping) else ""


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and "type" in value and not any(key in value for key in ROLE_KEYS)


def _text(content: Any, optional: bool, ways: Ways) -> str:
    """Text of a content: itself, or its parts of type text joined. Raises `Skip`."""
    if content is None and optional:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping) and _is_part(content):
        content = [content]
    if not isinstance(content, Sequence):
        raise Skip(NO_TEXT)
    texts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, Mapping):
            raise Skip(NO_TEXT)
        kind = _kind(part).lower()
        if "think" in kind or "reason" in kind:
            ways.notice(THOUGHTS_LEFT_OUT)
        elif kind in ("", "text", "input_text", "output_text"):
            said = next((part[key] for key in ("text", "value", "content") if isinstance(part.get(key), str)), None)
            if any(filled(part.get(key)) for key in (*MEDIA_COLUMNS, *_MEDIA_PARTS)):
                _picture(ways)
            elif said is None:
                raise Skip(NO_TEXT)
            texts += [said] if said is not None else []
        elif kind == "refusal":
            raise Skip("an answer that is a refusal")
        elif any(word in kind for word in _MEDIA):
            _picture(ways)
        else:
            raise Skip("a part of a message that is not text", kind)
    if not texts and not optional:
        raise Skip(NO_TEXT)
    return "".join(texts)


def _picture(ways: Ways) -> None:
    if not ways.text_only:
        raise Skip(HAS_IMAGES)
    ways.notice(IMAGES_LEFT_OUT)


def _number(value: Any) -> float:
    if isinstance(value, str) and value.strip().lower() == "false":
        return 0.0
    try:
        return float(value)
    except (TypeError, ValueError):
        return 1.0


def with_system(system: Any, turns: Sequence[Message]) -> list[Message]:
    """The conversation after a system message, unless there is none or it begins with the same. Raises `Skip`."""
    if empty(system):
        return list(turns)
    if isinstance(system, Mapping) and "role" not in system:
        system = system.get("parts", system)
    if isinstance(system, str):
        text = system
    elif isinstance(system, list) and all(isinstance(each, Mapping) and "role" not in each for each in system):
        text = _text([each for each in system if "cachePoint" not in each], False, Ways())
    else:
        found = conversation(system, _SYSTEM)
        text = "\n".join(turn.content for turn in found)
    first = Message(_SYSTEM, text)
    return list(turns) if first in turns[:2] else [first, *turns]
