"""One base model in this process with any number of LoRA adapters: samples and scores without vLLM.

For `alignloop evaluate` on folders, for tests, and for machines without vLLM. Implements `Sampler` and
`AnswerScorer`. It is not fast: a batch waits for its longest answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import Unusable
from alignment.errors import StageError
from alignment.evaluation.evaluate import Prompt
from alignment.methods.shared_training.chat_template import ChatTemplate
from alignment.stage.sampler import Sample, Sampling

if TYPE_CHECKING:
    import torch

BATCH = 32
BASE = "base"
_SAMPLE_STRIDE = 1_000_003  # sample j of prompt i uses seed + i + j · this, so that samples do not share chance


class LocalModel:
    """A base model under the name `base`, and adapters under theirs.

    `adapters` maps version names to adapter folders; `aliases` are further names of the base itself (`sft`,
    say). Raises `StageError` when something cannot be loaded.
    """

    def __init__(
        self,
        source: str,
        adapters: Mapping[str, Path] | None = None,
        *,
        aliases: Sequence[str] = (),
        bf16: bool | None = None,
    ) -> None:
        import torch

        from alignment.methods.shared_training.loading import bf16_is_fast, load_model, load_tokenizer

        self._torch = torch
        self._bf16 = bf16_is_fast() if bf16 is None else bf16
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._tokenizer = load_tokenizer(source)
        self._tokenizer.padding_side = "left"
        self._template = ChatTemplate(self._tokenizer)
        self._base_names = {BASE, *aliases}
        self._model: Any = load_model(source, bf16=self._bf16)
        self._adapters: set[str] = set()
        for name, folder in (adapters or {}).items():
            self.load(name, folder)
        self._model.to(self._device).eval()

    def load(self, name: str, folder: Path) -> None:
        """Add an adapter under a name."""
        from peft import PeftModel

        if self._adapters:
            self._model.load_adapter(str(folder), adapter_name=name)
        else:
            self._model = PeftModel.from_pretrained(self._model, str(folder), adapter_name=name)
        self._adapters.add(name)
        self._model.to(self._device).eval()

    def sample(self, version: str, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Sample]]:
        """Per prompt, `sampling.n` samples. Each row has a seed of its own, so a batch's other rows change nothing."""
        jobs = [
            (self._render(prompt), sampling.seed + i + j * _SAMPLE_STRIDE)
            for i, prompt in enumerate(prompts)
            for j in range(sampling.n)
        ]
        order = sorted(range(len(jobs)), key=lambda k: len(jobs[k][0]))  # equal lengths together: less padding
        done: dict[int, Sample] = {}
        with self._using(version):
            for start in range(0, len(order), BATCH):
                chosen = order[start : start + BATCH]
                done.update(zip(chosen, self._generate([jobs[k] for k in chosen], sampling), strict=True))
        flat = [done[k] for k in range(len(jobs))]
        return [flat[i * sampling.n : (i + 1) * sampling.n] for i in range(len(prompts))]

    def score(self, version: str, prompts: Sequence[Prompt], samples: Sequence[Sample]) -> list[list[float]]:
        """Log-probabilities, at temperature 1, that a version gives each sample's tokens after its prompt."""
        rows = [(self._render(prompt), sample.tokens) for prompt, sample in zip(prompts, samples, strict=True)]
        scored: list[list[float]] = []
        with self._using(version):
            for start in range(0, len(rows), BATCH):
                scored += self._score(rows[start : start + BATCH])
        return scored

    def encode(self, version: str, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Sample]:
        """Each given answer as a sample: the tokens that the chat template puts behind its prompt.

        None where the template renders a prompt otherwise once it is answered.
        """
        found = []
        for prompt, answer in zip(prompts, answers, strict=True):
            opening, whole = self._render(prompt), self._render([*prompt, Message("assistant", answer)], opens=False)
            tokens = _to_end(whole[len(opening) :], self._ends()) if whole[: len(opening)] == opening else []
            found.append(Sample(answer, "stop", tokens=tuple(tokens)))
        return found

    def continued(
        self, version: str, prompts: Sequence[Prompt], lead: str, texts: Sequence[Sequence[str]]
    ) -> list[tuple[list[int], list[list[int]]] | None]:
        """Tokens of each prompt with an answer that begins with `lead`, and those that each of its texts adds.

        None where the texts' tokens cannot be told from the lead's.
        """
        found: list[tuple[list[int], list[list[int]]] | None] = []
        for prompt, some in zip(prompts, texts, strict=True):
            opening, *wholes = (self._begun(prompt, begun) for begun in (lead, *(f"{lead} {text}" for text in some)))
            apart = all(whole[: len(opening)] == opening for whole in wholes)
            found.append((opening, [whole[len(opening) :] for whole in wholes]) if apart else None)
        return found

    def next_logprobs(
        self, version: str, contexts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> list[dict[int, float]]:
        """Log-probabilities, at temperature 1, that a version gives these tokens behind each context."""
        found: list[dict[int, float]] = []
        with self._using(version):
            for start in range(0, len(contexts), BATCH):
                ids, mask = self._padded(contexts[start : start + BATCH])
                logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, -1].float()
                rows = self._torch.log_softmax(logits, dim=-1)  # (B, V)
                wanted = tokens[start : start + BATCH]
                found += [{token: float(row[token]) for token in some} for row, some in zip(rows, wanted, strict=True)]
        return found

    def _begun(self, prompt: Prompt, beginning: str) -> list[int]:
        """The tokens of a prompt whose answer has begun so and goes on."""
        turns = [{"role": each.role, "content": each.content} for each in (*prompt, Message("assistant", beginning))]
        return list(
            self._tokenizer.apply_chat_template(turns, tokenize=True, continue_final_message=True, return_dict=False)
        )

    def _render(self, prompt: Prompt, *, opens: bool = True) -> list[int]:
        try:
            return self._template.ids(self._template.prompt(prompt), opens=opens)
        except Unusable as why:
            raise StageError(f"A prompt cannot be asked: {why}.") from why

    def _ends(self) -> set[int]:
        named = self._model.generation_config.eos_token_id
        ends = set(named if isinstance(named, list) else [named]) | {self._tokenizer.eos_token_id}
        return {end for end in ends if end is not None}

    @contextmanager
    def _using(self, version: str) -> Iterator[None]:
        """The model as this version, without gradients."""
        with self._torch.inference_mode(), self._torch.autocast(self._device.type, self._torch.bfloat16, self._bf16):
            if version in self._adapters:
                self._model.set_adapter(version)
                yield
            elif version not in self._base_names:
                known = ", ".join(sorted(self._base_names | self._adapters))
                raise ConnectionError(f"{version} is not loaded; the versions here are {known}.")
            elif self._adapters:
                with self._model.disable_adapter():
                    yield
            else:
                yield

    def _generate(self, jobs: Sequence[tuple[list[int], int]], sampling: Sampling) -> list[Sample]:
        torch = self._torch
        ids, mask = self._padded([row for row, _ in jobs])  # (B, T), (B, T)
        noise = [torch.Generator().manual_seed(seed) for _, seed in jobs]

        def draw(_: Any, scores: Any) -> Any:
            """Gumbel-max: the largest of logits/T + Gumbel noise is a sample at temperature T, row by row."""
            waits = torch.stack([torch.empty(scores.shape[-1]).exponential_(generator=each) for each in noise])
            return self._nucleus(scores.float() / sampling.temperature) - waits.log().to(
                scores.device
            )  # −log of Exp(1) is Gumbel

        output = self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=sampling.max_tokens,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            pad_token_id=self._tokenizer.pad_token_id,
            eos_token_id=sorted(self._ends()),
            logits_processor=[draw] if sampling.temperature > 0 else [],
        )
        return [self._sample_of(row.tolist()) for row in output[:, ids.shape[1] :]]

    def _nucleus(self, scores: Any) -> Any:
        """Scores (B, V) with everything outside the model's own top-k and top-p at −∞, as vLLM takes them too."""
        settings, torch = self._model.generation_config, self._torch
        if settings.top_k:
            scores = scores.masked_fill(
                scores < scores.topk(min(settings.top_k, scores.shape[-1])).values[:, -1:], -torch.inf
            )
        if settings.top_p and settings.top_p < 1:
            ordered, order = scores.sort(dim=-1, descending=True)
            before = ordered.softmax(dim=-1).cumsum(dim=-1) - ordered.softmax(dim=-1)  # mass above each token
            outside = torch.zeros_like(scores, dtype=torch.bool).scatter(1, order, before >= settings.top_p)
            scores = scores.masked_fill(outside, -torch.inf)
        return scores

    def _sample_of(self, tokens: list[int]) -> Sample:
        answer = _to_end(tokens, self._ends())
        text = self._tokenizer.decode(answer, skip_special_tokens=True)
        finished = bool(answer) and answer[-1] in self._ends()
        return Sample(text=text, finish_reason="stop" if finished else "length", tokens=tuple(answer))

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        torch = self._torch
        width = max(len(row) for row in rows)
        pad = self._tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows], device=self._device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self._device)
        return ids, mask

    def _score(self, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[list[float]]:
        torch = self._torch
        ids, mask = self._padded([[*prompt, *answer] for prompt, answer in rows])
        logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()  # (B, T-1, V)
        logps = torch.log_softmax(logits, dim=-1).gather(2, ids[:, 1:, None])[..., 0]  # (B, T-1)
        return [row[len(row) - len(answer) :].tolist() for row, (_, answer) in zip(logps, rows, strict=True)]


def _to_end(tokens: Sequence[int], ends: set[int]) -> list[int]:
    """The tokens up to the first end token, it included; templates may put a line break after it."""
    for position, token in enumerate(tokens):
        if token in ends:
            return list(tokens[: position + 1])
    return list(tokens)
