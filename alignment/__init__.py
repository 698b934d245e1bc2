"""Rows and a start model in, an artifact out.

What this room is for: judgements as plain values, the compiler that turns them into training rows, the
training methods, and the evidence about what they made. What may not be done here: touching the
database, knowing a person's name, or importing `feedback_app` or `serving`.
"""
