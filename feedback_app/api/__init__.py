"""HTTP: the OpenAI-compatible door, feedback, sign-in, health.

What may not be done here: rules. Everything that decides lives in `collect`.
"""
