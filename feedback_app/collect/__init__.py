"""The rules of collecting, the same for pages and HTTP: answers, tasks, judgements, people, consent.

What may not be done here: SQL (that is `store`), HTML, or trusting the client with anything but a
ticket's id and a verdict.
"""
