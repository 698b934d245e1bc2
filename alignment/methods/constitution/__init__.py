"""Constitutional AI: principles instead of people; it makes rows, not a model."""
