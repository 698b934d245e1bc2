"""Feedback files out of the database and into it. What the formats look like is `formats`' business."""

from feedback_app.exchange.exporting import export
from feedback_app.exchange.importing import add_gold, bring_in

__all__ = ["add_gold", "bring_in", "export"]
