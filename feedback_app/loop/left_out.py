"""What a round's stages left out, as the round keeps it. Stages count by themselves (`alignment.dataset.left_out`)."""

from __future__ import annotations

from alignment.dataset.left_out import in_words
from alignment.records import StageMetrics
from feedback_app.domain.reports import RoundRows


def with_left_out(rows: RoundRows, metrics: StageMetrics) -> RoundRows:
    """A round's `rows` with what a further stage left out, by its artifact's metrics.

    `left_out` counts by reason; `left_out_rows` has for each reason `words` for people and the `judgements` behind
    such rows. The stages of a chain read the same dataset, so for each reason the one that left out most counts.
    """
    counts = dict(rows.get("left_out") or {})
    found = dict(rows.get("left_out_rows") or {})
    for reason, count in dict(metrics.get("left_out") or {}).items():
        if count <= counts.get(reason, 0):
            continue
        more = (metrics.get("left_out_rows") or {}).get(reason)
        counts[reason] = count
        found[reason] = {
            "words": in_words(reason, count, more["words"] if more else ""),
            "judgements": list(more["judgements"]) if more else [],
        }
    return {**rows, "left_out": counts, "left_out_rows": found}
