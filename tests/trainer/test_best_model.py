"""The best model: which way a score is better, what is kept, and what the model holds at the end."""

from __future__ import annotations

import copy
import math
import os
import shutil

import pytest
import torch
from test_trainer import trainer_of
from transformers import EarlyStoppingCallback, TrainerCallback

from logitmix_hf.errors import UserError

STEPS, PER_EPOCH = 6, 3  # of training: 24 rows in batches of 8


class Scripted(TrainerCallback):
    """Evaluations that score as they are told to, and the weights that each of them judged."""

    def __init__(self, scores: dict[int, float], name: str = "grade") -> None:
        self.scores, self.name, self.step = scores, name, 0
        self.weights: dict[int, dict[str, torch.Tensor]] = {}

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.step = state.global_step
        self.weights[self.step] = copy.deepcopy(model.state_dict())

    def __call__(self, output):
        return {self.name: self.scores[self.step]}


def run(folder, scores, *, resume=None, callbacks=(), name="grade", **changes):
    script = Scripted(scores, name)
    options = {"metric_for_best_model": name, "load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 1}
    trainer = trainer_of(folder, rows=24, num_train_epochs=2, callbacks=[script, *callbacks], **{**options, **changes})
    trainer.compute_metrics = script
    trainer.train(resume_from_checkpoint=resume)
    return trainer, script


def holds(trainer, weights) -> bool:
    return all(torch.equal(value, weights[name]) for name, value in trainer.model.state_dict().items())


def steps_of(folder) -> list[int]:
    return sorted(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*"))


EVERY = {"save_strategy": "steps", "save_steps": 1}
PAIRINGS = {
    "each step": EVERY,
    "every other step": {"save_strategy": "steps", "save_steps": 2},
    "only at the end": {"save_strategy": "steps", "save_steps": STEPS},
    "each epoch": {"eval_strategy": "epoch", "save_strategy": "epoch"},
    "where it is best": {"save_strategy": "best"},
    "epochs, where it is best": {"eval_strategy": "epoch", "save_strategy": "best"},
}


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("best", [2, 5, 6])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_the_best_model_is_kept_and_loaded(tmp_path, pairing, best, limit):
    changes = PAIRINGS[pairing]
    seen = range(PER_EPOCH, STEPS + 1, PER_EPOCH) if changes.get("eval_strategy") == "epoch" else range(1, STEPS + 1)
    best = min(step for step in seen if step >= best)
    scores = {step: 1.0 - abs(step - best) / 10 for step in seen}
    trainer, script = run(tmp_path, scores, save_total_limit=limit, **changes)
    assert trainer.state.best_global_step == best
    assert trainer.state.best_model_checkpoint == str(tmp_path / f"checkpoint-{best}")
    assert holds(trainer, script.weights[best])
    assert best in steps_of(tmp_path)
    assert not (tmp_path / ".saving").exists()


def test_without_loading_it_the_best_checkpoint_is_not_rotated_away(tmp_path):
    """Evaluated by epoch and saved by steps: step 3 is saved before it is judged, and no other save names it."""
    trainer, script = run(
        tmp_path,
        {3: 0.9, 6: 0.1},
        **EVERY,
        eval_strategy="epoch",
        load_best_model_at_end=False,
        save_total_limit=2,
    )
    assert 3 in steps_of(tmp_path)
    assert trainer.state.best_model_checkpoint == str(tmp_path / "checkpoint-3")
    assert holds(trainer, script.weights[STEPS])


RISEN_EARLY = {1: 0.1, 2: 0.9, 3: 0.2, 4: 0.3, 5: 0.2, 6: 0.1}


def test_a_run_whose_folder_was_moved_goes_on_to_its_best(tmp_path):
    _, script = run(tmp_path / "a", RISEN_EARLY, **EVERY)
    shutil.move(tmp_path / "a", tmp_path / "b")
    for step in (5, 6):
        shutil.rmtree(tmp_path / "b" / f"checkpoint-{step}")
    resumed, _ = run(tmp_path / "b", RISEN_EARLY, resume=str(tmp_path / "b/checkpoint-4"), **EVERY, save_total_limit=2)
    assert holds(resumed, script.weights[2])
    assert resumed.state.best_model_checkpoint == str(tmp_path / "b/checkpoint-2")


def test_a_copied_run_loads_its_own_best_and_not_the_originals(tmp_path):
    _, script = run(tmp_path / "a", RISEN_EARLY, **EVERY)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    resumed, _ = run(tmp_path / "b", RISEN_EARLY, resume=str(tmp_path / "b/checkpoint-4"), **EVERY, save_total_limit=1)
    assert resumed.state.best_model_checkpoint == str(tmp_path / "b/checkpoint-2")
    assert steps_of(tmp_path / "a") == [1, 2, 3, 4, 5, 6]
    assert holds(resumed, script.weights[2])


@pytest.mark.parametrize("relative", [True, False])
def test_a_run_goes_on_from_another_place_into_another_folder(tmp_path, monkeypatch, relative):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    _, script = run("runs", RISEN_EARLY, **EVERY)
    monkeypatch.chdir(tmp_path / "there")
    source = os.path.relpath(tmp_path / "here/runs") if relative else str(tmp_path / "here/runs")
    same, _ = run(source, RISEN_EARLY, resume=f"{source}/checkpoint-4", **EVERY, save_total_limit=2)
    assert holds(same, script.weights[2])
    assert 2 in steps_of(tmp_path / "here/runs")
    other, _ = run("new", RISEN_EARLY, resume=f"{source}/checkpoint-2", **EVERY)
    assert holds(other, script.weights[2])
    assert steps_of(tmp_path / "there/new") == [3, 4, 5, 6]


def test_a_relative_folder_keeps_its_best_when_resumed_by_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, script = run("runs", RISEN_EARLY, **EVERY)
    resumed, _ = run("runs", RISEN_EARLY, resume=str(tmp_path / "runs/checkpoint-3"), **EVERY, save_total_limit=1)
    assert steps_of(tmp_path / "runs") == [2]
    assert holds(resumed, script.weights[2])


def test_what_another_run_left_in_the_folder_is_not_taken_for_the_best(tmp_path):
    run(tmp_path, RISEN_EARLY, **EVERY)
    again, script = run(
        tmp_path, {**RISEN_EARLY, 5: 2.0}, save_strategy="steps", save_steps=6, learning_rate=5e-4, eval_steps=1
    )
    assert holds(again, script.weights[5])


def test_a_score_that_is_never_a_number_is_told(tmp_path):
    scores = dict.fromkeys(range(1, 7), math.nan)
    with pytest.warns(UserWarning, match="eval_pearson was never a number"):
        trainer, script = run(tmp_path, scores, name="pearson", **EVERY)
    assert holds(trainer, script.weights[STEPS])


# --- directions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ece", "eval_nll", "oe", "brier", "mse", "mae", "aurc", "eval_second_ece"])
def test_a_score_that_should_be_low_keeps_the_lowest(tmp_path, name):
    with pytest.warns(UserWarning, match="is better when lower"):
        trainer, script = run(tmp_path, {**RISEN_EARLY, 5: 0.01}, name=name.removeprefix("eval_"), **EVERY)
    assert trainer.state.best_global_step == 5
    assert holds(trainer, script.weights[5])


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "matthews_correlation", "bleu"])
def test_any_other_score_keeps_the_highest(tmp_path, name):
    trainer, _ = run(tmp_path, RISEN_EARLY, name=name, **EVERY)
    assert trainer.state.best_global_step == 2


