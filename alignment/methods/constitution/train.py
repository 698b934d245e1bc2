"""Constitutional AI: principles in a text file instead of people, and rows that say so.

Bai et al. 2022 (arXiv:2212.08073). The model answers; an adviser (the model itself, or a stronger one behind an
OpenAI-compatible address) criticises each answer by a principle and revises it, which gives rows worth
imitating; and it chooses between two answers, in both orders, which gives preferences. They are labelled
`origin = "ai"` and stand in a folder of their own; people's rows join them only when `people` is set.
What comes out is a dataset folder for `dpo` or `sft`, not a model.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

from alignment.dataset.compile.text import same_answer
from alignment.dataset.judgement import Message
from alignment.dataset.left_out import LeftOut
from alignment.dataset.reading.folder import read_pairs, read_sft
from alignment.dataset.reading.training_files import has_table
from alignment.dataset.rows import PairRow, Row, SftRow, to_record
from alignment.errors import StageError
from alignment.files import lines_of
from alignment.methods.constitution.settings import ConstitutionSettings
from alignment.methods.online.prompts import Prompt, prompts_for, usable_prompts
from alignment.records import StageMetrics
from alignment.stage.sampler import Sample, Sampler, Sampling
from alignment.stage.spec import Progress, StageSpec

PART = 64  # prompts between two progress records
_CHOICE = re.compile(r"\b(A|B)\b")


def train(
    spec: StageSpec,
    progress: Progress,
    *,
    sampler: Sampler | None = None,
    adviser: Sampler | None = None,
    key: str = "",
) -> StageMetrics:
    """Write `pairs.jsonl`, `sft.jsonl` and an empty `marks.jsonl` into `spec.out`.

    Progress records: `step`, `steps` (prompts), `pairs`, `revised`, `seconds_left`. `sampler` answers and
    `adviser` advises instead of what the spec names; `key` is for the adviser's address, and written nowhere.
    Returns the metrics.
    Raises `StageError` with one sentence when there are no principles or prompts, or the adviser is away.
    """
    from alignment.methods.shared_training.resuming import LoopCheckpoints

    if spec.model is None:
        raise StageError("constitution needs a model to start from; name one.")
    settings = ConstitutionSettings.read(spec.settings)
    principles = read_principles(settings.principles)
    left = LeftOut()
    found = prompts_for(spec.data, settings.prompts, "constitution", settings.min_prompts, left)
    prompts = list(found) if sampler is not None else _answerable(spec, settings, found, left)
    random.Random(spec.seed).shuffle(prompts)
    prompts = prompts[: settings.count]
    inside = sampler or _own(spec, settings)
    if adviser is None:
        adviser = _address(settings, key) if settings.url else inside
    advisers_name = settings.adviser if settings.url else "policy"
    began = time.perf_counter()
    council = Council(adviser, advisers_name, principles, settings, spec.seed)
    pairs: list[PairRow] = []
    revised: list[SftRow] = []
    checkpoints = LoopCheckpoints[_Advised](spec)
    if state := checkpoints.state():
        council.rng.setstate(state["order"])
        pairs = [PairRow(**_with_turns(record)) for record in state["pairs"]]
        revised = [SftRow(**_with_turns(record)) for record in state["revised"]]
    else:
        progress({"step": 0, "steps": len(prompts)})

    def so_far() -> _Advised:
        return {
            "order": council.rng.getstate(),
            "pairs": [asdict(row) for row in pairs],
            "revised": [asdict(row) for row in revised],
        }

    for start in range(checkpoints.step, len(prompts), PART):
        part = prompts[start : start + PART]
        try:
            answers = inside.sample(
                "policy", part, Sampling(settings.temperature, settings.max_tokens, spec.seed + start, n=2)
            )
            if settings.choose:
                pairs.extend(council.choose(part, answers))
            if settings.revise:
                revised.extend(council.revise(part, [samples[0] for samples in answers]))
        except ConnectionError as error:
            raise StageError(f"constitution could not ask its model: {error}. Start it, or correct url.") from error
        done = start + len(part)
        remaining = (time.perf_counter() - began) / (done - checkpoints.step) * (len(prompts) - done)
        progress(
            {
                "step": done,
                "steps": len(prompts),
                "pairs": len(pairs),
                "revised": len(revised),
                "seconds_left": round(remaining, 1),
            }
        )
        if done < len(prompts):
            checkpoints.offer(done, so_far)
    from_people: tuple[list[PairRow], list[SftRow]] = ([], [])
    if settings.people:
        from_people = (_of(spec.data, "pairs", read_pairs), _of(spec.data, "sft", read_sft))  # dpo looks at each
    _write(spec.out / "pairs.jsonl", [*from_people[0], *pairs])
    _write(spec.out / "sft.jsonl", [*from_people[1], *revised])
    _write(spec.out / "marks.jsonl", [])
    if not pairs and not revised:
        raise StageError(
            f"The adviser made nothing usable of {len(prompts)} prompts: it chose the same answer in both orders 0 "
            "times and revised 0. Name a stronger one with url and adviser."
        )
    return {
        "kind": "dataset",
        "principles": len(principles),
        "prompts": len(prompts),
        **left.to_record(),
        "rows": {"pairs": len(pairs), "sft": len(revised), "people": len(from_people[0]) + len(from_people[1])},
        "adviser": settings.adviser if settings.url else "itself",
        "seconds_training": round(time.perf_counter() - began, 3),
    }


def read_principles(path: str) -> list[str]:
    """The principles of a text file, one a line; lines that begin with # are comments. Raises `StageError`."""
    if not path:
        raise StageError(
            "constitution needs at least one principle and has 0: name a text file, one a line, with the setting "
            "principles."
        )
    try:
        lines = lines_of(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StageError(f"{path} cannot be read as a file of principles: {error}.") from error
    found = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        raise StageError(f"constitution needs at least one principle; {path} has 0.")
    return found


class _Advised(TypedDict):
    """A checkpoint: the state of chance, and the rows so far as `asdict` has them."""

    order: Any
    pairs: list[dict[str, Any]]
    revised: list[dict[str, Any]]


class Council:
    """The adviser's three questions: what is wrong, say it better, which is better."""

    def __init__(
        self, adviser: Sampler, name: str, principles: Sequence[str], settings: ConstitutionSettings, seed: int
    ) -> None:
        self._adviser = adviser
        self._name = name
        self._principles = principles
        self._sampling = Sampling(0.0, settings.max_tokens, seed)
        self.rng = random.Random(seed)

    def revise(self, prompts: Sequence[Prompt], answers: Sequence[Sample]) -> list[SftRow]:
        """A row for each answer that its revision changed; empty and cut revisions give none."""
        principles = [self.rng.choice(self._principles) for _ in prompts]
        critiques = self._ask(
            [_critique(p, a.text, rule) for p, a, rule in zip(prompts, answers, principles, strict=True)]
        )
        revisions = self._ask(
            [
                _revision(p, a.text, rule, critique.text)
                for p, a, rule, critique in zip(prompts, answers, principles, critiques, strict=True)
            ]
        )
        return [
            SftRow(prompt, revision.text.strip(), 1.0, ())
            for prompt, answer, revision in zip(prompts, answers, revisions, strict=True)
            if revision.finish_reason == "stop"
            and revision.text.strip()
            and not same_answer(answer.text, revision.text)
        ]

    def choose(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[Sample]]) -> list[PairRow]:
        """A pair for each two finished, different answers of which the same was chosen in both orders."""
        usable = [
            (prompt, first, second, self.rng.choice(self._principles))
            for prompt, (first, second) in zip(prompts, answers, strict=True)
            if first.finish_reason == second.finish_reason == "stop" and not same_answer(first.text, second.text)
        ]
        forth = self._ask([choice_prompt(prompt, a.text, b.text, rule) for prompt, a, b, rule in usable])
        back = self._ask([choice_prompt(prompt, b.text, a.text, rule) for prompt, a, b, rule in usable])
        rows = []
        for (prompt, a, b, _), one, other in zip(usable, forth, back, strict=True):
            match (letter(one.text), letter(other.text)):
                case ("A", "B"):
                    rows.append(PairRow(prompt, a.text, b.text, 1.0, 1.0, (), "ai"))
                case ("B", "A"):
                    rows.append(PairRow(prompt, b.text, a.text, 1.0, 1.0, (), "ai"))
                case _:
                    continue  # no letter, or a choice that followed the place
        return rows

    def _ask(self, texts: Sequence[str]) -> list[Sample]:
        prompts = [(Message("user", text),) for text in texts]
        return [samples[0] for samples in self._adviser.sample(self._name, prompts, self._sampling)] if texts else []


