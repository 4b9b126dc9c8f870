"""Uses, limits, hardware and energy of a card; lines of use for a temperature that the weights do not hold."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from cardrun import RESULTS, card, metadata, record, section

from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE
from logitmix_hf.reporting.card import relocated
from logitmix_hf.reporting.emissions import read_emissions

EMISSIONS = """\
timestamp,project_name,run_id,duration,emissions,energy_consumed,country_name,region,codecarbon_version,longitude,latitude
2026-11-25T10:00:00,codecarbon,a,50.0,0.001,0.004,Canada,quebec,3.2.0,-71.2145,46.8123
2026-11-25T10:01:00,codecarbon,a,100.0,0.002,0.008,Canada,quebec,3.2.0,-71.2145,46.8123
2026-11-25T11:00:00,codecarbon,b,60.0,0.0015,0.006,Canada,quebec,3.2.0,-71.2145,46.8123
"""


@pytest.mark.parametrize(
    ("problem", "uses", "not_uses"),
    [
        (SINGLE, "choosing among the labels above", "none of the labels"),
        (MULTI, "deciding on each label", "none of the labels"),
        (REGRESSION, "predicting the value", "no spread"),
    ],
)
def test_intended_and_out_of_scope_use(problem, uses, not_uses):
    text = card(run=record(data={"problem": problem}))
    assert uses in section(text, "Intended use")
    assert "Pairs of texts like those of rte of nyu-mll/glue" in section(text, "Intended use")
    assert not_uses in section(text, "Out-of-scope use")
    assert "without somebody who can overrule" in section(text, "Out-of-scope use")
    assert ("probability as well as the label" in text) == (problem != REGRESSION)


def test_pictures_and_synthetic_sentences_have_uses_of_their_own():
    pictures = card(run=record(model={"pipeline_tag": "image-classification"}, data={"columns": ["image"]}))
    assert "Pictures like those of" in section(pictures, "Intended use")
    assert "pictures of another kind" in section(pictures, "Out-of-scope use")
    made_up = card(run=record(data={"synthetic": True, "source": "builtin"}))
    assert "Studying how training changes calibration" in section(made_up, "Intended use")
    assert "Real text" in section(made_up, "Out-of-scope use")


@pytest.mark.parametrize(("rows", "told"), [(150, True), (872, False), (None, False)])
def test_few_rows_are_a_limit(rows, told):
    text = section(card(run=record(data={"splits": {"eval": {"split": "validation", "rows": rows}}})), "Limits")
    assert ("Few rows were judged: validation (150)" in text) == told


def test_hardware_says_what_is_known_and_energy_is_not_guessed():
    text = card()
    shown = section(text, "Hardware and energy")
    for row in (
        "| device | NVIDIA H100 (80 GB) |", "| processor | a processor |", "| cores | 8, 4 threads a process |",
        "| processes | 2 |", "| wall-clock time of the run | 1,234 s |", "| training speed | 321.1 examples/s |",
        "| peak memory of the process | 1,576 MB |", "| peak memory of the device | 2,048 MB |",
    ):  # fmt: skip
        assert row in shown
    assert "were not measured" in shown
    assert not re.search(r"kWh|CO2", text)
    assert metadata(text).get("co2_eq_emissions") is None


def test_what_codecarbon_measured_is_told_in_the_units_of_the_hub(tmp_path):
    (tmp_path / "emissions.csv").write_text(EMISSIONS)
    measured = read_emissions(tmp_path / "emissions.csv")
    assert measured is not None
    # By hand: 0.002 kg (the first start, as it stood last) + 0.0015 kg = 3.5 g.
    assert measured == {
        "grams": pytest.approx(3.5),
        "kwh": pytest.approx(0.014),
        "seconds": pytest.approx(160),
        "place": "quebec, Canada",
        "version": "3.2.0",
    }
    text = card(emissions=measured)
    assert "0.014 kWh; carbon: 3.5 g CO2 equivalent" in section(text, "Hardware and energy")
    assert metadata(text)["co2_eq_emissions"] == {
        "emissions": 3.5,
        "source": "codecarbon",
        "training_type": "fine-tuning",
        "geographical_location": "quebec, Canada",
        "hardware_used": "NVIDIA H100 (80 GB)",
    }
    assert "46.8" not in text  # where the machine stands is nobody's business


def test_a_carbon_of_nobody_knows_where_is_not_told(tmp_path):
    """Without a network codecarbon 3.3 writes these coordinates, and reckons with the 4 g a kWh of Quebec."""
    (tmp_path / "emissions.csv").write_text(EMISSIONS.replace("-71.2145,46.8123", "-71.2,46.8"))
    measured = read_emissions(tmp_path / "emissions.csv")
    assert measured is not None
    assert measured["kwh"] == pytest.approx(0.014)
    assert measured["grams"] is None
    text = card(emissions=measured)
    assert "Energy of training: 0.014 kWh, as codecarbon 3.2.0 gives it over 160 s. Its carbon is not told" in text
    assert "quebec, Canada" not in text
    assert "co2_eq_emissions" not in metadata(text)


def test_little_carbon_is_not_none():
    text = card(emissions={"grams": 1.14594e-05, "kwh": 3e-6, "seconds": 1, "place": None, "version": None})
    assert metadata(text)["co2_eq_emissions"]["emissions"] == 1.146e-05


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", EMISSIONS.replace("0.001", "much"), EMISSIONS.replace("0.0015", "nan")]
)
def test_a_measurement_that_cannot_be_read_is_none(tmp_path, content):
    (tmp_path / "emissions.csv").write_text(content)
    assert read_emissions(tmp_path / "emissions.csv") is None
    assert read_emissions(tmp_path / "nothing.csv") is None


def test_a_model_that_was_only_judged_is_not_called_trained():
    text = card(run=record(arguments={"do_train": False}))
    assert "calibrated and judged on rte of nyu-mll/glue; it was not trained further" in text
    assert "fine-tuned on" not in text
    assert "were not trained by this run" in section(text, "Training")
    assert "last step of training" not in text
    assert "One run with one seed" not in text
    assert "Guo, Chuan" in section(text, "Citation")


@pytest.mark.parametrize("record_of_t", [{"temperature": 4.0, "folded": False}, {}])
@pytest.mark.parametrize(("problem", "columns"), [(SINGLE, ["a", "b"]), (SINGLE, ["a"]), (MULTI, ["a"])])
def test_lines_of_use_divide_where_the_weights_do_not_hold_t(tmp_path, capsys, problem, columns, record_of_t):
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "text", "."]))
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    sizes: dict[str, Any] = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 8,
        "num_labels": 2,
    }
    model = BertForSequenceClassification(BertConfig(**sizes, problem_type=problem))
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 8.0]))
    if record_of_t:
        model.config.logitmix = record_of_t
    model.save_pretrained(tmp_path)
    run = record(data={"problem": problem, "columns": columns})
    text = card({**RESULTS, "temperature": 4.0}, run, temperature=record_of_t).replace('"runs/x"', f'"{tmp_path}"')
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code, {})
    said = [float(number) for number in re.findall(r"0\.\d+", capsys.readouterr().out)]
    # By hand: logits (0, 8) divided by 4 are (0, 2): softmax (.1192, .8808), sigmoids (.5, .8808).
    assert said == pytest.approx([0.1192, 0.8808] if problem == SINGLE else [0.5, 0.8808], abs=1e-4)
    assert "**not** in the weights" in text if record_of_t else "No model with it was saved" in text
    assert f'from_pretrained("{tmp_path}")' not in relocated(text, "ada/rte")
    assert relocated(text, "ada/rte").count('from_pretrained("ada/rte")') == 2


def test_lines_of_use_of_a_picture_divide_too():
    run = record(
        model={"pipeline_tag": "image-classification", "type": "logitmix_convnet"}, data={"columns": ["image"]}
    )
    text = section(card(run=run, temperature={"temperature": 1.5, "folded": False}), "Use")
    assert "AutoImageProcessor" in text
    assert 'Image.open("picture.png")' in text
    assert "import logitmix_hf.vision.networks" in text
    compile(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], "card", "exec")
