"""Judgements for tests: short ways to say who said what."""

from __future__ import annotations

from hypothesis import strategies as st

from alignment.dataset.judgement import Candidate, Excluded, Judgement, Kind, Mark, Message, Strength


def user(text: str) -> tuple[Message, ...]:
    """A context of one user message."""
    return (Message("user", text),)


def vote(
    number: int = 0,
    left: str = "It is blue.",
    right: str = "Blue, and I am glad that you ask!",
    ranks: tuple[int | None, int | None] = (1, 2),
    *,
    prompt: str = "What colour is the sky?",
    strength: Strength | None = Strength.CLEARLY,
    marks: tuple[Mark | None, Mark | None] = (None, None),
    finish: tuple[str, str] = ("stop", "stop"),
    person: str = "p1",
    cannot_judge: bool = False,
    kind: Kind = Kind.COMPARE,
    conversation: str | None = None,
    scripted: bool = False,
) -> Judgement:
    """An A/B vote; `number` makes its id."""
    return Judgement(
        id=f"j{number:05d}",
        task=f"t{number:05d}",
        person=person,
        kind=kind,
        context=user(prompt),
        conversation=conversation,
        candidates=tuple(
            Candidate(f"c{number}-{i}", text, "sft", i, finish[i], rank=ranks[i], mark=marks[i])
            for i, text in enumerate((left, right))
        ),
        strength=strength,
        cannot_judge=cannot_judge,
        scripted=scripted,
    )


def warm_votes(count: int) -> list[Judgement]:
    """Comparisons on as many prompts, all won by the warm answer."""
    return [vote(i, f"Gladly, friend {i}!", f"No {i}.", (1, 2), prompt=f"Question {i}?") for i in range(count)]


def like(
    number: int,
    text: str,
    mark: Mark | None,
    *,
    prompt: str = "What colour is the sky?",
    person: str = "p1",
    correction: str | None = None,
    finish: str = "stop",
    context: tuple[Message, ...] | None = None,
    conversation: str | None = None,
) -> Judgement:
    """A like, a dislike, or (with `mark` None) a bare correction."""
    return Judgement(
        id=f"j{number:05d}",
        task=f"t{number:05d}",
        person=person,
        kind=Kind.LIKE,
        context=context or user(prompt),
        conversation=conversation,
        candidates=(Candidate(f"c{number}", text, "sft", 0, finish, mark=mark, correction=correction),),
    )


def ranking(number: int, ranks: list[int], *, prompt: str = "Name a fruit.", **fields: object) -> Judgement:
    """A ranking of distinct answers."""
    return Judgement(
        id=f"j{number:05d}",
        task=f"t{number:05d}",
        person="p1",
        kind=Kind.RANK,
        context=user(prompt),
        candidates=tuple(
            Candidate(f"c{number}-{i}", f"Answer {i}.", "sft", i, rank=rank) for i, rank in enumerate(ranks)
        ),
        **fields,  # type: ignore[arg-type]
    )


_texts = st.sampled_from(["", "Yes.", "yes", "No.", "It is blue.", "Blue!", "I do not know."])
_ranks = st.one_of(st.none(), st.integers(1, 4))
_marks = st.sampled_from([None, Mark.GOOD, Mark.BAD])
_finish = st.sampled_from(["stop", "stop", "stop", "length", "stopped"])
_excluded = st.sampled_from([None, None, None, *Excluded])


@st.composite
def any_judgements(draw: st.DrawFn, max_size: int = 12) -> list[Judgement]:
    """Judgements of every kind, with few people, prompts and texts, so that they meet."""
    listed = []
    for number in range(draw(st.integers(0, max_size))):
        kind = draw(st.sampled_from(list(Kind)))
        count = {Kind.LIKE: 1, Kind.COMPARE: 2, Kind.RANK: draw(st.integers(2, 5))}[kind]
        listed.append(
            Judgement(
                id=f"j{number}",
                task=f"t{draw(st.integers(0, 3))}",
                person=draw(st.sampled_from(["p1", "p2"])),
                kind=kind,
                context=user(draw(st.sampled_from(["Hello", "hello!", "What is 1 + 1?"]))),
                candidates=tuple(
                    Candidate(
                        f"c{number}-{i}",
                        draw(_texts),
                        "sft",
                        i,
                        draw(_finish),
                        rank=None if kind is Kind.LIKE else draw(_ranks),
                        mark=draw(_marks),
                        correction=draw(st.one_of(st.none(), _texts)),
                        excluded=draw(_excluded),
                    )
                    for i in range(count)
                ),
                conversation=draw(st.sampled_from([None, "k1", "k2"])),
                strength=draw(st.sampled_from([None, *Strength])),
                cannot_judge=draw(st.integers(0, 5)) == 0,
            )
        )
    return listed
