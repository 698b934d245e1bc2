"""What several methods share: loading a model, adapters, token ids, losses, checkpoints of a trainer, sizes by rule.

What may not be done here: knowing one method by name.
"""
