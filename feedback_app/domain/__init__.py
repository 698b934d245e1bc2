"""The product's words as types: states, outcomes, roles, signals, votes. Values are what tables and JSON hold.

Pure: no database, no clock, no files. Everybody may import it; it imports only the ground floor of `alignment`.
"""
