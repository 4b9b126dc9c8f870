"""scikit-learn's own tools over a text classifier, and what it answers against the model that it saved."""

from __future__ import annotations

import json
import pickle
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from parsers import flags_of
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.calibration import CalibrationDisplay
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from tinyrun import rows
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from logitmix_hf import TextClassifier, UserError
from logitmix_hf.cli import main as logitmix
from logitmix_hf.estimators.base import _read_labels

FAST = {"max_steps": 6, "learning_rate": 3e-3, "max_length": 16, "use_cpu": True, "report_to": "none"}
TABLE = rows(48, 0).to_pandas()
TEXTS, LABELS = TABLE["text"], TABLE["stars"]


def made(model: str, **changes) -> TextClassifier:
    return TextClassifier(**{"model": model, "site": "layer.1", **FAST, **changes})


@pytest.fixture(scope="module")
def fitted(tiny_model) -> TextClassifier:
    return made(tiny_model, method="logitmix", calibration_split=0.25).fit(TEXTS, LABELS)


def test_probabilities_are_those_of_the_saved_model(fitted, tmp_path):
    folder = fitted.save(tmp_path / "kept")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(list(TEXTS), return_tensors="pt", padding=True)
    with torch.inference_mode():
        expected = model(**tokens).logits.softmax(-1).numpy()
    assert [model.config.id2label[number] for number in range(2)] == list(fitted.classes_) == ["down", "up"]
    assert fitted.predict_proba(TEXTS) == pytest.approx(expected, abs=1e-6)
    assert (fitted.predict(TEXTS) == np.array(["down", "up"])[expected.argmax(1)]).all()
    assert fitted.score(TEXTS, LABELS) == np.mean(fitted.predict(TEXTS) == LABELS)
    again = TextClassifier.load(folder)
    assert again.predict_proba(TEXTS) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(UserError, match="not empty"):
        fitted.save(folder)


def test_the_order_of_rows_and_batches_changes_no_answer(fitted):
    texts = [*TEXTS, "good " * 12, "a"]
    backwards = fitted.predict_proba(texts[::-1])[::-1]
    assert fitted.predict_proba(texts) == pytest.approx(backwards, abs=1e-6)


def test_a_pickled_one_answers_alike(fitted):
    assert (pickle.loads(pickle.dumps(fitted)).predict_proba(TEXTS) == fitted.predict_proba(TEXTS)).all()


