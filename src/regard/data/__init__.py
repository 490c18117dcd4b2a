"""Files to checked examples, and examples to batches."""

from regard.data import dates
from regard.data.batches import pad, pad_documents, token_batches
from regard.data.columns import Labelled, Pairs, Texts
from regard.data.corpus import Corpus, Example, Report
from regard.data.datasets import fetch
from regard.data.labels import check_labels, labels_of, match_labels
from regard.data.lines import read_lines
from regard.data.options import ReadOptions
from regard.data.parallel import read_parallel, read_text
from regard.data.rows import Rows, holds_rows, read_rows
from regard.data.table import read_table

__all__ = [
    "Corpus",
    "Example",
    "Labelled",
    "Pairs",
    "ReadOptions",
    "Report",
    "Rows",
    "Texts",
    "check_labels",
    "dates",
    "fetch",
    "holds_rows",
    "labels_of",
    "match_labels",
    "pad",
    "pad_documents",
    "read_lines",
    "read_parallel",
    "read_rows",
    "read_table",
    "read_text",
    "token_batches",
]
