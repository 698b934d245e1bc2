"""A reward model: pairs and rankings and a start model in, a model that scores answers out.

An adapter with a score head on the frozen base (or, with `full`, whole weights); with `members` above 1 an
ensemble, each trained from another seed. The folder says that it is a reward model (`reward_model`): it is
read by the methods whose cards name it, and can neither be served nor published.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignment.dataset.left_out import LeftOut
from alignment.dataset.reading.folder import read_comparisons
from alignment.errors import StageError
from alignment.methods.reward.settings import RewardSettings
from alignment.methods.reward.tokenized_rankings import TokenizedRanking, tokenize_rankings
from alignment.methods.shared_training.adapters import lora_config, tidy, trainer_arguments, wants_bf16
from alignment.methods.shared_training.few_pairs import check_pairs
from alignment.methods.shared_training.loading import load_tokenizer, window
from alignment.methods.shared_training.reward_model import RewardFacts, base_for_scores, member
from alignment.records import StageMetrics, StepRecord
from alignment.stage.checkpoints import Notes, newest
from alignment.stage.spec import Progress, StageSpec

if TYPE_CHECKING:
    from alignment.methods.reward.trainer import RankingTrainer

RECORDS = 200  # progress records of a run, about
_FINISHED = "finished"  # in a checkpoint: not right beside the adapter, or the trainer would load those too
_MEMBER_STRIDE = 7919  # member k is trained from seed + k · this


def train(spec: StageSpec, progress: Progress) -> StageMetrics:
    """Train a reward model on the snapshot's pairs and ranked groups and save it into `spec.out`.

    Progress records: `step`, `steps`, `epoch`, `loss`, `margin` (reward of the best minus that of the worst
    answer of a row), `accuracy` (rows whose best is above their worst), `reward` (mean), `seconds_left`;
    steps count through all members. Returns the metrics, `held_out_accuracy` (the mean over members) among
    them when there are held-out rows.
    Raises `StageError` with one sentence when the data are unusable or the loss is not finite.
    """
    from alignment.methods.shared_training.resuming import train_on

    if spec.model is None:
        raise StageError("reward needs a model to start from; name one.")
    if spec.adapter is not None:
        raise StageError("reward starts from the model itself, not from an adapter: leave the adapter out.")
    settings = RewardSettings.read(spec.settings)
    began = time.perf_counter()
    tokenizer = load_tokenizer(spec.model)
    max_length = settings.max_length or window(spec.model, tokenizer)
    rankings, held_out, left = _rows(spec, settings, tokenizer, max_length)
    done = _Done.of(spec)
    spent = 0.0
    for number in range(done.members, settings.members):
        report = _part_of(progress, number, settings.members)
        trainer = build_trainer(spec, settings, tokenizer, rankings, report, number=number)
        started = time.perf_counter()
        train_on(trainer, spec, before=number * trainer.args.max_steps, notes=done.carried)
        spent += time.perf_counter() - started
        if held_out:
            done.accuracies.append(statistics.fmean(trainer.right(held_out)))
        done.scores += _scores(trainer, rankings)
        _save(trainer, settings, member(spec.out, number))
        done.ends = done.ends or _ends(trainer)
        done.members += 1
    facts = RewardFacts(
        form="full" if settings.full else "adapter",
        members=settings.members,
        base=spec.model,
        mean=statistics.fmean(done.scores),
        std=max(statistics.pstdev(done.scores), 1e-6),
    )
    facts.write(spec.out)
    pairs = sum(ranking.ties == [1, 1] for ranking in rankings)
    metrics: StageMetrics = {
        "kind": "reward",
        "rows": {
            "train": len(rankings),
            "held_out": len(held_out),
            "pairs": pairs,
            "rankings": len(rankings) - pairs,
        },
        **left.to_record(),
        "steps": trainer.state.global_step * settings.members,
        "epochs": settings.epochs_for(len(rankings)),
        "rate": trainer.args.learning_rate,
        "members": settings.members,
        "form": facts.form,
        "dtype": "bf16" if trainer.args.bf16 else "fp32",
        "score_mean": round(facts.mean, 4),
        "score_std": round(facts.std, 4),
        **done.ends,
        "seconds_set_up": round(time.perf_counter() - began - spent, 3),
        "seconds_training": round(spent, 3),
    }
    if done.accuracies:
        metrics["held_out_accuracy"] = round(statistics.fmean(done.accuracies), 4)
    return metrics


@dataclass
class _Done:
    """What the members that are trained already say, and their folders carried from attempt to attempt."""

    out: Path
    members: int = 0
    accuracies: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    ends: StageMetrics = field(default_factory=lambda: StageMetrics())

    @classmethod
    def of(cls, spec: StageSpec) -> _Done:
        """As the stage's last checkpoint has it; nothing at the beginning."""
        found = newest(spec)
        if found is None:
            return cls(spec.out)
        notes = found.notes
        done = cls(spec.out, notes["members"], notes["accuracies"], notes["scores"], notes["ends"])
        for number in range(done.members):
            shutil.copytree(member(found.folder / _FINISHED, number), member(spec.out, number), dirs_exist_ok=True)
        return done

    def carried(self, folder: Path) -> Notes:
        """The notes for a checkpoint, whose folder gets a copy of every finished member."""
        for number in range(self.members):
            shutil.copytree(member(self.out, number), member(folder / _FINISHED, number), dirs_exist_ok=True)
        return {
            "members": self.members,
            "accuracies": self.accuracies,
            "scores": self.scores,
            "ends": self.ends,
        }