def letter(text: str) -> str:
    """The one letter that was chosen; empty when there is none, or both."""
    found = set(_CHOICE.findall(text.strip()[:40]))
    return found.pop() if len(found) == 1 else ""


def _conversation(prompt: Prompt) -> str:
    return "\n".join(f"{message.role}: {message.content}" for message in prompt)


def _critique(prompt: Prompt, answer: str, principle: str) -> str:
    return (
        f"{_conversation(prompt)}\nassistant: {answer}\n\nPrinciple: {principle}\n"
        "Say in one or two sentences where the assistant's last answer falls short of the principle."
    )


def _revision(prompt: Prompt, answer: str, principle: str, critique: str) -> str:
    return (
        f"{_conversation(prompt)}\nassistant: {answer}\n\nPrinciple: {principle}\nCriticism: {critique}\n"
        "Write the assistant's answer again so that it follows the principle. Write the new answer alone."
    )


def choice_prompt(prompt: Prompt, first: str, second: str, principle: str) -> str:
    """What the adviser is asked about two answers: which of them the principle prefers."""
    return (
        f"{_conversation(prompt)}\n\nAnswer A: {first}\nAnswer B: {second}\n\nPrinciple: {principle}\n"
        "Which answer follows the principle better? Say A or B and nothing else."
    )


