"""`stock_glue.py MODEL TRAIN.csv VALIDATION.csv OUTPUT`: the least that fine-tunes with transformers alone."""

from __future__ import annotations

import sys

from datasets import load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)


def main(model_name: str, train: str, validation: str, output: str) -> None:
    set_seed(42)
    data = load_dataset("csv", data_files={"train": train, "validation": validation})
    labels = sorted(set(data["train"]["label"]))
    tokenizer = AutoTokenizer.from_pretrained(model_name)
    model = AutoModelForSequenceClassification.from_pretrained(model_name, num_labels=len(labels))
    data = data.map(
        lambda rows: tokenizer(rows["sentence1"], rows["sentence2"], truncation=True, max_length=128), batched=True
    )
    trainer = Trainer(
        model=model,
        args=TrainingArguments(output_dir=output, per_device_train_batch_size=8, report_to="none"),
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.train()
    print(trainer.evaluate())


if __name__ == "__main__":
    main(*sys.argv[1:])
