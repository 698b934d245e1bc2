"""Supervised fine-tuning on whole conversations."""
