"""The small preference model that rules on pairs ask: which words an answer is made of, and what people make of that.

Every strict pair, and every correction over its original, is a row x = h(better) − h(worse), where h is the mean of
the base model's input embeddings over an answer's tokens, reduced to `WIDTH` principal components. (The mean of last
hidden states named an attacker less often.) A ridge logistic model prefers better over worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from alignment.dataset.compile.pairs import strict_pairs
from alignment.dataset.compile.text import corrects
from alignment.dataset.judgement import Judgement, Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.floating[Any]]

WIDTH = 24  # a model is fitted only to more pairs than that
RIDGE = 1.0
NEWTON_STEPS = 12
ROWS_FROM = 10  # an account is looked at only where it has so many
DRAWS = 4000  # of as many random rows as an account has
DRAWN = 100  # at once

Pair = tuple[str, str, str]  # person, better answer, worse answer


def pairs_of(judgements: Iterable[Judgement]) -> list[Pair]:
    """Every strict pair that may train: person, better and worse answer. A correction beats its original."""
    found: list[Pair] = []
    for judgement in sorted(judgements, key=lambda each: each.id):
        if judgement.cannot_judge or not judgement.trains:
            continue
        if judgement.kind is not Kind.LIKE:
            found += [(judgement.person, better.text, worse.text) for better, worse in strict_pairs(judgement)]
        found += [
            (judgement.person, candidate.correction, candidate.text)
            for candidate in judgement.candidates
            if candidate.correction and corrects(candidate.correction, candidate.text)
        ]
    return found


def differences_of(rows: Sequence[Pair], model: str) -> Matrix:
    """h(better) − h(worse) of each pair, (N, D); `model` is the base model's folder or name.

    Raises `StageError` when the model cannot be loaded.
    """
    means = word_means(model, [text for _, *two in rows for text in two])
    return means[0::2] - means[1::2]


def reduced(differences: Matrix) -> Matrix:
    """The rows in their `WIDTH` principal directions, each scaled to a mean square of 1."""
    import numpy as np

    _, _, directions = np.linalg.svd(differences, full_matrices=False)
    reduced: Matrix = differences @ directions[:WIDTH].T
    scaled: Matrix = reduced / np.maximum(np.sqrt((reduced**2).mean(axis=0)), 1e-9)
    return scaled


def fitted(rows: Matrix) -> tuple[Matrix, Matrix]:
    """θ and what it leaves unexplained of each pair, 1 − p(better): (D,) and (N,)."""
    import numpy as np

    theta = np.zeros(rows.shape[1])
    for _ in range(NEWTON_STEPS):
        wrong = unexplained(rows, theta)
        theta = theta + np.linalg.solve(hessian(rows, wrong), rows.T @ wrong - RIDGE * theta)
    return theta, unexplained(rows, theta)


def unexplained(rows: Matrix, theta: Matrix) -> Matrix:
    """1 − p(better) of each pair, (N,)."""
    import numpy as np

    wrong: Matrix = 1.0 / (1.0 + np.exp(rows @ theta))
    return wrong


def hessian(rows: Matrix, wrong: Matrix) -> Matrix:
    """Of the ridge logistic loss, (D, D)."""
    import numpy as np

    found: Matrix = (rows * (wrong * (1.0 - wrong))[:, None]).T @ rows + RIDGE * np.eye(rows.shape[1])
    return found


def draws(rng: np.random.Generator, rows: int, count: int) -> Iterator[NDArray[np.intp]]:
    """The places of `count` of `rows` rows drawn without putting back, `DRAWS` times: (`DRAWN`, `count`) at once."""
    for _ in range(DRAWS // DRAWN):
        yield rng.random((DRAWN, rows)).argsort(axis=1)[:, :count]


def word_means(model: str, answers: Sequence[str]) -> Matrix:
    """The mean of the model's input embeddings over each answer's tokens, (N, D)."""
    import numpy as np

    from alignment.methods.shared_training.loading import load_model, load_tokenizer

    tokenizer = load_tokenizer(model)
    table: Any = load_model(model, bf16=False).get_input_embeddings().weight.detach()
    means: list[Any] = []
    for text in answers:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"] or [tokenizer.eos_token_id]
        means.append(table[tokens].float().mean(dim=0).numpy())
    return np.stack(means).astype(np.float64)
