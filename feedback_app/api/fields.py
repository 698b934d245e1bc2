"""Which fields of a chat request the door takes, and what each means for the answer's worth as evidence.

One table, `FIELDS`; what it does not name is refused with a sentence that names the field. Only what the model says
of itself to a prompt that we keep may be judged: whoever may send a grammar, a bias or half an answer can write
"the model's answer" themselves, and like it. So a field that can decide words, or that puts text before the model
which the record does not hold, is passed on, and its answer is recorded and marked (`Excluded`),
gets no ticket and never trains.

Not here: how much of anything one person may ask for, and whether a value is right; vLLM refuses wrong ones. Only
types are checked, because parts of vLLM read values before it checks them. Messages are `api.messages`' business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from feedback_app.api.messages import read_messages
from feedback_app.errors import NotAllowed, UsageError
from feedback_app.store.tables import Excluded


class Way(StrEnum):
    """What happens to a field that says something."""

    PASSED = "passed"
    DROPPED = "dropped"  # it has no effect here
    OPERATORS = "operators"  # passed for operators, refused to others
    REFUSED = "refused"


class Type(StrEnum):
    """What a value must be, in the words of the refusal."""

    BOOL = "true or false"
    INT = "a whole number"
    NUMBER = "a number"
    TEXT = "a text"
    TEXTS = "a text or a list of texts"
    LIST = "a list"
    OBJECT = "an object"
    CHOICE = "a text or an object"
    TOOLS = "a list of tools, each with a function that has a name"
    ANY = "anything"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `excluded` is what its answer is marked as, unless the value is `plain`: one that changes nothing.

    `instead` ends the sentence of a refusal with what to do.
    """

    way: Way
    type: Type = Type.ANY
    excluded: Excluded | None = None
    plain: Callable[[Any], bool] = lambda value: False
    kept: bool = False  # stored with the answer, as one of its sampling settings
    instead: str = "Leave it out."
    parsed: bool = False  # only where vLLM can read the model's calls of tools


def _is(*values: Any) -> Callable[[Any], bool]:
    return lambda value: any(value is each or (value == each and type(value) is type(each)) for each in values)


