"""MixTrainer with torch.compile, hyperparameter search and span mixing."""

from __future__ import annotations

import pytest
import torch
from test_trainer import Rows, no_dropout, trainer_of
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, TrainerCallback

from logitmix_hf import MixArguments
from logitmix_hf.errors import UserError


def test_torch_compile_gives_the_same_weights_with_bounded_recompilations(tmp_path):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    eager = trainer_of(tmp_path, rows=24)
    compiled = trainer_of(tmp_path, rows=24, torch_compile=True, torch_compile_backend="aot_eager")
    eager.train()
    compiled.train()
    for one, other in zip(eager.model.parameters(), compiled.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert 0 < counters["stats"]["unique_graphs"] <= 4
    assert not counters["graph_break"]


class RowsOfManyLengths(Rows):
    """Each batch of eight as long as its longest row, and no two of the same length."""

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        length = 5 + row // 8
        return {name: value[:length] if value.ndim else value for name, value in super().__getitem__(row).items()}


def test_torch_compile_of_many_lengths_needs_two_graphs_to_train_and_two_to_judge(tmp_path):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    options = {"torch_compile": True, "torch_compile_backend": "eager", "train_sampling_strategy": "sequential"}
    trainer = trainer_of(tmp_path, rows=28, eval_strategy="epoch", per_device_eval_batch_size=8, **options)
    trainer.train_dataset = trainer.eval_dataset = RowsOfManyLengths(28)
    trainer.train()
    trainer.predict(trainer.eval_dataset)
    assert 0 < counters["stats"]["unique_graphs"] <= 4
    assert not counters["graph_break"]


def test_spans_by_saliency_refuse_a_compiled_model(tmp_path, tokenizer):
    mix = MixArguments(mixer="spans", span_choice="saliency")
    trainer = trainer_of(tmp_path, mix=mix, torch_compile=True, torch_compile_backend="eager")
    trainer.processing_class = tokenizer
    with pytest.raises(UserError, match="torch_compile out, or take span_choice 'chance'"):
        trainer.train()


def test_hyperparameter_search_over_alpha_weight_and_site(tmp_path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trainer = trainer_of(tmp_path, eval_strategy="epoch")
    trainer.model_init = lambda trial=None: no_dropout()
    tried = []

    def space(trial):
        mix = MixArguments(
            alpha=trial.suggest_float("alpha", 0.5, 4.0),
            w_sim=trial.suggest_float("w_sim", 0.1, 2.0),
            site=trial.suggest_categorical("site", ["embeddings", "layer.1", "cls"]),
        )
        trainer.mix = mix
        tried.append(trainer.mix)
        return {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-3, log=True)}

    seen = []

    class Watch(TrainerCallback):
        def on_evaluate(self, args, state, control, **kwargs):
            seen.append((trainer._step.passes.forward.site, trainer._step.loss.mix.w_sim))

    trainer.add_callback(Watch())
    best = trainer.hyperparameter_search(
        hp_space=space,
        backend="optuna",
        n_trials=3,
        direction="minimize",
        compute_objective=lambda metrics: metrics["eval_loss"],
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    assert best.objective > 0
    assert len({mix.alpha for mix in tried}) == 3
    # Each trial really mixed at its own site and weighed by its own weights.
    wanted = {"embeddings": ("depth", (0,)), "layer.1": ("depth", (1,)), "cls": ("cls", ())}
    assert [(site.kind, site.depths) for site, _ in seen] == [wanted[mix.site] for mix in tried]
    assert [w_sim for _, w_sim in seen] == [mix.w_sim for mix in tried]


@pytest.fixture
def tokenizer():
    vocabulary = {word: number for number, word in enumerate(["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"])}
    vocabulary |= {f"w{number}": number for number in range(5, 60)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]")),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


@pytest.mark.parametrize("choice", ["chance", "saliency"])
def test_spans_train_and_mix_by_the_share_carried_out(tmp_path, tokenizer, choice):
    trainer = trainer_of(tmp_path, mix=MixArguments(mixer="spans", span_choice=choice), num_train_epochs=8)
    trainer.processing_class = tokenizer
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before
    lines = [line for line in trainer.state.log_history if "loss_sim" in line]
    assert len(lines) == 16
    assert all(line["loss_sim"] > 0 and 0 < line["lam"] < 1 for line in lines)
