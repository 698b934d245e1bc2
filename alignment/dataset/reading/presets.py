"""What other tools write, as a table: the keys that show it, and the map that reads it, in the language of `--map`.

Code stands beside a preset only where its shape is a tree or a join (`shapes`). What no preset knows is read by the
names of its columns (`generic`). Presets are tried in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from alignment.dataset.reading.feedback import Feedback, Record
from alignment.dataset.reading.mapping import ColumnMap, parse
from alignment.dataset.reading.shapes import (
    argilla,
    chatgpt,
    fastchat,
    hh,
    label_studio,
    langfuse,
    librechat,
    oasst,
    open_webui,
    prism,
    self_instruct,
    table,
    ultrafeedback,
)
from alignment.dataset.reading.ways import Ways


@dataclass(frozen=True, slots=True)
class Preset:
    """A format that shows by its keys: who writes it, and what reads it.

    One of `columns` (keys `needs`, folded), `read` (a record) and `join` (records that `together` puts side by side).
    `own` is for a shape that says by more than its keys that a record is one; every such record has one of `signs`, a
    key, or with a dot in front the end of one, so that other records need not be looked into.
    """

    name: str
    tool: str
    needs: tuple[str, ...] = ()
    columns: ColumnMap | None = None
    own: Callable[[Record], bool] | None = None
    read: Callable[[Record, Ways], list[Feedback]] | None = None
    join: Callable[[Sequence[Record], Ways], list[Feedback]] | None = None
    together: Callable[[Record], str] | None = None
    signs: tuple[str, ...] = ()
    written: str = field(default="", compare=False)

    def may_own(self, keys: Sequence[str]) -> bool:
        """Whether a record of these keys may be of this shape."""
        return any(sign in keys or (sign[0] == "." and any(key.endswith(sign) for key in keys)) for sign in self.signs)

    def shows(self, record: Mapping[str, object]) -> bool:
        """Whether a record is of this format; where it is a map, `record` has folded keys."""
        nested = [path for path in self.columns.prompt if len(path) > 1] if self.columns is not None else []
        return (
            all(key in record for key in self.needs)
            and all(isinstance(record.get(path[0]), (Mapping, list)) for path in nested)
            and (self.own is None or self.own(dict(record)))
        )


def _map(name: str, tool: str, columns: str, needs: str = "") -> Preset:
    """A preset that is a map; it shows by every column that the map names, or by those in `needs`."""
    made = parse([columns])
    keys = needs.split() or [path[0] for paths in made.paths().values() for path in paths]
    return Preset(name, tool, tuple(keys), made, written=columns)


def _shape(
    name: str, tool: str, signs: str, own: Callable[[Record], bool], read: Callable[[Record, Ways], list[Feedback]]
) -> Preset:
    return Preset(name, tool, signs=tuple(signs.split()), own=own, read=read)


SHAPES: tuple[Preset, ...] = (
    _shape("csv", "alignloop's own export", "rejected", table.is_own, table.read_csv),
    _shape("open-webui", "Open WebUI: feedback export, API list", "data", open_webui.is_rating, open_webui.read_rating),
    _shape("open-webui", "Open WebUI: export of chats", "chat", open_webui.is_chat, open_webui.read_chat),
    _shape(
        "librechat",
        "LibreChat: exported conversations",
        "messages messagesTree",
        librechat.is_conversation,
        librechat.read_conversation,
    ),
    _shape("chatgpt", "ChatGPT's export", "mapping", chatgpt.is_conversation, chatgpt.read_conversation),
    _shape(
        "chatgpt", "ChatGPT's export: message_feedback.json", "conversation_id", chatgpt.is_rating, chatgpt.read_rating
    ),
    _shape("fastchat", "FastChat's vote log", "state states", fastchat.is_fastchat, fastchat.read_fastchat),
    _shape("oasst", "OpenAssistant's trees", "message_tree_id", oasst.is_tree, oasst.read_tree),
    Preset(
        "oasst",
        "OpenAssistant: oasst1 and oasst2, flat",
        signs=("parent_id",),
        own=oasst.is_flat,
        join=oasst.read_flat,
        together=oasst.tree_of,
    ),
    _shape("argilla", "Argilla 1 and 2", "fields", argilla.is_argilla, argilla.read_argilla),
    _shape("argilla", "Argilla 2, flattened", ".responses", argilla.is_flat, argilla.read_flat),
    _shape("label-studio", "Label Studio: JSON", "annotations", label_studio.is_task, label_studio.read_task),
    _shape("langfuse", "Langfuse: scores with their traces", "value", langfuse.is_score, langfuse.read_score),
    _shape(
        "langfuse", "Langfuse: observations with scores", "scores", langfuse.is_observation, langfuse.read_observation
    ),
    Preset(
        "prism",
        "PRISM: utterances",
        signs=("if_chosen",),
        own=prism.is_utterance,
        join=prism.read_utterances,
        together=prism.conversation_of,
    ),
    _shape("prism", "PRISM: conversations", "conversation_history", prism.is_conversation, prism.read_conversation),
    _shape("ultrafeedback", "UltraFeedback", "completions", ultrafeedback.is_scored, ultrafeedback.read_scored),
    _shape("self-instruct", "self-instruct's tasks", "instances", self_instruct.is_task, self_instruct.read_task),
)

MAPS: tuple[Preset, ...] = (
    _map(
        "openai-preference",
        "OpenAI: preference fine-tuning",
        "prompt=input.messages,tools=input.tools,chosen=preferred_output,rejected=non_preferred_output",
        "input preferred_output non_preferred_output",
    ),
    _map(
        "arena",
        "Chatbot Arena 33k, 100k and 140k, MT-Bench",
        "a=conversation_a,b=conversation_b,winner=winner,rater=judge",
        "conversation_a conversation_b winner",
    ),
    _map(
        "arena",
        "Chatbot Arena 55k",
        "prompt=prompt,a=response_a,b=response_b,a_wins_if=winner_model_a,b_wins_if=winner_model_b,tie_if=winner_tie",
    ),
    _map(
        "helpsteer",
        "HelpSteer2-preference",
        "prompt=prompt,a=response_1,b=response_2,winner=preference_strength,a_wins=below:0,b_wins=above:0,tie=0",
    ),
    _map(
        "helpsteer",
        "HelpSteer3",
        "prompt=context,a=response1,b=response2,winner=overall_preference,a_wins=below:0,b_wins=above:0,tie=0",
    ),
    _map(
        "shp",
        "Stanford Human Preferences",
        "prompt=history,a=human_ref_a,b=human_ref_b,winner=labels,a_wins=1,b_wins=0",
    ),
    _map(
        "pku",
        "PKU-SafeRLHF",
        "prompt=prompt,a=response_0,b=response_1,winner=better_response_id,a_wins=0,b_wins=1",
    ),
    _map("pku", "BeaverTails", "prompt=prompt,answer=response,label=is_safe"),
    _map(
        "pandalm",
        "PandaLM",
        "prompt=instruction+input,a=response1,b=response2,"
        "winner=annotator1+annotator2+annotator3,a_wins=1,b_wins=2,tie=0",
    ),
    _map("llmbar", "LLMBar", "prompt=input,a=output_1,b=output_2,winner=label,a_wins=1,b_wins=2"),
    _map(
        "alpaca-eval",
        "AlpacaEval and AlpacaFarm",
        "prompt=instruction+input,a=output_1,b=output_2,winner=preference,"
        "a_wins=below:1.5,b_wins=above:1.5,tie=1.5,rater=annotator",
        "instruction output_1 output_2 preference",
    ),
    _map(
        "webgpt",
        "WebGPT comparisons",
        "prompt=question.full_text,a=answer_0,b=answer_1,score_a=score_0,score_b=score_1",
        "question answer_0 answer_1 score_0 score_1",
    ),
    _map(
        "summarize",
        "Summarize from feedback",
        "prompt=info.post,a=summaries.0.text,b=summaries.1.text,winner=choice,a_wins=0,b_wins=1",
    ),
    _map("stack-exchange", "StackExchange paired", "prompt=question,chosen=response_j,rejected=response_k"),
    _map(
        "gradio",
        "Gradio's log of likes",
        "prompt=conversation,answer=value,label=liked,rater=username",
        "conversation value liked",
    ),
)
PRESETS = (*SHAPES, *MAPS)
# Read as strictly as it is written when it is named; otherwise a pair of dialogues is a pair like others.
NAMED: Mapping[str, Callable[[Record, Ways], list[Feedback]]] = {"hh": hh.read_hh}
