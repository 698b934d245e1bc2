"""One frozen base in memory, seen through adapters: the policy, the reference, the reward models.

The policy is the base with the adapter that is trained. The reference is the base with its adapters off, or,
when training continues an adapter, with a frozen copy of that one. Each reward model is an adapter and a
head of one row; one whose weights were all trained (`full`) stands beside the base, at the price of its
memory. The value head reads what the first reward model sees and starts as its head does (Ouyang et al. 2022,
arXiv:2203.02155, appendix C.4, start the value function from the reward model); as that model is frozen, its
hidden states are computed once per rollout and training the values costs next to nothing.
What may not be done here: losses, sampling.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from alignment.errors import StageError
from alignment.methods.shared_training.adapters import POLICY, policy_lora
from alignment.methods.shared_training.loading import load_model
from alignment.methods.shared_training.reward_model import base_for_scores, head, member, read_facts
from alignment.methods.shared_training.scale import SMALL_MODEL

REFERENCE = "reference"


class ValueHead(nn.Module):
    """Hidden states (…, H) to values (…): the reward's own head, and a small network that starts at zero."""

    def __init__(self, score: torch.Tensor, width: int = 64) -> None:
        """`score` is the reward head's weight, (H,)."""
        super().__init__()
        self.linear = nn.Linear(score.numel(), 1)
        self.inner = nn.Linear(score.numel(), width)
        self.outer = nn.Linear(width, 1)
        with torch.no_grad():
            self.linear.weight.copy_(score.reshape(1, -1))
            self.linear.bias.zero_()
            self.outer.weight.zero_()
            self.outer.bias.zero_()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Values in the reward model's own scale."""
        hidden = hidden.float()
        values: torch.Tensor = (self.linear(hidden) + self.outer(torch.tanh(self.inner(hidden)))).squeeze(-1)
        return values


@dataclass(frozen=True, slots=True)
class Judged:
    """What the frozen models say of N answers: `scores` (N,) and, per answer, `hidden` (its tokens, H)."""

    scores: torch.Tensor
    hidden: list[torch.Tensor]


