"""Where things happen: two walks through the code, function by function, and a list of questions.

Files and names are written here by hand; lines are looked up, and a name that is not in its file is an error. On a
walk, `value` says what a step hands on; how often it changes shape is counted from that.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from docs.tables import table

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Step:
    """A function (`Class.method` too) or a name at a module's top, what it does, and what it hands on."""

    file: str
    name: str
    words: str
    value: str = ""


DISLIKE = (
    Step("feedback_app/ui/chat_ratings.py", "rate", "the page's act becomes the whole verdict", "Verdict (Pydantic)"),
    Step("feedback_app/collect/judge.py", "judge", "may this person judge this ticket now?", "Verdict (Pydantic)"),
    Step("feedback_app/collect/judge.py", "fitting", "does it fit the task? ranks without gaps", "Verdict (Pydantic)"),
    Step(
        "feedback_app/store/judgements.py",
        "Judgements.record",
        "one live row a ticket, committed",
        "JudgementRow (SQL)",
    ),
    Step("feedback_app/loop/snapshot_round.py", "freeze", "everything up to a serial number", "JudgementRow (SQL)"),
    Step("feedback_app/store/export.py", "judgement_values", "a page at a time, with context and answers", "Judgement"),
    Step("alignment/dataset/compile/stream.py", "_spread", "surveyed, spread over files by context", "Judgement"),
    Step(
        "alignment/dataset/compile/labels.py", "mark_drafts", "**a mark weighs 1**, a dislike votes for share 0", "Vote"
    ),
    Step(
        "alignment/dataset/compile/shares.py", "opinion_of", "**times reliability**; several people: one row", "Opinion"
    ),
    Step("alignment/dataset/compile/labels.py", "mark_drafts", "label, target, weight, age weight", "MarkRow"),
    Step("alignment/dataset/compile/stream.py", "_draft_part", "kept until everybody's total is known", "MarkRow"),
    Step(
        "alignment/dataset/compile/drafted_context.py",
        "Scale.rows",
        "**times the person's cap** in this kind of row",
        "MarkRow",
    ),
    Step(
        "alignment/dataset/compile/snapshot_writer.py", "write_snapshot", "the snapshot; its hash names it", "JSON line"
    ),
    Step(
        "alignment/dataset/reading/folder.py", "read_marks", "in the stage's process; **times age weight**", "MarkRow"
    ),
    Step(
        "alignment/methods/shared_training/tokenized_labels.py",
        "tokenize_marks",
        "the model's template",
        "TokenizedMark",
    ),
    Step("alignment/methods/kto/train.py", "balanced", "**times its side's weight** (`sides_for`)", "TokenizedMark"),
    Step("alignment/methods/kto/trainer.py", "laid_out", "every pass in its order", "datasets.Dataset"),
    Step("alignment/methods/kto/trainer.py", "WeightedCollator.torch_call", "padded", "tensors"),
    Step(
        "alignment/methods/kto/trainer.py",
        "WeightedKtoTrainer._compute_loss",
        "weight · (1 − value), backward",
        "gradient",
    ),
)

ADAPTER = (
    Step("alignment/methods/shared_training/adapters.py", "save_adapter", "PEFT's files, safetensors", "folder"),
    Step("alignment/stage/runner.py", "run_stage", "progress, then the manifest and `COMPLETE`", "folder"),
    Step("feedback_app/loop/training.py", "Training.run", "in the worker: complete, hashes right?", "folder"),
    Step("feedback_app/loop/round_pipeline.py", "run_round", "the round, on one page", "folder"),
    Step("feedback_app/loop/versions.py", "register_artifact", "copied to its place, named for good", "Version (SQL)"),
    Step(
        "feedback_app/loop/reconcile.py", "Reconcile.ensure", "wait until every replica answers for it", "Version (SQL)"
    ),
    Step("feedback_app/loop/reconcile.py", "Reconcile._load", "files as registered? then load", "Version (SQL)"),
    Step(
        "serving/client.py", "VllmClient.load", "`/v1/load_lora_adapter`, under a name with the hash", "adapter in vLLM"
    ),
    Step("feedback_app/loop/evaluation.py", "gather", "questions, samples, KL against the incumbent", "Evidence"),
    Step(
        "feedback_app/loop/evaluation_suites.py", "with_suites", "suites, within the minutes that are left", "Evidence"
    ),
    Step("alignment/evaluation/gate.py", "guard_verdict", "pure: may it be shown to people?", "gate.Verdict"),
    Step("feedback_app/loop/votes.py", "challenge", "it is the challenger; the round is held", "Round (SQL)"),
    Step("feedback_app/loop/votes.py", "settle", "every second: are the votes in?", "votes.Tally"),
    Step("alignment/evaluation/gate.py", "vote_verdict", "pure: the exact binomial test", "gate.Verdict"),
    Step("feedback_app/loop/votes.py", "_follow", "**promoted here**, once the round says so", "Publication (SQL)"),
    Step("feedback_app/store/versions.py", "Versions.publish", "the alias `policy` is this row", "Publication (SQL)"),
    Step("feedback_app/collect/generate.py", "served", "read at every request", "Served"),
    Step(
        "feedback_app/collect/generate.py", "Sampling.payload", "the request to vLLM names the adapter", "ChatRequest"
    ),
)

