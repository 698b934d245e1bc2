"""Long measurements over many seeds, and the tests that hold their results to what was asked.

A study is a module with a command line that appends one JSON line a seed to its file in `results/` and skips
the seeds that are there. What may not be done here: measuring anything that is not the product's own code.
"""