def test_early_stopping_waits_for_a_lower_error(tmp_path):
    falling = {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.71, 5: 0.72, 6: 0.1}
    trainer, _ = run(tmp_path, falling, name="ece", callbacks=[EarlyStoppingCallback(2)], **EVERY)
    assert (trainer.state.global_step, trainer.state.best_global_step) == (5, 3)


@pytest.mark.parametrize(("name", "drops"), [("accuracy", True), ("ece", False), ("loss", False)])
def test_a_plateau_of_the_learning_rate_is_one_of_the_score(tmp_path, name, drops):
    """A score that falls from step to step: bad news of an accuracy, good news of an error."""
    falling = {step: 1.0 - step / 10 for step in range(1, STEPS + 1)}
    trainer, _ = run(
        tmp_path,
        falling,
        name="other" if name == "loss" else name,
        metric_for_best_model=name,
        load_best_model_at_end=False,
        lr_scheduler_type="reduce_lr_on_plateau",
        lr_scheduler_kwargs={"patience": 0},
        learning_rate=1e-4,
    )
    assert (trainer.lr_scheduler.optimizer.param_groups[0]["lr"] < 1e-4) == drops


def test_a_score_that_no_evaluation_gives_is_named(tmp_path):
    with pytest.raises(UserError, match=r"metric_for_best_model='acuracy' is no score.*Did you mean 'accuracy'"):
        run(tmp_path, RISEN_EARLY, name="accuracy", metric_for_best_model="acuracy", **EVERY)


def test_every_score_of_a_report_has_a_direction():
    import numpy as np

    from logitmix_hf.evaluation import BETTER, METRICS, MULTI, REGRESSION, Predictions, review

    draw = np.random.default_rng(0)
    classes = Predictions(draw.normal(size=(40, 3)), draw.integers(3, size=40), posterior=np.full((40, 3), 1 / 3))
    several = Predictions(draw.normal(size=(40, 3)), draw.integers(2, size=(40, 3)), problem=MULTI)
    values = Predictions(draw.normal(size=(40, 1)), draw.normal(size=40), problem=REGRESSION)
    given = {name for predictions in (classes, several, values) for name in review(predictions)}
    assert given | {name for metrics in METRICS.values() for name in metrics} <= BETTER.keys()


def test_directions_by_what_perfect_predictions_score():
    """Sure and right everywhere: no score is better, whichever way it goes."""
    import numpy as np

    from logitmix_hf.evaluation import BETTER, METRICS, REGRESSION, SINGLE, Predictions, review

    draw = np.random.default_rng(1)
    labels, values = draw.integers(2, size=60), draw.normal(size=60)
    pairs = [
        (Predictions(40.0 * np.eye(2)[labels], labels), Predictions(draw.normal(size=(60, 2)), labels), SINGLE),
        (
            Predictions(values[:, None], values, problem=REGRESSION),
            Predictions(draw.normal(size=(60, 1)), values, problem=REGRESSION),
            REGRESSION,
        ),
    ]
    for perfect, poor, problem in pairs:
        names = tuple(METRICS[problem])
        best, worse = review(perfect, names), review(poor, names)
        for name in best.keys() & {name for name, way in BETTER.items() if way}:
            assert BETTER[name] * best[name] > BETTER[name] * worse[name], name
