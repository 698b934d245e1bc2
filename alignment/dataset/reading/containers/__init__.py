"""Files of feedback as records, whatever holds them: `open_container` is the one way in.

    opening      what it is, by its first bytes; the rest is chosen from that
    signs        those first bytes; prose names what is no data at all
    encoding     UTF-8, UTF-16, or a code page where no letter is in doubt
    json_text    JSON lines, arrays, one object with the rows (pieces, wrapped)
    table        CSV with any delimiter
    folder       a saved dataset, the parts of one table, or the one file of a folder
    apart        the process in which archives, parquet and arrow are opened (unpack, columns)

Pure of the app. What may not be done here: knowing what a record means; that is for its readers.
"""

from __future__ import annotations

from alignment.dataset.reading.containers.opened import LIMITS, Limits, Line, Opened
from alignment.dataset.reading.containers.opening import open_container

__all__ = ["LIMITS", "Limits", "Line", "Opened", "open_container"]
