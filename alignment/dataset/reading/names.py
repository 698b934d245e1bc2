"""What columns are called in files that people have, as data: each part of a feedback with its usual names.

Names are compared in lower case, with `_` for blanks. A name that is made of two of these words (`response_chosen`,
`rejected_messages`, `answer_a`) is understood by its words.
"""

from __future__ import annotations

import re
from functools import lru_cache

QUESTIONS: tuple[str, ...] = (
    "prompt",
    "question",
    "instruction",
    "query",
    "user_prompt",
    "user_message",
    "user_input",
    "prompt_text",
)
QUESTIONS += ("question_text", "user_query")
ADDED = ("input", "context")  # what a question or an instruction is about, where both are there
CONVERSATIONS: tuple[str, ...] = (
    "messages",
    "conversations",
    "conversation",
    "context_messages",
    "prompt_messages",
    "input_messages",
)
CONVERSATIONS += ("contents", "trajectory")
CONVERSATIONS += ("chat", "dialogue", "dialog", "turns_list")
HISTORIES = ("history", "chat_history", "conversation_history", "previous_turns")
SYSTEMS: tuple[str, ...] = ("system", "system_prompt", "system_message", "system_instruction", "systeminstruction")
SYSTEMS += ("sys_prompt",)
TOOLS = ("tools", "available_tools", "functions")
ANSWERS: tuple[str, ...] = (
    "completion",
    "response",
    "output",
    "answer",
    "reply",
    "generation",
    "target",
    "assistant",
    "bot",
)
ANSWERS += ("model_response", "model_output", "assistant_response", "bot_response", "generated_text", "response_text")
ANSWERS += ("answer_text", "completion_text", "output_text")
LISTS = ("responses", "completions", "answers", "generations", "candidates", "outputs", "replies", "choices")
TEXTS: tuple[str, ...] = (
    "text",
    "response",
    "answer",
    "completion",
    "content",
    "output",
    "generation",
    "body",
    "reply",
    "value",
    "messages",
)
RANKS = ("rank", "ranking", "place")
SCORES = ("score", "pm_score", "overall_score", "rating", "reward", "preference_score")
RANKS_BESIDE = ("ranks", "ranking", "rankings", "rank")
SCORES_BESIDE = ("scores", "ratings", "rewards", "rating", "score", "reward")
LABELS: tuple[str, ...] = (
    "label",
    "kto_tag",
    "labels",
    "liked",
    "is_liked",
    "is_good",
    "desirable",
    "is_desirable",
    "thumbs_up",
)
VERDICTS: tuple[str, ...] = (
    "winner",
    "preferred",
    "preference",
    "choice",
    "better",
    "vote",
    "verdict",
    "comparison",
    "chosen",
    "selected",
)
VERDICTS += (
    "best",
    "label",
    "labels",
    "judgement",
    "judgment",
    "preferred_answer",
    "preferred_response",
    "winner_name",
)
RATERS = ("annotator", "rater", "annotator_id", "rater_id", "worker_id", "labeler")