def _rows(
    spec: StageSpec, settings: RewardSettings, tokenizer: Any, max_length: int
) -> tuple[list[TokenizedRanking], list[TokenizedRanking], LeftOut]:
    """Training and held-out rows that can be used, and what was left out; refuses what cannot be trained on."""
    left = LeftOut()
    pairs, groups = read_comparisons(spec.data, left=left)
    if not settings.listwise:
        groups = []

    def tokenized(split: str) -> list[TokenizedRanking]:
        rankings, unusable = tokenize_rankings(
            [row for row in pairs if row.split == split],
            [row for row in groups if row.split == split],
            tokenizer,
            max_length,
        )
        left.update(unusable)
        return rankings

    training = tokenized("train")
    check_pairs("reward", len(training) + left.total, settings.min_pairs, "pairs or rankings")
    left.check("reward", len(training), settings.min_pairs, "rows", f"the model's {max_length} tokens")
    return training, tokenized("held_out"), left


def build_trainer(
    spec: StageSpec,
    settings: RewardSettings,
    tokenizer: Any,
    rankings: Sequence[TokenizedRanking],
    progress: Progress,
    *,
    number: int = 0,
) -> RankingTrainer:
    """The trainer of one member, ready to go. Its head and its adapter are drawn from a seed of its own."""
    from transformers import set_seed
    from trl import RewardConfig

    from alignment.methods.reward.trainer import RankingTrainer
    from alignment.methods.shared_training.progress_callback import ProgressCallback

    bf16 = wants_bf16(settings.dtype)
    seed = spec.seed + number * _MEMBER_STRIDE
    set_seed(seed)
    model = base_for_scores(str(spec.model), bf16=bf16 and not settings.full)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    hidden = int(model.config.get_text_config().hidden_size)
    name = "score" if hasattr(model, "score") else "classifier"
    lora = None if settings.full else lora_config(settings.rank, settings.alpha, "SEQ_CLS", [name])
    config = RewardConfig(
        center_rewards_coefficient=settings.centre,
        **trainer_arguments(
            spec.out,
            seed=seed,
            hidden=hidden,
            steps=settings.steps_for(len(rankings)),
            batch=settings.batch,
            rate=settings.rate_for(hidden),
            bf16=bf16,
            threads=settings.threads,
            records=RECORDS,
            part=number,
        ),
    )
    scaled = [
        TokenizedRanking(row.sequences, row.ties, row.weight, row.margin * settings.margin, row.target)
        for row in rankings
    ]
    return RankingTrainer(
        model=model,
        config=config,
        rankings=scaled,
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=[ProgressCallback(progress)],
    )


def _scores(trainer: RankingTrainer, rankings: Sequence[TokenizedRanking]) -> list[float]:
    """The finished model's scores of the training answers: what its unit is measured on."""
    import torch

    rows = sorted((sequence for ranking in rankings for sequence in ranking.sequences), key=len)
    found: list[float] = []
    trainer.model.eval()
    with torch.inference_mode(), trainer.compute_loss_context_manager():
        for start in range(0, len(rows), 64):
            examples = [
                {"sequences": rows[start : start + 64], "ties": [1], "weight": 1.0, "margin": 0.0, "target": 1.0}
            ]
            found += trainer.scores(trainer.model, trainer._prepare_inputs(trainer.data_collator(examples))).tolist()
    return found


def _save(trainer: RankingTrainer, settings: RewardSettings, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    trainer.model.save_pretrained(folder, safe_serialization=True)
    tidy(folder)


def _part_of(progress: Progress, number: int, members: int) -> Progress:
    """Records of one member as part of the whole: steps and the time left go on through all of them."""

    def report(record: StepRecord) -> None:
        steps = int(record.get("steps") or 0)
        whole: StepRecord = {**record, "step": number * steps + int(record.get("step") or 0), "steps": members * steps}
        if number and not record.get("step"):
            return  # a further member begins: the run does not
        if "seconds_left" in record and record.get("step"):
            pace = float(record["seconds_left"]) / max(1, steps - int(record["step"])) if record["seconds_left"] else 0
            whole["seconds_left"] = round(float(record["seconds_left"]) + pace * steps * (members - number - 1), 1)
        progress(whole)

    return report


def _ends(trainer: RankingTrainer) -> StageMetrics:
    """Loss, margin and so on at the first and at the last logged step."""
    from alignment.methods.shared_training.rows_trainer import ends

    return ends(trainer, ("loss", "margin", "accuracy", "reward"))
