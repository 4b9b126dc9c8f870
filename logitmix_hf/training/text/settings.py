"""The flags of ``logitmix glue`` about data and model; those of every training are in ``run_settings`` and ``settings``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from logitmix_hf.data.left_out import ON_BAD_ROW
from logitmix_hf.errors import UserError, check_choice, check_number
from logitmix_hf.flags import flag
from logitmix_hf.models.long_texts import LONG_TEXTS, Windows
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
    hold_out: float | None = flag(
        "data",
        None,
        "judge on this share of train in place of the validation data, which is not read: to choose flags by",
    )
    max_train_samples: int | None = flag("data", None, "train on this many rows, drawn by the seed")
    max_eval_samples: int | None = flag("data", None, "judge on the first rows only")
    on_bad_row: str = flag(
        "data", "stop", "stop, or skip: rows of train, validation and calibration that cannot be used are left out and listed"
    )  # fmt: skip
    max_length: int = flag("data", 128, "tokens a row is cut to", "--max_seq_length")
    long_texts: str | None = flag(
        "data", None, "cut, or windows: a longer row is read in overlapping windows of max_length tokens, and answered by the"
        " mean of their logits; default cut, and for a model that is only judged as it was trained",
    )  # fmt: skip
    window_overlap: int | None = flag("data", None, "tokens that two windows share; default a quarter of max_length")

    def __post_init__(self) -> None:
        check_choice("on_bad_row", self.on_bad_row, ON_BAD_ROW)
        check_choice("long_texts", self.long_texts, (*LONG_TEXTS, None))
        if self.window_overlap is not None:
            if self.long_texts != "windows":
                raise UserError(
                    f"--window_overlap {self.window_overlap} is said of windows: add --long_texts windows, or leave it out."
                )
            Windows.of(self.max_length, self.window_overlap)
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


RANK, DROPOUT = 8, 0.0
LEARNING_RATE = 4e-4
"""Of adapters, where no flag says another: Hu et al. 2022, table 9, take 4e-4 and 5e-4 for RoBERTa base on GLUE."""


@dataclass(frozen=True)
class AdapterSettings:
    """LoRA adapters in the place of all weights, one or several beside each other."""

    lora: bool = flag(
        "lora", False, "train a LoRA adapter and the head, the network itself frozen (Hu et al. 2022; needs peft); the"
        " learning rate is 4e-4 then, where none is given",
    )  # fmt: skip
    lora_members: int | None = flag(
        "lora", None, "train this many adapters beside each other over one network, each by draws of its own, into one"
        " classifier that averages them; implies --lora (in logitmix vision --members is another thing: subnetworks in one"
        " network, MixMo)", "--members",
    )  # fmt: skip
    lora_r: int | None = flag("lora", None, f"rank of an adapter's matrices; default {RANK}")
    lora_alpha: float | None = flag(
        "lora", None, "their product is scaled by this over the rank; default twice the rank"
    )
    lora_dropout: float | None = flag("lora", None, f"dropout of an adapter's input; default {DROPOUT:g}")
    lora_targets: str | None = flag(
        "lora", None, "ends of the names of adapted layers, as query,value; default peft's own for the architecture, else"
        " all linear layers",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, said, high in (("lora_members", "--members", 100), ("lora_r", "lora_r", 4096)):
            check_number(said, getattr(self, name), low=1, high=high, optional=True)
        check_number("lora_alpha", self.lora_alpha, low=0, open_low=True, optional=True)
        check_number("lora_dropout", self.lora_dropout, low=0, high=0.99, optional=True)
        if self.count:
            return
        for name in ("lora_r", "lora_alpha", "lora_dropout", "lora_targets"):
            if getattr(self, name) is not None:
                raise UserError(
                    f"--{name} {getattr(self, name)} is said of LoRA adapters, and none is trained: give --lora, or leave it"
                    " out."
                )

    @property
    def count(self) -> int:
        """How many adapters are trained; 0 for none."""
        return self.lora_members or int(self.lora)

    @property
    def values(self) -> dict[str, Any]:
        """What every adapter is made by."""
        rank = RANK if self.lora_r is None else self.lora_r
        targets = None if self.lora_targets is None else [one.strip() for one in self.lora_targets.split(",")]
        return {
            "rank": rank,
            "alpha": 2 * rank if self.lora_alpha is None else self.lora_alpha,
            "dropout": DROPOUT if self.lora_dropout is None else self.lora_dropout,
            "targets": targets,
        }
