"""The flags of ``logitmix glue`` about data and model; those that every training shares are in ``training.settings``."""

from __future__ import annotations

from dataclasses import dataclass

from logitmix_hf.errors import check_number
from logitmix_hf.flags import flag
from logitmix_hf.text.tasks import GLUE

BERT = "google-bert/bert-base-uncased"


@dataclass(frozen=True)
class TextDataSettings:
    """Which rows to train and judge on."""

    task: str | None = flag(
        "data", None, "a GLUE task: rte, mrpc, cola, sst2, stsb, qnli, qqp, mnli, wnli", "--task_name"
    )
    dataset_name: str | None = flag(
        "data", None, f"Hub data set, local folder, or builtin (synthetic, needs no network); default {GLUE}"
    )
    dataset_config: str | None = flag("data", None, "configuration of a Hub data set", "--dataset_config_name")
    train_file: str | None = flag("data", None, "own data: .csv, .tsv, .json, .jsonl or .parquet")
    validation_file: str | None = flag(
        "data", None, "own validation data; without it a share of train is held out", "--eval_file"
    )
    test_file: str | None = flag("data", None, "own test data: predicted at the end, and judged where it has labels")
    text_columns: str | None = flag("data", None, "column of the text, or two joined by a comma: a,b")
    label_column: str | None = flag("data", None, "column of the label; default label or labels")
    regression: bool | None = flag(
        "data", None, "treat integer labels as values; false: real numbers as classes; default by the data"
    )
    validation_share: float = flag(
        "data", 0.1, "share of train to hold out where there is no validation data; 0: train on all, judge nothing"
    )
    max_train_samples: int | None = flag("data", None, "train on this many rows, drawn by the seed")
    max_eval_samples: int | None = flag("data", None, "judge on the first rows only")
    max_length: int = flag("data", 128, "tokens a row is cut to", "--max_seq_length")

    def __post_init__(self) -> None:
        check_number("validation_share", self.validation_share, low=0, high=0.9)
        check_number("max_length", self.max_length, low=4)

    @property
    def texts(self) -> tuple[str, ...] | None:
        """The text columns as names."""
        return None if self.text_columns is None else tuple(name.strip() for name in self.text_columns.split(","))


@dataclass(frozen=True)
class TextModelSettings:
    """Which network to start from."""

    model: str = flag(
        "model", BERT, "Hub id, local folder, or builtin (MiniLM-L6 from a package)", "--model_name_or_path"
    )
    model_revision: str = flag("model", "main", "branch, tag or commit of a Hub model")
    tokenizer: str | None = flag("model", None, "another tokenizer than the model's", "--tokenizer_name")
    ignore_mismatched_sizes: bool = flag("model", False, "replace a head that does not fit the data's labels")