WALKS: Mapping[str, Sequence[Step]] = {"dislike": DISLIKE, "adapter": ADAPTER}
NAMES = tuple(WALKS)

QUESTIONS: Mapping[str, Sequence[Step]] = {
    "Where does a dislike (or a like) get its weight?": (
        Step("alignment/dataset/compile/labels.py", "mark_drafts", "what one mark is worth, and the row it becomes"),
        Step("alignment/dataset/compile/shares.py", "opinion_of", "several people on one answer; reliability"),
        Step(
            "alignment/dataset/compile/drafted_context.py",
            "Scale.rows",
            "the cap for one person; age comes when rows are read, and kto balances both sides",
        ),
    ),
    "Where does a preference get its weight?": (
        Step("alignment/dataset/compile/weights.py", "verdict_weight", "clear 1, slight ½, both bad at most ½"),
        Step("alignment/dataset/compile/pairs.py", "pair_drafts", "the rows it becomes"),
    ),
    "Where is it decided how far a person can be relied on?": (
        Step("alignment/dataset/compile/reliability.py", "person_weights", "from gold, repeats and agreement"),
    ),
    "Where is a challenger promoted?": (
        Step("feedback_app/loop/votes.py", "settle", "counts the blind votes, asks the test"),
        Step("feedback_app/loop/votes.py", "_follow", "publishes it"),
        Step("feedback_app/loop/publish.py", "promote", "an operator does it by hand"),
    ),
    "Which blind votes count?": (
        Step("feedback_app/domain/votes.py", "tally", "the first ones, scripted ones or not"),
    ),
    "What may a new version never lose?": (
        Step("alignment/evaluation/gate.py", "guard_verdict", "the guards"),
        Step("feedback_app/loop/suites.py", "Suites.asked", "the suites that the gate asks"),
        Step("alignment/evaluation/suites/reading.py", "read_lines", "what a suite's file may hold"),
    ),
    "Where are adapters loaded and unloaded?": (
        Step("feedback_app/loop/reconcile.py", "Reconcile.once", "the only place"),
    ),
    "Where is a new file format added?": (
        Step("alignment/dataset/reading/presets.py", "MAPS", "one line: its columns in the language of `--map`"),
    ),
    "Which file has a method's settings?": (
        Step("alignment/methods/dpo/settings.py", "DpoSettings", "`settings.py` in the method's folder"),
        Step("alignment/methods/shared_training/settings.py", "OnlineSettings", "what several methods share"),
    ),
    "Where is a new method added?": (
        Step("alignment/methods/registry.py", "CARDS", "one line; its folder lies beside it"),
    ),
    "Where is a new page added?": (
        Step("feedback_app/ui/pages.py", "BUILDERS", "its path and its function"),
        Step("feedback_app/ui/theme.py", "PAGES", "its name and who sees it"),
        Step("feedback_app/api/guard.py", "ROLES", "who may ask for it"),
    ),
    "Where is a new setting of the app added?": (Step("feedback_app/settings.py", "Settings", "one typed field"),),
    "Where is a new command added?": (
        Step("feedback_app/commands/app.py", "app", "each module of `commands/` registers its own"),
    ),
    "Where is a judgement stored?": (Step("feedback_app/store/judgements.py", "Judgements.record", "one transaction"),),
    "Who may import what?": (Step("tests/test_arrows.py", "ALLOWED", "a rule for every package"),),
}


class NoSuchName(Exception):
    """A name that does not stand in its file."""


def line_of(file: str, name: str) -> int:
    """The line of a definition. Raises `NoSuchName`."""
    path = ROOT / file
    if not path.is_file():
        raise NoSuchName(f"docs/code_paths.py names {file}, which does not exist.")
    body: Sequence[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    found: ast.stmt | None = None
    for part in name.split("."):
        found = next((node for node in body if part in _names(node)), None)
        if found is None:
            raise NoSuchName(f"docs/code_paths.py names {name} in {file}, where there is none.")
        body = getattr(found, "body", [])
    assert found is not None
    return found.lineno


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def place(step: Step) -> str:
    """File and line."""
    return f"`{step.file}:{line_of(step.file, step.name)}`"


def changes(steps: Sequence[Step]) -> int:
    """How often the value becomes one of another shape."""
    return sum(one.value != other.value for one, other in pairwise(steps))


def code_path(name: str) -> str:
    """One walk as a table, with how often the value changes shape."""
    steps = WALKS[name]
    rows = [
        [number, f"`{step.name}`", place(step), step.words, step.value if step.value != before else "〃"]
        for number, (step, before) in enumerate(zip(steps, ["", *(each.value for each in steps)], strict=False), 1)
    ]
    counted = f"{len(steps)} steps; the value changes shape {changes(steps)} times."
    return table(["", "function", "file and line", "what it does", "the value is then"], rows) + f"\n\n{counted}"


def finder() -> str:
    """Questions with the places that answer them."""
    rows = [
        [question if not number else "", place(step), f"`{step.name}`: {step.words}"]
        for question, steps in QUESTIONS.items()
        for number, step in enumerate(steps)
    ]
    return table(["question", "file and line", ""], rows)
