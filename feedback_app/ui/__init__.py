"""Gradio pages: chat, compare, rank, operate; one Blocks per role.

What may not be done here: rules. A page shows what `collect` and `store` say and sends tickets and
verdicts back; it never reads what is judged from a component's value.
"""
