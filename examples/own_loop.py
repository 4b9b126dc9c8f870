"""Any method of the toolkit in a training loop of one's own, with accelerate: texts and images.

    python examples/own_loop.py                                          # LogitMix on texts; no network needed
    python examples/own_loop.py --method vanilla --vwci 5                # VWCI: five passes with dropout
    python examples/own_loop.py --images --mixer cutmix --mix_start .5   # CutMix in the second half, on digits
    accelerate launch examples/own_loop.py --model roberta-base --site layer.6

`build_step` makes the training step of a method: it draws what is mixed, runs the model and gives a loss for each row.
What is left to the loop is four lines. The data is generated (texts) or scikit-learn's (digits): the script runs anywhere.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

from logitmix_hf import MixArguments
from logitmix_hf.builtin.tasks import generate
from logitmix_hf.evaluation import Predictions, evaluate_predictions
from logitmix_hf.steps import MixStep, Where, build_step

LABELS = ("entailment", "not_entailment")


def train_epoch(
    accelerator: Accelerator,
    step: MixStep,
    model: torch.nn.Module,
    optimizer: Any,
    loader: Any,
    seed: int,
    epoch: int = 0,
    epochs: int = 1,
) -> float:
    """One pass over the data; the mean loss of its micro-batches."""
    model.train()
    accumulation = accelerator.gradient_accumulation_steps
    total = torch.zeros((), device=accelerator.device)
    for number, batch in enumerate(loader):
        labels = batch.pop("labels")  # a step wants the batch without them
        behind = epoch * len(loader) + number  # micro-batches
        with accelerator.accumulate(model):
            # Everything random hangs on where we stand: nothing to save, and each process draws its own plans.
            where = Where(
                seed=seed,
                step=behind // accumulation,
                micro_step=behind % accumulation,
                process=accelerator.process_index,
                share_done=behind // accumulation * accumulation / (epochs * len(loader)),  # for --mix_start
                epochs=epochs,
            )
            # The wrapped model is passed, so that DDP sees the call. Hooks hold through backward, because gradient
            # checkpointing runs layers again there: they sleep from step.release() on.
            loss = step.run(model, batch, labels, where).per_example.mean()
            accelerator.backward(loss)
            step.release()
            optimizer.step()
            optimizer.zero_grad()
        total += loss.detach()
    return float(total) / len(loader)


def texts(options: argparse.Namespace) -> tuple[Any, Any, Any, Any, tuple[str, ...]]:
    """Model, tokenizer, both loaders, and the names of the classes."""
    if options.model == "builtin":
        from logitmix_hf.builtin.model import builtin_model_path

        options.model = str(builtin_model_path())
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=len(LABELS))

    def rows_of(split: str, count: int) -> list[dict]:
        table = generate("rte", split, rows=count)
        pairs = zip(table["sentence1"], table["sentence2"], table["label"], strict=True)
        return [{**tokenizer(a, b, truncation=True, max_length=128), "labels": label} for a, b, label in pairs]

    # Losses are means over a micro-batch: drop_last keeps every row's weight in a step the same.
    collate: Any = DataCollatorWithPadding(tokenizer)
    train: Any = rows_of("train", options.rows)
    loader = DataLoader(train, options.batch_size, shuffle=True, drop_last=True, collate_fn=collate)
    judged: Any = rows_of("validation", 200)
    return model, tokenizer, loader, DataLoader(judged, 32, collate_fn=collate), LABELS


def images(options: argparse.Namespace) -> tuple[Any, Any, Any, Any, tuple[str, ...]]:
    """The same for scikit-learn's handwritten digits and a small network: (B, 1, 8, 8) pixels in [0, 1]."""
    from sklearn.datasets import load_digits

    from logitmix_hf.vision import build_network

    data: Any = load_digits()
    rows: Any = [
        {"pixel_values": torch.tensor(picture, dtype=torch.float32)[None] / 16, "labels": int(label)}
        for picture, label in zip(data.images, data.target, strict=True)
    ]
    network = build_network("digits", num_labels=10, image_size=8, channels=1)
    loader = DataLoader(rows[200:][: options.rows], options.batch_size, shuffle=True, drop_last=True)
    return network, None, loader, DataLoader(rows[:200], 32), tuple("0123456789")


def main() -> None:
    flags = argparse.ArgumentParser(description="Accelerate's own loop with any method of the toolkit.")
    flags.add_argument("--model", default="builtin", help="of texts: builtin, a local folder, or a Hub id")
    flags.add_argument("--images", action="store_true", help="digits and a small network instead of texts")
    flags.add_argument("--method", default="logitmix", help="a name in METHODS")
    flags.add_argument("--site", default=None, help="where to mix; default by the method")
    flags.add_argument("--mixer", default=None, help="what mixes; images: mixup, cutmix, puzzlemix, …")
    flags.add_argument("--mix_start", type=float, default=0.0, help="share of training before mixing begins")
    flags.add_argument("--vwci", type=int, default=0, help="passes with dropout of method vwci")
    flags.add_argument("--rows", type=int, default=500, help="training rows")
    flags.add_argument("--epochs", type=int, default=2)
    flags.add_argument("--batch_size", type=int, default=4, help="rows of a micro-batch; partners come from within it")
    flags.add_argument("--accumulation", type=int, default=2, help="micro-batches to a step")
    flags.add_argument("--learning_rate", type=float, default=5e-5)
    flags.add_argument("--seed", type=int, default=42)
    flags.add_argument("--output_dir", default="runs/own-loop")
    options = flags.parse_args()

    accelerator = Accelerator(gradient_accumulation_steps=options.accumulation)
    set_seed(options.seed)
    model, processor, train, validation, labels_of = (images if options.images else texts)(options)
    mix = MixArguments(
        method=options.method, site=options.site, mixer=options.mixer, mix_start=options.mix_start, vwci=options.vwci
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate)
    step = build_step(model, mix, processor)  # made before prepare() or after: it finds the model inside DDP
    model, optimizer, train, validation = accelerator.prepare(model, optimizer, train, validation)
    for epoch in range(options.epochs):
        loss = train_epoch(accelerator, step, model, optimizer, train, options.seed, epoch, options.epochs)
        accelerator.print(f"epoch {epoch + 1}: loss {loss:.4f}")

    model.eval()
    gathered = []
    for batch in validation:
        labels = batch.pop("labels")
        with torch.no_grad():
            logits = model(**batch).logits
        gathered.append(accelerator.gather_for_metrics((logits.float(), labels)))  # without the rows that pad
    if accelerator.is_main_process:
        logits, labels = (torch.cat(parts).cpu().numpy() for parts in zip(*gathered, strict=True))
        predictions = Predictions(logits=logits, labels=labels, label_names=labels_of)
        for name, value in evaluate_predictions(predictions, ["accuracy"]).items():
            print(f"{name}: {value:.4f}")
        step.remove()  # takes the hooks out for good
        accelerator.unwrap_model(model).save_pretrained(options.output_dir)
        if processor is not None:
            processor.save_pretrained(options.output_dir)
    accelerator.end_training()


if __name__ == "__main__":
    main()