class OneBase:
    """The base and its adapters. `policy` parameters are the only ones of the transformer with gradients."""

    def __init__(
        self,
        source: str,
        *,
        reward: Path | None,
        adapter: Path | None = None,
        rank: int = 16,
        alpha: int = 32,
        layers: float = 1.0,
        bf16: bool = False,
        pad: int = 0,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """`reward` is a reward stage's folder, `adapter` one to continue from.

        Log-probabilities are those of softmax(logits / temperature): the distribution that is sampled.
        Raises `StageError` when the parts do not fit each other.
        """
        from peft import PeftModel, get_peft_model
        from transformers import set_seed

        set_seed(seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = bf16
        self.pad = pad
        self.temperature = temperature
        base = load_model(source, bf16=bf16)
        base.config.get_text_config().pad_token_id = pad
        self.hidden_size = int(base.config.get_text_config().hidden_size)
        if adapter is None:
            self.model: Any = get_peft_model(base, policy_lora(base, rank, alpha, layers))
        else:
            self.model = PeftModel.from_pretrained(base, str(adapter), is_trainable=True)
            self.model.load_adapter(str(adapter), adapter_name=REFERENCE)
        self._reference = REFERENCE if adapter is not None else None
        self._heads: list[torch.Tensor] = []
        self._scorers: list[Any] = []  # of a reward model with weights of its own; else its adapters score
        if reward is not None:
            self._add_rewards(reward, source)
        self._check_config(base)
        self.model.to(self.device).eval()  # no dropout: old and new log-probabilities differ by the weights alone
        if bf16:
            self._keep_inputs()
        self.policy = [p for name, p in self.model.named_parameters() if f".{POLICY}." in name]
        self._recomputes = self.hidden_size > 1024  # a small model's activations fit; again costs a third
        if self._recomputes:
            self.model.enable_input_require_grads()
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.use(POLICY)

    def _add_rewards(self, folder: Path, source: str) -> None:
        """Every member of a reward model as a frozen adapter of this base, and its head."""
        from peft import LoraConfig, set_peft_model_state_dict
        from safetensors.torch import load_file

        facts = read_facts(folder)
        if not _same_model(facts.base, source):
            raise StageError(
                f"The reward model in {folder} was made from {facts.base}, not from {source}, and here they must "
                "read the same tokens: train one from the model that the policy starts from."
            )
        if facts.form == "full":
            for number in range(facts.members):
                self._add_scorer(member(folder, number))
            return
        for number in range(facts.members):
            where = member(folder, number)
            raw = json.loads((where / "adapter_config.json").read_text(encoding="utf-8"))
            config = LoraConfig(
                r=raw["r"], lora_alpha=raw["lora_alpha"], target_modules=set(raw["target_modules"]), lora_dropout=0.0
            )
            self.model.add_adapter(f"reward-{number}", config)
            weights = load_file(str(where / "adapter_model.safetensors"))
            heads = [name for name in weights if name.endswith("score.weight")]
            if len(heads) != 1:
                raise StageError(f"{where} has no head that is called score; train the reward model again.")
            self._heads.append(weights.pop(heads[0]).float().reshape(-1).to(self.device))
            outcome = set_peft_model_state_dict(self.model, weights, adapter_name=f"reward-{number}")
            if outcome.unexpected_keys:
                raise StageError(f"{where} does not fit this model: {outcome.unexpected_keys[0]} has no place in it.")

    def _add_scorer(self, where: Path) -> None:
        """A member with weights of its own, frozen, beside the base."""
        whole = base_for_scores(str(where), bf16=self.bf16)
        score = head(whole)
        if not isinstance(score, nn.Linear) or not hasattr(whole, "score"):
            raise StageError(f"{where} has no head that is called score, as decoders have; train one from a decoder.")
        self._heads.append(score.weight.detach().float().reshape(-1).to(self.device))
        self._scorers.append(whole.base_model.requires_grad_(False).to(self.device).eval())

    def _keep_inputs(self) -> None:
        """Hand LoRA its inputs as they are: PEFT would make them float32 and autocast bfloat16 again, two copies."""
        from peft.tuners.lora import LoraLayer

        for module in self.model.modules():
            if isinstance(module, LoraLayer):
                module.cast_input_dtype_enabled = False

    def _check_config(self, base: Any) -> None:
        text = base.config.get_text_config()
        self._softcap = getattr(text, "final_logit_softcapping", None)
        scale = getattr(text, "logit_scale", None)
        if scale is None and getattr(text, "logits_scaling", None):
            scale = 1 / float(text.logits_scaling)
        self._scale = 1.0 if scale is None else float(scale)

    def load_policy(self, values: Sequence[torch.Tensor]) -> None:
        """Put values, in the order of `policy`, into the policy's parameters."""
        with torch.no_grad():
            for parameter, value in zip(self.policy, values, strict=True):
                parameter.copy_(value)

    def use(self, adapter: str) -> None:
        """Make one adapter the active one. The policy's parameters keep their gradients whenever it is active."""
        self.model.set_adapter(adapter)

    @contextmanager
    def frozen(self, adapter: str | None) -> Iterator[None]:
        """Another adapter, or with None the bare base, without gradients; the policy is active again afterwards."""
        with torch.no_grad(), self.autocast():
            try:
                if adapter is None:
                    with self.model.disable_adapter():
                        yield
                else:
                    self.use(adapter)
                    yield
            finally:
                self.use(POLICY)

    @contextmanager
    def folded(self) -> Iterator[None]:
        """The policy without gradients, in a small float32 model with its adapter added into the weights.

        One product a layer in place of three, which is what drawing token by token spends its time on. The base's own
        weights are put back as they were; a large model would need too much memory for the sums, and bfloat16 ones
        would round the adapter away.
        """
        from peft.tuners.lora import LoraLayer

        with self.frozen(POLICY):
            if self.bf16 or self.hidden_size > SMALL_MODEL:
                yield
                return
            layers = [m for m in self.model.modules() if isinstance(m, LoraLayer) and POLICY in m.lora_A]
            own = [layer.get_base_layer().weight.data for layer in layers]
            try:
                for layer, weight in zip(layers, own, strict=True):
                    layer.get_base_layer().weight.data = weight + layer.get_delta_weight(POLICY)
                with self.model.disable_adapter():
                    yield
            finally:
                for layer, weight in zip(layers, own, strict=True):
                    layer.get_base_layer().weight.data = weight

    def reference(self) -> Any:
        """A context in which the model is the reference."""
        return self.frozen(self._reference)

    def autocast(self) -> torch.autocast:
        """The training precision."""
        return torch.autocast(self.device.type, torch.bfloat16, self.bf16)

    @contextmanager
    def gradients(self) -> Iterator[None]:
        """The training precision, and for a large model the mode in which it recomputes activations."""
        with self.autocast():
            if self._recomputes:
                self.model.train()
            try:
                yield
            finally:
                if self._recomputes:
                    self.model.eval()

    @property
    def causal(self) -> Any:
        """The language model inside, adapters included."""
        return self.model.get_base_model()

    def backbone(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Last hidden states (N, T, H) of right-padded sequences, by whichever adapter is active."""
        states: torch.Tensor = self.causal.base_model(
            input_ids=ids, attention_mask=mask, use_cache=False
        ).last_hidden_state
        return states

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits in float32 over the temperature, (…, V), of hidden states (…, H)."""
        logits: torch.Tensor = self.causal.get_output_embeddings()(hidden).float()
        if self._scale != 1:  # a copy of (…, V) numbers each, forwards and backwards
            logits = logits * self._scale
        if self._softcap:
            logits = self._softcap * torch.tanh(logits / self._softcap)
        return logits if self.temperature == 1 else logits / self.temperature

    def answer_logps(self, ids: torch.Tensor, mask: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (M,) of all M answer tokens of a batch, row by row.

        `answer` (N, T) marks the answers' tokens in `ids`. The head sees those positions alone.
        """
        logits, drawn = self._answer_logits(ids, mask, answer)
        return logits.gather(1, drawn)[:, 0] - torch.logsumexp(logits, dim=-1)

    def token_logps(
        self, ids: torch.Tensor, mask: torch.Tensor, answer: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`answer_logps`, and the entropy (M,) before each of the tokens, which costs as much again."""
        logits, drawn = self._answer_logits(ids, mask, answer)
        norm = torch.logsumexp(logits, dim=-1)
        with torch.no_grad():
            entropy = norm - (torch.softmax(logits, dim=-1) * logits).sum(-1)
        return logits.gather(1, drawn)[:, 0] - norm, entropy

    def _answer_logits(
        self, ids: torch.Tensor, mask: torch.Tensor, answer: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (M, V) before each answer token, and the tokens, (M, 1)."""
        wanted = answer[:, 1:].bool()
        return self.logits(self.backbone(ids, mask)[:, :-1][wanted]), ids[:, 1:][wanted][:, None]

    def judge(self, ids: torch.Tensor, mask: torch.Tensor, answer: torch.Tensor) -> Judged:
        """The reward of every sequence, the mean over the ensemble, and the first member's states before each token."""
        if not self._heads:
            raise StageError("There is no reward model here to judge answers with.")
        last = last_token(ids, self.pad)
        rows = torch.arange(len(ids), device=ids.device)
        scores = torch.zeros(len(ids), device=ids.device)
        states: list[torch.Tensor] = []
        for number, weights in enumerate(self._heads):
            with self._scoring(number) as states_of:
                hidden = states_of(ids, mask)
                scores += hidden[rows, last].float() @ weights / len(self._heads)
                if number == 0:
                    before = answer[:, 1:].bool()
                    states = [row[chosen] for row, chosen in zip(hidden[:, :-1], before, strict=True)]
        return Judged(scores, states)

    @contextmanager
    def _scoring(self, number: int) -> Iterator[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
        """What makes last hidden states (N, T, H) of ids and mask (N, T) as one member sees them."""
        if not self._scorers:
            with self.frozen(f"reward-{number}"):
                yield self.backbone
            return
        with torch.no_grad(), self.autocast():
            yield (
                lambda ids, mask: (
                    self._scorers[number](input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
                )
            )

    def value_head(self) -> ValueHead:
        """A new value head, as the first reward model's."""
        return ValueHead(self._heads[0]).to(self.device)


def last_token(ids: torch.Tensor, pad: int) -> torch.Tensor:
    """(N,): where each row's last token stands that is no padding, as transformers' score heads find it."""
    places = torch.arange(ids.shape[1], device=ids.device)
    return ((ids != pad).long() * places).argmax(dim=1)


def rectangle(rows: Sequence[Sequence[int]], starts: Sequence[int], pad: int, device: Any) -> tuple[torch.Tensor, ...]:
    """(ids, mask, answer), each (N, T), of whole sequences whose answers begin at `starts`, padded on the right."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
    places = torch.arange(width, device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)[:, None]
    mask = places < lengths
    answer = mask & (places >= torch.tensor(list(starts), device=device)[:, None])
    return ids, mask.long(), answer


def _same_model(one: str, other: str) -> bool:
    return one == other or (
        Path(one).exists() and Path(other).exists() and Path(one).resolve() == Path(other).resolve()
    )
