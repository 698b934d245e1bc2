"""Kahneman–Tversky optimisation: single answers, liked or disliked."""
