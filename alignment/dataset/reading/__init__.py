"""Files of feedback as people have them: records in, feedback in no format out, and back.

Pure: values in, values out. What may not be done here: opening the database, or knowing who asks.
"""