_CHOSEN = {"chosen", "preferred", "accepted", "accept", "winning", "better", "positive", "good", "pos"}
_REJECTED = {
    "rejected",
    "reject",
    "dispreferred",
    "unpreferred",
    "nonpreferred",
    "losing",
    "worse",
    "negative",
    "bad",
    "neg",
}
_ANSWERISH = {"response", "answer", "output", "completion", "message", "messages", "text", "reply", "generation"}
_ANSWERISH |= {"conversation", "conversations", "content", "human", "ref", "summary", "candidate", "generated", "model"}
_MODEL = {"model"}  # names an answer only beside another word
_SIDES = {"a": ("a", 0), "b": ("a", 1), "1": ("1", 0), "2": ("1", 1), "0": ("0", 0), "left": ("left", 0)}
_SIDES |= {"right": ("left", 1), "first": ("first", 0), "second": ("first", 1)}
_FEEDBACK = _CHOSEN | _REJECTED
_FEEDBACK -= {"accept", "positive", "pos", "negative", "neg", "good", "bad"}
_FEEDBACK |= {
    "rating",
    "ratings",
    "rated",
    "score",
    "scores",
    "rank",
    "ranks",
    "ranking",
    "preference",
    "prefer",
    "winner",
}
_FEEDBACK |= {"win", "wins", "won", "vote", "votes", "voted", "label", "labels", "liked", "like", "likes", "dislike"}
_FEEDBACK |= {
    "disliked",
    "dislikes",
    "thumb",
    "thumbs",
    "upvote",
    "upvotes",
    "downvote",
    "downvotes",
    "feedback",
    "best",
}
_FEEDBACK |= {"reward", "rewards", "judgement", "judgment", "verdict", "grade", "stars", "helpfulness", "correctness"}
_FEEDBACK |= {"approved", "approval", "desirable", "kto", "worst", "quality", "good", "bad"}
_ABOUT = {
    "id",
    "ids",
    "uuid",
    "qid",
    "pid",
    "idx",
    "index",
    "source",
    "dataset",
    "split",
    "model",
    "models",
    "language",
    "lang",
}
_ABOUT |= {"timestamp", "tstamp", "date", "time", "created", "updated", "category", "categories", "tag", "tags", "meta"}
_ABOUT |= {
    "metadata",
    "url",
    "version",
    "hash",
    "type",
    "domain",
    "generator",
    "tokens",
    "length",
    "num",
    "count",
    "name",
}
_ABOUT |= {
    "weight",
    "origin",
    "judgements",
    "turn",
    "turns",
    "unnamed",
    "order",
    "status",
    "train",
    "classification",
    "email",
}
_ABOUT |= {"license", "author", "subset", "task", "parallel", "at", "key", "row", "template"}


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """A column's name as it is compared."""
    return "_".join(name.strip().lstrip("\ufeff").casefold().split())


@lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """The words of a name: `ResponseChosen`, `response_chosen` and `response-chosen` have the same two."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return tuple(word for word in re.split(r"[^a-z0-9]+", parted.casefold()) if word)


@lru_cache(maxsize=4096)
def better_or_worse(name: str) -> str:
    """`chosen` or `rejected` where a name calls an answer that, else nothing."""
    found = words(name)
    rest = [word for word in found if word not in _CHOSEN | _REJECTED]
    if rest and rest[0] == "non" and "preferred" in found:
        found, rest = ("dispreferred",), rest[1:]
    if (len(found) - len(rest) != 1 and found != ("dispreferred",)) or not set(rest) <= _ANSWERISH:
        return ""
    return "rejected" if _REJECTED & set(found) else "chosen"


@lru_cache(maxsize=4096)
def side_of(name: str) -> tuple[str, str, int] | None:
    """Of a name like `answer_a`, `response2`, `left_text`, `a`: the stem, the way of counting, and 0 or 1."""
    parts = list(words(name))
    if len(parts) > 0 and (glued := re.fullmatch(r"([a-z]+)([012])", parts[-1])):
        parts[-1:] = [glued.group(1), glued.group(2)]
    for place in (len(parts) - 1, 0):
        if parts and parts[place] in _SIDES:
            rest = parts[:place] + parts[place + 1 :]
            way, which = _SIDES[parts[place]]
            if parts[place] == "1":  # 1 is the first beside 2 and the second beside 0: both ways are tried
                return "_".join(rest), "1", 0
            return "_".join(rest), way, which
    return None


@lru_cache(maxsize=4096)
def names_answers(stem: str) -> bool:
    """Whether the stem of two columns names answers."""
    found = set(stem.split("_")) - {""}
    return found <= _ANSWERISH and found != _MODEL


@lru_cache(maxsize=4096)
def holds_feedback(name: str) -> bool:
    """Whether a column is called as verdicts are."""
    found = set(words(name))
    return bool(found & _FEEDBACK) and not found & {"id", "model", "url", "time", "timestamp", "name", "template"}


@lru_cache(maxsize=4096)
def describes(name: str) -> bool:
    """Whether a column only says where a row is from."""
    found = words(name)
    return not found or bool(set(found) & _ABOUT)
