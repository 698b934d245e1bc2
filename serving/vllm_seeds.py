"""Seeded requests whose prompt is read in several steps, in vLLM's CPU build.

A prompt is split when the step's token budget (`--max-num-batched-tokens`) does not hold it and everybody else's,
and so is what a preempted request had said when it is read again. At each step but the last vLLM samples a token
for it all the same, and discards it. A request with a seed has a random generator of its own, which must not move
for that, or the same seed would give another text. On a GPU vLLM turns it back by what one draw takes,
`set_offset(get_offset() - 4)`. A CPU generator has no offset: PyTorch raises, the engine ends, and every request of
everybody fails (seen in 0.32.0).

Here the generators of such rows are out of the batch while it is sampled and booked, so nothing is drawn from them
and nothing has to be turned back. A generator lives as long as its request, preempted or not, so the n-th token of a
seeded request is drawn by the n-th draw of its seed, however it was scheduled. What this cannot give is arithmetic
that does not depend on the batch: in bf16 two candidates that are as good as equal may still change places.
"""

from __future__ import annotations

from typing import Any


def correct() -> None:
    """See to it that each worker corrects its model runner when it is made; safe to call again.

    Not at once: vLLM's other processes need no runner, and it takes seconds to import.
    """
    from vllm.v1.worker.worker_base import WorkerBase

    begin = WorkerBase.__init__
    if begin.__module__ == __name__:  # ours already
        return

    def corrected(worker: Any, *arguments: Any, **named: Any) -> None:
        correct_runner()
        begin(worker, *arguments, **named)

    WorkerBase.__init__ = corrected


def correct_runner() -> None:
    """Put the corrected method in the place of the CPU runner's; safe to call again."""
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    if CPUModelRunner.sample_tokens.__module__ != __name__:
        CPUModelRunner.sample_tokens = drawing_only_what_is_kept(CPUModelRunner.sample_tokens)


def drawing_only_what_is_kept(sample_tokens: Any) -> Any:
    """`sample_tokens` with the generators of the rows whose sample is discarded put aside meanwhile."""

    def wrapped(runner: Any, *arguments: Any, **named: Any) -> Any:
        batch = runner.input_batch
        discarded = runner.discard_request_mask.np[: batch.num_reqs].nonzero()[0].tolist()
        aside = {row: batch.generators.pop(row) for row in discarded if row in batch.generators}
        try:
            return sample_tokens(runner, *arguments, **named)
        finally:
            batch.generators.update(aside)  # rows move only when the next step is prepared

    return wrapped
