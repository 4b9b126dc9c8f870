"""Rows of CSV, TSV, JSON and Parquet: one reader for training, calibration and prediction.

How a row of a CSV becomes a row of a batch: :mod:`stream` opens the file once, unpacks and decodes it into numbered
lines; :mod:`records` makes one :class:`Record` of the lines of a row, broken ones included; :mod:`table` says which
columns there are and hands the records over one by one, which is what ``logitmix predict`` reads
(``serving.inputs``: the text columns of a record are a text or a pair). Training and calibration take all of them by
column (:mod:`columns`); ``text.data`` picks the texts, numbers the labels and holds rows out, ``text.tokens`` makes
token ids of a row, and the collator of transformers pads the rows of a batch.
"""

from __future__ import annotations

from logitmix_hf.data.rows.columns import Columns, check_file, columns_of, read_columns
from logitmix_hf.data.rows.records import LINES, Record
from logitmix_hf.data.rows.stream import not_text
from logitmix_hf.data.rows.table import KINDS, SUFFIXES, Table, is_saved, open_rows

__all__ = [
    "KINDS",
    "LINES",
    "SUFFIXES",
    "Columns",
    "Record",
    "Table",
    "check_file",
    "columns_of",
    "is_saved",
    "not_text",
    "open_rows",
    "read_columns",
]