def test_every_row_is_trained_on_unless_some_are_asked_for(tiny_model, capfd):
    whole = made(tiny_model).fit(TEXTS, LABELS)
    assert "".join(capfd.readouterr()) == ""  # neither a bar nor a line: nothing was surprising
    assert whole.scores_ == {}
    some = made(tiny_model, validation_share=0.1).fit(
        TEXTS, LABELS
    )  # also where it is what the command takes by itself
    assert some.scores_["eval_samples"] == -(-len(TEXTS) // 10)
    given = made(tiny_model).fit(TEXTS[:40], LABELS[:40], eval_set=(TEXTS[40:], LABELS[40:]))
    assert given.scores_["eval_accuracy"] == np.mean(given.predict(TEXTS[40:]) == LABELS[40:])


def test_clone_and_set_params(tiny_model):
    one = made(tiny_model, method="mixup", alpha=0.3)
    other = clone(one)
    assert other.get_params() == one.get_params()
    assert other.alpha == 0.3
    assert other.set_params(alpha=1.0).alpha == 1.0
    assert one.alpha == 0.3
    assert "alpha=0.3" in repr(one)
    assert "seed" not in repr(one)


def test_cross_validation_and_grid_search(tiny_model):
    one = made(tiny_model, max_steps=2)
    folds = cross_val_predict(one, list(TEXTS), LABELS, cv=2, method="predict_proba")
    assert folds.shape == (48, 2)
    assert folds.sum(1) == pytest.approx(1)
    assert len(cross_val_score(one, TEXTS, LABELS, cv=2, scoring="neg_log_loss")) == 2
    search = GridSearchCV(one, {"learning_rate": [1e-4, 1e-3]}, cv=2).fit(TEXTS, LABELS)
    assert search.best_params_["learning_rate"] in (1e-4, 1e-3)
    assert set(search.predict(TEXTS)) <= {"down", "up"}


def test_calibration_display(fitted):
    shown = CalibrationDisplay.from_estimator(fitted, TEXTS, LABELS, pos_label="up")
    assert shown.y_prob == pytest.approx(fitted.predict_proba(TEXTS)[:, 1])


@pytest.mark.parametrize("labels", [[9, 10, 11], [2.0, 0.0, 1.0], [True, False], ["b", "a", "c"], [-1, 1]])
def test_labels_come_back_as_they_were_given(tiny_model, labels):
    y = np.array(labels)[np.arange(48) % len(labels)]
    one = made(tiny_model, max_steps=1).fit(TEXTS, y)
    assert one.classes_.dtype == y.dtype
    assert list(one.classes_) == sorted(labels)
    assert set(one.predict(TEXTS)) <= set(labels)
    best = one.classes_[one.predict_proba(TEXTS).argmax(1)]
    assert (best == one.predict(TEXTS)).all()


def test_the_column_of_a_class_is_its_own(tiny_model):
    """Learnt well enough that a swapped column would show: '10' comes before '9' among words, after it among numbers."""
    y = np.where(LABELS == "up", 10, 9)
    one = made(tiny_model, max_steps=60).fit(TEXTS, y)
    assert one.score(TEXTS, y) > 0.9
    assert np.mean((one.predict_proba(TEXTS)[:, 1] > 0.5) == (y == 10)) > 0.9


def test_pairs_of_any_kind_are_the_same_pairs(tiny_model):
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    one = made(tiny_model).fit(pairs, LABELS)
    expected = one.predict_proba(pairs)
    frame = pd.DataFrame(pairs, columns=["premise", "hypothesis"])
    assert (one.predict_proba(frame) == expected).all()
    assert (one.predict_proba(frame.to_numpy()) == expected).all()
    assert (one.predict_proba([list(pair) for pair in pairs]) == expected).all()


def test_several_labels_a_row(tiny_model):
    y = pd.DataFrame({word: TEXTS.str.contains(word).astype(int) for word in ("good", "bad", "film")})
    one = made(tiny_model).fit(TEXTS, y)
    assert list(one.classes_) == ["good", "bad", "film"]
    assert one.predict(TEXTS).shape == one.predict_proba(TEXTS).shape == (48, 3)
    assert set(np.unique(one.predict(TEXTS))) <= {0, 1}


def cli_labels(classifier, folder, texts, capsys) -> list[dict]:
    """What ``logitmix predict`` says of the saved one."""
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    words = ["--model", str(classifier.save(folder / "kept")), "--input", str(folder / "in.jsonl")]
    assert logitmix(["predict", *words, "--output_format", "jsonl"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.strip().split("\n")]


def test_thresholds_decide_as_in_predict(tiny_model, tmp_path, capsys):
    """A miss that costs nine times a false alarm: rows are answered so although the other class is likelier."""
    one = made(tiny_model, calibration_split=0.25, cost="FN=9,FP=1", positive_label="up").fit(TEXTS, LABELS)
    said = one.predict(TEXTS)
    assert (said != one.classes_[one.predict_proba(TEXTS).argmax(1)]).any()
    capsys.readouterr()
    assert list(said) == [row["label"] for row in cli_labels(one, tmp_path, TEXTS, capsys)]


def test_thresholds_of_several_labels_decide_as_in_predict(tiny_model, tmp_path, capsys):
    y = pd.DataFrame({word: TEXTS.str.contains(word).astype(int) for word in ("good", "bad", "film")})
    one = made(tiny_model, calibration_split=0.25, cost="FN=9,FP=1").fit(TEXTS, y)
    said = one.predict(TEXTS)
    assert (said != (one.predict_proba(TEXTS) > 0.5)).any()
    capsys.readouterr()
    rows_of = cli_labels(one, tmp_path, TEXTS, capsys)
    assert [{name for name, yes in zip(one.classes_, row, strict=True) if yes} for row in said] == [
        set(row["labels"]) for row in rows_of
    ]


def test_it_fits_in_another_thread(tiny_model):
    done: list[TextClassifier] = []
    thread = threading.Thread(target=lambda: done.append(made(tiny_model, max_steps=1).fit(TEXTS, LABELS)))
    thread.start()
    thread.join()
    assert len(done[0].predict(TEXTS[:3])) == 3


OF_FILES = {
    "task",
    "task_name",
    "dataset_name",
    "dataset_config",
    "dataset_config_name",
    "train_file",
    "validation_file",
}
OF_FILES |= {"eval_file", "test_file", "text_columns", "label_column", "regression", "on_bad_row"}
OF_FIT = {"help", "config", "resume", "resume_from_checkpoint", "do_train", "do_eval", "do_predict"}


def test_every_flag_of_the_command_is_a_parameter():
    """In every spelling, but for files, which fit is given in their place, and for what fit does."""
    names = {flag[2:] for flag in flags_of("glue") if flag.startswith("--") and "-" not in flag[2:]}
    names = {name for name in names if name.removeprefix("no_") not in names or not name.startswith("no_")}
    for name in names - OF_FILES - OF_FIT:
        assert 7 in TextClassifier(**{name: 7}).get_params().values(), name
    for name in (names & (OF_FILES | OF_FIT)) | {"mixer_probs"}:  # the last is of images
        with pytest.raises(UserError):
            TextClassifier(**{name: 7})


def test_adapters_and_folds(tiny_model, tmp_path):
    one = made(tiny_model, max_steps=2, lora=True, output_dir=str(tmp_path / "lora")).fit(TEXTS, LABELS)
    assert (tmp_path / "lora" / "adapters" / "member_0").is_dir()
    assert one.predict(TEXTS).shape == (48,)
    two = made(tiny_model, max_steps=2, members=2).fit(TEXTS, LABELS)
    assert two.classifier_.model.config.architectures[0].startswith("LogitmixAdapters")
    folded = made(tiny_model, max_steps=2, folds=2).fit(TEXTS, LABELS)
    assert folded.scores_["eval_samples"] == 48  # every row, by a model that has not seen it


def test_the_best_checkpoint_of_a_run_that_is_kept_nowhere(tiny_model):
    best = {"validation_share": 0.25, "load_best_model_at_end": True, "max_steps": -1, "num_train_epochs": 2}
    assert made(tiny_model, **best).fit(TEXTS, LABELS).scores_["eval_samples"] == 12


@pytest.mark.parametrize(
    "needs",
    [{"protocol": "halves"}, {"calibrate_on_eval": True}, {"ood": ["x=y.csv"]}, {"load_best_model_at_end": True}],
)
def test_what_needs_judged_rows_says_how_to_give_some(tiny_model, needs):
    with pytest.raises(UserError, match="needs rows to judge on: give eval_set or validation_share"):
        made(tiny_model, **needs).fit(TEXTS, LABELS)


def test_a_kept_run_is_a_run_folder(tiny_model, tmp_path):
    one = made(tiny_model, output_dir=str(tmp_path / "run"), validation_share=0.25).fit(TEXTS, LABELS)
    assert one.run_.record["status"] == "done"
    assert len(one.run_.predictions()) == 12
    with pytest.raises(UserError, match="--overwrite"):
        one.fit(TEXTS, LABELS)


MISTAKES = {
    "metod": (lambda: TextClassifier(metod="mixup"), "Did you mean 'method'"),
    "set": (lambda: TextClassifier().set_params(aplha=1), "Did you mean 'alpha'"),
    "lengths": (lambda: TextClassifier().fit(TEXTS, LABELS[:3]), "48 rows and 3 labels"),
    "none": (lambda: TextClassifier().fit([], []), "no rows"),
    "one text": (lambda: TextClassifier().fit("abc", list("abc")), "give a list"),
    "numbers": (lambda: TextClassifier().fit([1, 2], ["a", "b"]), "row 0 holds int"),
    "a gap": (lambda: TextClassifier().fit(["a", None], ["a", "b"]), "no text in row 1"),
    "nan": (lambda: TextClassifier().fit(["a", float("nan")], ["a", "b"]), "no text in row 1"),
    "uneven pairs": (lambda: TextClassifier().fit([("a", "b"), ("a",)], [0, 1]), "row 1"),
    "no label": (lambda: TextClassifier().fit(["a", "b"], ["x", None]), "no label in row 1"),
    "kinds": (lambda: TextClassifier().fit(["a", "b"], np.array(["x", 1], object)), "cannot be sorted"),
    "values": (lambda: TextClassifier().fit(["a", "b"], [0.5, 1.5]), "real numbers"),
    "one class": (lambda: TextClassifier().fit(["a", "b"], [3, 3]), "a single class, 3"),
    "infinite": (lambda: TextClassifier().fit(["a", "b"], [0.0, float("inf")]), "real numbers"),
    "uneven labels": (lambda: TextClassifier().fit(["a", "b"], [["x"], ["x", "y"]]), "no array of labels"),
    "a cube": (lambda: TextClassifier().fit(["a", "b"], np.zeros((2, 2, 2))), r"\(2, 2, 2\)"),
    "a word": (lambda: TextClassifier().fit(["a", "b"], "01"), "y is one text"),
    "nothing": (lambda: TextClassifier().fit(["a", "b"], None), "y is None"),
    "a dict of labels": (lambda: TextClassifier().fit(["a", "b"], {0: 1, 1: 0}), "y is a dict"),
    "labels once": (lambda: TextClassifier().fit(["a", "b"], iter([0, 1])), "iterator"),
    "texts once": (lambda: TextClassifier().fit(iter(["a", "b"]), [0, 1]), "read once only"),
    "no texts": (lambda: TextClassifier().fit(None, [0, 1]), "X is None"),
    "a set": (lambda: TextClassifier().fit({"a", "b"}, [0, 1]), "X is a set"),
    "dicts": (lambda: TextClassifier().fit([{"text": "a"}, {"text": "b"}], [0, 1]), "row 0 holds dict"),
    "bytes": (lambda: TextClassifier().fit([b"a", b"b"], [0, 1]), "row 0 holds bytes"),
    "half a letter": (lambda: TextClassifier().fit(["a", "b\ud83d"], [0, 1]), "X, row 1: the text has half"),
    "half a letter in a name": (lambda: TextClassifier().fit(["a", "b"], ["x", "y\ud83d"]), "no file can hold"),
    "unseen by eye": (lambda: TextClassifier().fit(["a", "b"], ["x", "x\u200b"]), "alike"),
    "accents": (lambda: TextClassifier().fit(["a", "b"], ["caf\u00e9", "cafe\u0301"]), "alike"),
    "same columns": (
        lambda: TextClassifier().fit(["a", "b"], pd.DataFrame([[0, 1], [1, 0]], columns=["c", "c"])),
        "'c'",
    ),
    "no pair": (lambda: TextClassifier().fit(["a", "b"], [0, 1], eval_set=[(["c"], [0])]), r"pair \(X, y\)"),
    "an empty pair": (lambda: TextClassifier().fit(["a", "b"], [0, 1], eval_set=([], [])), "eval_set has no rows"),
    "other kinds": (lambda: TextClassifier().fit(["a", "b"], [0, 1], eval_set=(["c"], ["1"])), "labels '1'.*not: 0, 1"),
    "pairs to judge": (
        lambda: TextClassifier().fit(["a", "b"], [0, 1], eval_set=([("c", "d")], [1])),
        "must hold texts",
    ),
    "spaces": (lambda: TextClassifier().fit(["a", "b", "c"], ["x", " x", "y"]), "'x'"),
    "columns": (lambda: TextClassifier().fit(["a", "b"], [[0, 2], [1, 0]]), "0 or 1"),
    "unseen": (lambda: TextClassifier().fit(["a", "b"], [0, 1], eval_set=(["c"], [7])), r"7"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name):
    call, said = MISTAKES[name]
    with pytest.raises(UserError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_nothing_is_predicted_before_fit():
    with pytest.raises(NotFittedError):
        TextClassifier().predict(["a"])


def test_one_that_could_not_be_fitted_again_answers_as_before(fitted):
    expected = fitted.predict(TEXTS)
    for labels in (LABELS[:3], np.arange(48) % 3):
        with pytest.raises(UserError):
            fitted.set_params(method="nope").fit(TEXTS, labels)
    fitted.set_params(method="logitmix")
    assert list(fitted.classes_) == ["down", "up"]
    assert list(fitted.predict(TEXTS)) == list(expected)
    for odd in ([("a", "b")], ["\ud83d"], None):
        with pytest.raises(UserError):
            fitted.predict(odd)


def test_tensors_sparse_labels_and_names_that_end_unseen(tiny_model):
    y = (LABELS == "up").to_numpy().astype(int)
    both = np.stack([y, 1 - y], axis=1)
    kinds = [torch.tensor(y).bfloat16(), torch.tensor(y, dtype=torch.float32, requires_grad=True), csr_matrix(both)]
    for labels in kinds:
        assert list(_read_labels(labels)[1]) == [0, 1]
    one = made(tiny_model, max_steps=1, class_weights={"down": 1, "up\u200b": 2.0})
    one.set_params(class_weights=np.array([1, 2])).fit(TEXTS, np.where(y, "up\u200b", "down"))
    assert set(one.predict(TEXTS)) <= {"down", "up\u200b"}


def test_an_index_in_another_order_is_told(monkeypatch):
    def written(*args):
        raise UserError("enough")

    monkeypatch.setattr(TextClassifier, "_write_rows", written)
    with pytest.warns(UserWarning, match="same index in another order"), pytest.raises(UserError, match="enough"):
        TextClassifier().fit(TEXTS.sample(frac=1, random_state=0), LABELS)
