"""A stock fine-tuning script with one class swapped: every line is `transformers` as usual but the two marked `swap`.

    python examples/swap_trainer.py                             # built-in data and model, no network
    python examples/swap_trainer.py --model roberta-base --site layer.6
    python examples/swap_trainer.py --method vanilla            # what stock Trainer would have learnt

The data is generated (synthetic entailment pairs with label noise), so that the script runs anywhere.
"""

from __future__ import annotations

import argparse

import numpy as np
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    TrainingArguments,
    set_seed,
)

from logitmix_hf import MixArguments, MixTrainer  # swap: instead of transformers.Trainer
from logitmix_hf.builtin.tasks import generate

LABELS = ["entailment", "not_entailment"]


def accuracy(output: EvalPrediction) -> dict[str, float]:
    """Share of rows where the largest logit is the label's."""
    return {"accuracy": float((np.argmax(output.predictions, axis=1) == output.label_ids).mean())}


def main() -> None:
    flags = argparse.ArgumentParser(description="Stock fine-tuning with MixTrainer in place of Trainer.")
    flags.add_argument("--model", default="builtin", help="builtin, a local folder, or a Hub id")
    flags.add_argument("--method", default="logitmix", help="vanilla, mixup, manifold_mixup, regmixup or logitmix")
    flags.add_argument("--site", help="where to mix: embeddings, layer.K, middle, cls, pooled; default the method's")
    flags.add_argument("--rows", type=int, default=500, help="training rows to generate")
    flags.add_argument("--epochs", type=float, default=2)
    flags.add_argument("--learning_rate", type=float, default=5e-5)
    flags.add_argument("--output_dir", default="runs/swap-trainer")
    options = flags.parse_args()

    if options.model == "builtin":
        from logitmix_hf.builtin.model import builtin_model_path

        options.model = str(builtin_model_path())

    set_seed(42)  # before the new head gets its random weights
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.model, id2label=dict(enumerate(LABELS)), label2id={name: i for i, name in enumerate(LABELS)}
    )

    def tokenize(rows: dict) -> dict:
        return tokenizer(rows["sentence1"], rows["sentence2"], truncation=True, max_length=128)

    # Yours would come from load_dataset(...): rows with two sentences and a "label".
    train = Dataset.from_dict(generate("rte", "train", rows=options.rows)).map(tokenize, batched=True)
    validation = Dataset.from_dict(generate("rte", "validation", rows=200)).map(tokenize, batched=True)

    trainer = MixTrainer(  # swap: instead of Trainer(
        mix=MixArguments(method=options.method, site=options.site),  # swap: the one argument that is new
        model=model,
        args=TrainingArguments(
            output_dir=options.output_dir,
            learning_rate=options.learning_rate,
            per_device_train_batch_size=8,
            num_train_epochs=options.epochs,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            logging_steps=10,  # loss_mix, loss_cls, loss_sim and lam stand beside loss in each line
            report_to="none",
        ),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=accuracy,
    )
    trainer.train()
    print(trainer.evaluate())  # the untouched model, in the order of the data
    trainer.save_model()  # a plain model: AutoModelForSequenceClassification.from_pretrained reads it


if __name__ == "__main__":
    main()
