"""GRPO by TRL, on our reward model."""
