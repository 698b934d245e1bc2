"""vLLM: how it is launched, kept alive and asked.

What this room is for: one process group that belongs to us, and an HTTP client (ask, load, unload,
probe). What may not be done here: importing `feedback_app`, or of `alignment` more than its ground floor
(errors, files, processes), or deciding which version should be served.
"""
