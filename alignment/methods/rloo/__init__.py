"""RLOO by TRL, on our reward model."""