def _within(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: low <= value <= high


def _empty(value: Any) -> bool:
    return not value


def _sampled(type: Type, plain: Callable[[Any], bool] | None = None) -> Field:
    """A setting of the sampling. Outside of `plain`, it chooses words more than the model does."""
    return Field(Way.PASSED, type, Excluded.FORCED if plain else None, plain or (lambda value: True), kept=True)


def _forcing(type: Type, plain: Callable[[Any], bool] = _empty) -> Field:
    return Field(Way.PASSED, type, Excluded.FORCED, plain, kept=True)


def _hidden(type: Type) -> Field:
    return Field(Way.PASSED, type, Excluded.HIDDEN_PROMPT, _empty)


_PASSED = Field(Way.PASSED)
_DROPPED = Field(Way.DROPPED)
_REFUSED = Field(Way.REFUSED)
_SCHEMA = Field(Way.REFUSED, instead="Send response_format.")

FIELDS: Mapping[str, Field] = {
    # What every request says. `messages` are read by `api.messages`, `model` is replaced by the version's name.
    "messages": _PASSED,
    "model": _PASSED,
    "n": _sampled(Type.INT),
    "stream": Field(Way.PASSED, Type.BOOL),
    "stream_options": Field(Way.PASSED, Type.OBJECT),
    "seed": Field(Way.PASSED, Type.INT),
    # How the model is sampled. A temperature above 2 draws words nearly at random; a repetition penalty below 1
    # repeats the prompt's words and a high one forbids them.
    "temperature": _sampled(Type.NUMBER, _within(0.0, 2.0)),
    "repetition_penalty": _sampled(Type.NUMBER, _within(1.0, 1.3)),
    "frequency_penalty": _sampled(Type.NUMBER),
    "presence_penalty": _sampled(Type.NUMBER),
    "top_p": _sampled(Type.NUMBER),
    "top_k": _sampled(Type.INT),
    "min_p": _sampled(Type.NUMBER),
    "reasoning_effort": _sampled(Type.TEXT),
    # How long the answer is. One that a stop string ended is marked when it has come.
    "max_tokens": _sampled(Type.INT),
    "max_completion_tokens": _sampled(Type.INT),
    "stop": _sampled(Type.TEXTS),
    "min_tokens": Field(Way.OPERATORS, Type.INT, Excluded.FORCED, _is(0), kept=True),
    "ignore_eos": Field(Way.OPERATORS, Type.BOOL, Excluded.FORCED, _is(False), kept=True),
    "priority": Field(Way.OPERATORS, Type.INT, plain=_is(0)),
    # What can decide words.
    "response_format": _forcing(Type.OBJECT, lambda value: value.get("type") == "text"),
    "structured_outputs": _forcing(Type.OBJECT),
    "logit_bias": _forcing(Type.OBJECT),
    "allowed_token_ids": _forcing(Type.LIST),
    "bad_words": _forcing(Type.LIST),
    "tool_choice": replace(_forcing(Type.CHOICE, _is("auto", "none")), parsed=True),
    "continue_final_message": Field(Way.PASSED, Type.BOOL, Excluded.PREFILLED, _is(False)),
    "add_generation_prompt": Field(Way.PASSED, Type.BOOL, Excluded.PREFILLED, _is(True)),
    "echo": Field(Way.PASSED, Type.BOOL, Excluded.PREFILLED, _is(False)),
    "skip_special_tokens": Field(Way.PASSED, Type.BOOL, Excluded.FORCED, _is(True)),
    # What the model reads and the record does not hold.
    "tools": replace(_hidden(Type.TOOLS), parsed=True),
    "documents": _hidden(Type.LIST),
    "chat_template_kwargs": _hidden(Type.OBJECT),
    "add_special_tokens": Field(Way.PASSED, Type.BOOL, Excluded.HIDDEN_PROMPT, _is(False)),
    # What is told about the answer.
    "logprobs": Field(Way.PASSED, Type.BOOL),
    "top_logprobs": Field(Way.PASSED, Type.INT),
    "return_token_ids": Field(Way.PASSED, Type.BOOL),
    "return_tokens_as_token_ids": Field(Way.PASSED, Type.BOOL),
    "include_reasoning": Field(Way.PASSED, Type.BOOL),
    "parallel_tool_calls": Field(Way.PASSED, Type.BOOL),
    # Fields of OpenAI's that change nothing here.
    "metadata": _DROPPED,
    "modalities": Field(Way.REFUSED, plain=_is(["text"]), instead="Answers are text."),
    "prediction": _DROPPED,
    "prompt_cache_key": _DROPPED,
    "prompt_cache_options": _DROPPED,
    "prompt_cache_retention": _DROPPED,
    "safety_identifier": _DROPPED,
    "service_tier": _DROPPED,
    "store": _DROPPED,
    "user": _DROPPED,
    "verbosity": _DROPPED,
    # Known, and refused to everybody.
    "audio": Field(Way.REFUSED, instead="Answers are text."),
    "best_of": Field(Way.REFUSED, instead="Send n, and choose."),
    "cache_salt": _REFUSED,
    "chat_template": Field(Way.REFUSED, instead="The model's own template is used."),
    "function_call": Field(Way.REFUSED, instead="Send tool_choice."),
    "functions": Field(Way.REFUSED, instead="Send tools."),
    "guided_choice": _SCHEMA,
    "guided_grammar": _SCHEMA,
    "guided_json": _SCHEMA,
    "guided_regex": _SCHEMA,
    "kv_transfer_params": _REFUSED,
    "lora_request": Field(Way.REFUSED, instead="The model's name says which version answers."),
    # Costly for everybody else, and known to end vLLM's engine on CPU.
    "prompt_logprobs": Field(Way.REFUSED, instead="Leave it out; logprobs of the answer are offered."),
    "request_id": _REFUSED,
    "stop_token_ids": Field(Way.REFUSED, instead="Send stop, with texts."),
    "truncate_prompt_tokens": Field(Way.REFUSED, instead="Send fewer messages."),
    "use_beam_search": Field(Way.REFUSED, plain=_is(False), instead="Answers are sampled."),
    "vllm_xargs": _REFUSED,
}
NO_PARSER = (
    "{0} is not offered here, because no parser of this model's tool calls is named: whoever runs this sets "
    "ALIGNLOOP_TOOL_PARSER to vLLM's name of it; without one, leave {0} out."
)
STREAM_OPTIONS = ("include_usage", "continuous_usage_stats")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be answered. `body` is what vLLM gets, but for the model's name.

    `sampling` is stored with the answer. `excluded` is why the answer may not be judged, None where it may;
    `because` then names the fields.
    """

    body: dict[str, Any]
    sampling: dict[str, Any]
    excluded: Excluded | None = None
    because: tuple[str, ...] = ()


def read_fields(asked: Mapping[str, Any], *, operator: bool, tools: bool = True) -> Asked:
    """A request without what it may not say. A field that is null says nothing. `tools`: vLLM reads calls of them.

    Raises `UsageError` and, for what is operators' only, `NotAllowed`; each names the field.
    """
    check_finite(asked)
    messages, found = read_messages(asked.get("messages"))
    body: dict[str, Any] = {}
    for name, value in asked.items():
        field = FIELDS.get(name)
        if value is None:
            continue
        if field is None:
            raise UsageError(f"{short(name)} is not a field that is taken here. Leave it out.")
        if not fits(value, field.type):
            raise UsageError(f"{name} must be {field.type.value}.")
        if field.way is Way.DROPPED:
            continue
        plain = field.plain(value)
        if field.way is Way.REFUSED:
            if plain:
                continue
            raise UsageError(f"{name} is not offered here. {field.instead}")
        if field.parsed and not plain and not tools:
            raise UsageError(NO_PARSER.format(name))
        if field.way is Way.OPERATORS and not plain and not operator:
            raise NotAllowed(f"Only an operator may send {name}. Leave it out.")
        if field.excluded is not None and not plain:
            found[name] = field.excluded
        body[name] = value
    body["messages"] = messages
    if "stream_options" in body:
        options = {key: value for key, value in body["stream_options"].items() if key in STREAM_OPTIONS}
        if not all(value is None or isinstance(value, bool) for value in options.values()):
            raise UsageError(f"The values of stream_options must be {Type.BOOL.value}.")
        body["stream_options"] = options
    gravest = next((reason for reason in Excluded if reason in found.values()), None)
    kept = {name: value for name, value in body.items() if FIELDS[name].kept}
    return Asked(body, kept, gravest, tuple(found))


def fits(value: Any, type: Type) -> bool:
    """Whether a value is of this type."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    match type:
        case Type.BOOL:
            return isinstance(value, bool)
        case Type.INT:
            return whole
        case Type.NUMBER:
            return whole or isinstance(value, float)
        case Type.TEXT:
            return isinstance(value, str)
        case Type.TEXTS:
            return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))
        case Type.LIST:
            return isinstance(value, list)
        case Type.OBJECT:
            return isinstance(value, dict)
        case Type.CHOICE:
            return isinstance(value, str | dict)
        case Type.TOOLS:
            return isinstance(value, list) and all(map(_is_tool, value))
        case Type.ANY:
            return True


def _is_tool(value: Any) -> bool:
    function = value.get("function") if isinstance(value, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def check_finite(value: Any) -> None:
    """Raise `UsageError` on a number that JSON does not have, as 1e999. How deep it may be nested: `json_body`."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, float) and not math.isfinite(each):
            raise UsageError("The request holds a number that is too large. Send a finite one.")


def short(name: str) -> str:
    """A field's name as a sentence can hold it."""
    return name if len(name) <= 60 else f"{name[:60]}…"
