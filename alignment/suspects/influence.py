"""Whose pairs pull in a direction of their own: leave-one-account-out influence, without training again.

Every strict pair, and every correction over its original, is a row x = h(better) − h(worse), where h is the mean of
the base model's input embeddings over an answer's tokens, reduced to `WIDTH` principal components: which words it is
made of. (The mean of last hidden states named an attacker less often.) A ridge logistic model prefers better over
worse. What leaving an account out would do to its parameters is, to first order (Koh and Liang 2017,
arXiv:1703.04730; Cook and Weisberg 1980), H⁻¹ Σ σ(−θ·x) x over the account's rows, and its influence the root mean
square of what that changes in the predictions of all rows. Who agrees with the others leaves residuals in all
directions, which cancel out.

The same number for rows drawn at random from everybody (`DRAWS` times) says what chance would make of as many rows;
an account is named at level 0.05 divided by the number of people. It needs no shared tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from alignment.compile.pairs import strict_pairs
from alignment.compile.text import fold
from alignment.judgement import Judgement, Kind
from alignment.suspects.flag import LEVEL, Flag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.floating[Any]]

WIDTH = 24  # an account is looked at only where there are more pairs than that
RIDGE = 1.0
NEWTON_STEPS = 12
DRAWS = 4000
DRAWN = 100  # at once
ROWS_FROM = 10


def influential(judgements: Iterable[Judgement], model: str, *, seed: int = 0) -> list[Flag]:
    """The people whose influence is beyond chance, worst first; `share` is how many times that of random rows.

    `model` is the base model's folder or name; `seed` draws the random rows. Holds two vectors for each pair.
    Raises `StageError` when the model cannot be loaded.
    """
    return influential_among(pairs_of(judgements), model, seed=seed)


def influential_among(rows: Sequence[tuple[str, str, str]], model: str, *, seed: int = 0) -> list[Flag]:
    """`influential` from the pairs that `pairs_of` gives."""
    if len(rows) <= WIDTH:
        return []
    means = word_means(model, [text for _, *two in rows for text in two])
    return named([person for person, *_ in rows], means[0::2] - means[1::2], seed)


def pairs_of(judgements: Iterable[Judgement]) -> list[tuple[str, str, str]]:
    """Every strict pair that may train: person, better and worse answer. A correction beats its original."""
    found: list[tuple[str, str, str]] = []
    for judgement in sorted(judgements, key=lambda each: each.id):
        if judgement.cannot_judge or not judgement.trains:
            continue
        if judgement.kind is not Kind.LIKE:
            found += [(judgement.person, better.text, worse.text) for better, worse in strict_pairs(judgement)]
        found += [
            (judgement.person, candidate.correction, candidate.text)
            for candidate in judgement.candidates
            if candidate.correction and fold(candidate.correction) != fold(candidate.text)
        ]
    return found


def named(people: Sequence[str], differences: Matrix, seed: int) -> list[Flag]:
    """The flags for rows of (person, feature difference), (N,) and (N, D)."""
    import numpy as np

    pulls, prediction = _pulls(_reduced(differences))
    listed = sorted(set(people))
    who = np.array([listed.index(person) for person in people])
    rng = np.random.default_rng(seed)
    found = []
    for number, person in enumerate(listed):
        count = int((who == number).sum())
        if count < ROWS_FROM:
            continue
        own = float(_influence(pulls[who == number].sum(axis=0), prediction))
        drawn = np.concatenate(
            [
                _influence(pulls[rng.random((DRAWN, len(pulls))).argsort(axis=1)[:, :count]].sum(axis=1), prediction)
                for _ in range(DRAWS // DRAWN)
            ]
        )
        p = float((1 + (drawn >= own).sum()) / (1 + DRAWS))
        if p < LEVEL / len(listed):
            found.append(Flag(person, "influential", p, float(own / np.median(drawn)), count))
    return sorted(found, key=lambda flag: (flag.p, -flag.share, flag.person))


def _reduced(differences: Matrix) -> Matrix:
    """The rows in their `WIDTH` principal directions, each scaled to a mean square of 1."""
    import numpy as np

    _, _, directions = np.linalg.svd(differences, full_matrices=False)
    reduced: Matrix = differences @ directions[:WIDTH].T
    scaled: Matrix = reduced / np.maximum(np.sqrt((reduced**2).mean(axis=0)), 1e-9)
    return scaled


def _pulls(rows: Matrix) -> tuple[Matrix, Matrix]:
    """H⁻¹ · each row's gradient, (N, D), and RᵀR / N of the rows, (D, D)."""
    import numpy as np

    theta = np.zeros(rows.shape[1])
    ridge = RIDGE * np.eye(rows.shape[1])
    for _ in range(NEWTON_STEPS):
        wrong = 1.0 / (1.0 + np.exp(rows @ theta))
        hessian = (rows * (wrong * (1.0 - wrong))[:, None]).T @ rows + ridge
        theta = theta + np.linalg.solve(hessian, rows.T @ wrong - RIDGE * theta)
    wrong = 1.0 / (1.0 + np.exp(rows @ theta))
    hessian = (rows * (wrong * (1.0 - wrong))[:, None]).T @ rows + ridge
    pulls: Matrix = np.linalg.solve(hessian, (rows * wrong[:, None]).T).T
    return pulls, rows.T @ rows / len(rows)


def _influence(pulls: Matrix, prediction: Matrix) -> Matrix:
    """The root mean square change of the predictions for each pull, (D,) → () or (K, D) → (K,)."""
    import numpy as np

    squares: Matrix = np.sqrt(((pulls @ prediction) * pulls).sum(axis=-1))
    return squares


def word_means(model: str, answers: Sequence[str]) -> Matrix:
    """The mean of the model's input embeddings over each answer's tokens, (N, D)."""
    import numpy as np

    from alignment.methods.loading import load_model, load_tokenizer

    tokenizer = load_tokenizer(model)
    table: Any = load_model(model, bf16=False).get_input_embeddings().weight.detach()
    means: list[Any] = []
    for text in answers:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"] or [tokenizer.eos_token_id]
        means.append(table[tokens].float().mean(dim=0).numpy())
    return np.stack(means).astype(np.float64)