def _answerable(
    spec: StageSpec, settings: ConstitutionSettings, prompts: Mapping[Prompt, Sequence[str]], left: LeftOut
) -> list[Prompt]:
    """The prompts that the start model's chat template takes, with room for an answer."""
    from alignment.methods.shared_training.loading import load_tokenizer, window

    tokenizer = load_tokenizer(str(spec.model))
    room = window(str(spec.model), tokenizer) - settings.max_tokens
    return usable_prompts(
        prompts, tokenizer, room, "constitution", settings.min_prompts, left, remedy="lower max_tokens"
    )


def _own(spec: StageSpec, settings: ConstitutionSettings) -> Sampler:
    """The start model (with the adapter to continue from, if any) in this process."""
    import torch

    from alignment.methods.online.model import OneBase
    from alignment.methods.online.rollouts import BatchSampler
    from alignment.methods.shared_training.adapters import wants_bf16
    from alignment.methods.shared_training.loading import load_tokenizer
    from alignment.methods.shared_training.scale import threads_for

    tokenizer = load_tokenizer(str(spec.model))
    model = OneBase(
        str(spec.model),
        reward=None,
        adapter=spec.adapter,
        bf16=wants_bf16(settings.dtype),
        pad=tokenizer.pad_token_id,
        seed=spec.seed,
    )
    threads = threads_for(model.hidden_size, settings.threads)
    if threads is not None:
        torch.set_num_threads(threads)
    return BatchSampler(model, tokenizer)


def _address(settings: ConstitutionSettings, key: str) -> Sampler:
    from alignment.methods.online.openai_sampler import AddressSampler

    return AddressSampler(settings.url, key=key)


def _with_turns(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row's fields out of a checkpoint, with its prompt as messages again."""
    return {**record, "prompt": tuple(Message(**turn) for turn in record["prompt"])}


def _of(folder: Path, name: str, read: Any) -> list[Any]:
    return list(read(folder)) if has_table(folder, name) else []


def _write(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(to_record(row), sort_keys=True, ensure_ascii=False) + "\n")
