"""Suites: questions whose answers can be checked, brought as a file, and what a version loses of them.

`reading` makes items of a file's lines, `conditions`, `instructions` and `json_schema` check answers, `choosing` asks
multiple choice by log-probabilities, `asking` asks several versions within a time, `scores` counts. Nothing here
knows where a file lies or what an operator chose, and nothing decides: that is `evaluation.gate`.
"""
