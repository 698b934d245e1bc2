"""What a round left out, as the round keeps it: by its snapshot (`unfit`) and by its stages, which count themselves."""

from __future__ import annotations

from alignment.dataset.left_out import from_where, in_words
from alignment.records import StageMetrics
from feedback_app.domain.reports import RoundRows


def with_left_out(rows: RoundRows, metrics: StageMetrics) -> RoundRows:
    """A round's `rows` with what its snapshot or a further stage left out, by its artifact's metrics.

    `left_out` counts by reason; `left_out_rows` has for each reason `words` for people, the first judgements among
    them, and the `judgements` behind such rows. The stages of a chain read the same dataset, so for each reason the
    one that left out most counts.
    """
    counts = dict(rows.get("left_out") or {})
    found = dict(rows.get("left_out_rows") or {})
    for reason, count in dict(metrics.get("left_out") or {}).items():
        if count <= counts.get(reason, 0):
            continue
        more = (metrics.get("left_out_rows") or {}).get(reason)
        judgements = list(more["judgements"]) if more else []
        counts[reason] = count
        found[reason] = {
            "words": in_words(reason, count, more["words"] if more else "") + from_where(judgements, count),
            "judgements": judgements,
        }
    return {**rows, "left_out": counts, "left_out_rows": found}
