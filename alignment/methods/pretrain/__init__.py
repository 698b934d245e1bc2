"""Pretraining: a small Llama from nothing, and its tokenizer."""
