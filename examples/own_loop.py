"""LogitMix in a training loop of one's own: accelerate, `MixedForward`, `LogitMixLoss`.

    python examples/own_loop.py                                 # built-in data and model, no network
    accelerate launch examples/own_loop.py --model roberta-base --site layer.6

Three lines do the method: draw a plan (who is mixed with whom, how much), run clean and mixed rows in one pass,
compare. The data is generated (synthetic entailment pairs with label noise), so that the script runs anywhere.
"""

from __future__ import annotations

import argparse

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

from logitmix_hf import LogitMixLoss, MixedForward, draw_plan
from logitmix_hf.builtin.tasks import generate
from logitmix_hf.evaluation import Predictions, evaluate_predictions
from logitmix_hf.plan import step_generator

LABELS = ("entailment", "not_entailment")


def main() -> None:
    flags = argparse.ArgumentParser(description="Accelerate's own loop with LogitMix.")
    flags.add_argument("--model", default="builtin", help="builtin, a local folder, or a Hub id")
    flags.add_argument("--site", default="middle", help="where to mix: embeddings, layer.K, middle, cls, pooled")
    flags.add_argument("--alpha", type=float, default=3.0, help="lam ~ Beta(alpha, alpha)")
    flags.add_argument("--rows", type=int, default=500, help="training rows to generate")
    flags.add_argument("--epochs", type=int, default=2)
    flags.add_argument("--batch_size", type=int, default=4, help="rows of a micro-batch; partners come from within it")
    flags.add_argument("--accumulation", type=int, default=2, help="micro-batches to a step")
    flags.add_argument("--learning_rate", type=float, default=5e-5)
    flags.add_argument("--seed", type=int, default=42)
    flags.add_argument("--output_dir", default="runs/own-loop")
    options = flags.parse_args()

    if options.model == "builtin":
        from logitmix_hf.builtin.model import builtin_model_path

        options.model = str(builtin_model_path())

    accelerator = Accelerator(gradient_accumulation_steps=options.accumulation)
    set_seed(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=len(LABELS))

    def rows_of(split: str, count: int) -> list[dict]:
        table = generate("rte", split, rows=count)
        pairs = zip(table["sentence1"], table["sentence2"], table["label"], strict=True)
        return [{**tokenizer(a, b, truncation=True, max_length=128), "labels": label} for a, b, label in pairs]

    collate = DataCollatorWithPadding(tokenizer)
    # Losses below are means over a micro-batch: drop_last keeps every row's weight in a step the same.
    train = DataLoader(
        rows_of("train", options.rows),  # type: ignore[arg-type]  # a list is a data set
        batch_size=options.batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=collate,
    )
    validation = DataLoader(rows_of("validation", 200), batch_size=32, collate_fn=collate)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate)

    # MixedForward puts hooks into the model as it is. Made before prepare() or after, it finds the model inside DDP.
    forward = MixedForward(model, site=options.site)
    loss_of = LogitMixLoss(w_mix=1.0, w_cls=1.0, w_sim=1.0)
    model, optimizer, train, validation = accelerator.prepare(model, optimizer, train, validation)

    seen = 0  # micro-batches
    for epoch in range(options.epochs):
        model.train()
        total = torch.zeros((), device=accelerator.device)
        for batch in train:
            labels = batch.pop("labels")  # a mixed pass wants the batch without them
            with accelerator.accumulate(model):
                # Derived from where we stand: nothing to save, and each process draws its own plans.
                generator = step_generator(options.seed, seen, process=accelerator.process_index)
                plan = draw_plan(len(labels), options.alpha, generator)
                # The wrapped model is passed, so that DDP sees the call. The hooks hold through backward, because
                # gradient checkpointing runs the layers again there: they let go at forward.release(), at the next
                # call of forward, or when the model is called by itself. Don't call it between these lines.
                clean_logits, mixed_logits = forward(batch, plan, generator, model)
                loss = loss_of(clean_logits, mixed_logits, labels, plan).loss
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            seen += 1
            total += loss.detach()
        forward.release()  # from here on the model is the plain one
        accelerator.print(f"epoch {epoch + 1}: loss {float(total) / len(train):.4f}")

    model.eval()
    gathered = []
    for batch in validation:
        labels = batch.pop("labels")
        with torch.no_grad():
            logits = model(**batch).logits
        gathered.append(accelerator.gather_for_metrics((logits.float(), labels)))  # without the rows that pad
    if accelerator.is_main_process:
        logits, labels = (torch.cat(parts).cpu().numpy() for parts in zip(*gathered, strict=True))
        predictions = Predictions(logits=logits, labels=labels, label_names=LABELS)
        for name, value in evaluate_predictions(predictions, ["accuracy"]).items():
            print(f"{name}: {value:.4f}")
        forward.remove()  # takes the hooks out for good
        accelerator.unwrap_model(model).save_pretrained(options.output_dir)
        tokenizer.save_pretrained(options.output_dir)
    accelerator.end_training()


if __name__ == "__main__":
    main()
