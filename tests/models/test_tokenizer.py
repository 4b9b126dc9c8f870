"""A tokenizer that does not fit its model is told before anything is loaded, or made to fit as transformers would have it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from tiny import CONFIGS, build
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    MPNetConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.errors import UserError
from logitmix_hf.models.pretrained import find_pretrained, load_config
from logitmix_hf.models.tokenizer import check_length, encode, load_tokenizer, longest
from logitmix_hf.serving import load_classifier
from logitmix_hf.serving.classifier import find_classifier

SMALL = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TEXTS = ["good film", "bad bad film very long", "", "film", " "]


def loaded(folder, **options):
    source = find_pretrained(str(folder))
    config = load_config(source)
    return load_tokenizer(source, config, **options), config


def decoder(folder, pad=None, eos="<end>", **config):
    """A random GPT-2 classifier whose tokenizer adds no special token."""
    words = ["<end>", "<pad>", "<unk>", "good", "bad", "film", "very", "long"]
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token=eos, pad_token=pad).save_pretrained(
        folder
    )
    sizes = {"vocab_size": len(words), "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    torch.manual_seed(0)
    network = AutoModelForSequenceClassification.from_config(GPT2Config(**sizes, **config, num_labels=2))
    network.save_pretrained(folder)
    return network.eval()


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "albert", "deberta-v2", "modernbert"])
def test_a_folder_without_a_tokenizer(tmp_path, family):
    build(CONFIGS[family], attention="eager").save_pretrained(tmp_path)
    with pytest.raises(UserError, match="comes without a tokenizer"):
        loaded(tmp_path)
    with pytest.raises(UserError, match="comes without a tokenizer"):
        load_classifier(str(tmp_path))


def test_a_tokenizer_whose_vocabulary_was_lost(tmp_path, tiny_model):
    shutil.copytree(tiny_model, tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="comes without a tokenizer"):
        loaded(tmp_path / "m")
    assert loaded(tiny_model)[0].convert_tokens_to_ids("good") > 4


@pytest.mark.parametrize("options", [{}, {"pad": "<pad>"}, {"pad_token_id": 1}, {"pad_token_id": -1}])
def test_a_decoder_answers_a_row_alone_and_in_a_batch_alike(tmp_path, options):
    """By transformers' own forward pass of each row alone, where nothing is padded; an empty text is its end."""
    network = decoder(tmp_path, **options)
    network.config.pad_token_id = 1
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    classifier = load_classifier(str(tmp_path), device="cpu")
    with torch.no_grad():
        rows = [torch.tensor([tokenizer(text)["input_ids"] or [tokenizer.eos_token_id]]) for text in TEXTS]
        alone = np.concatenate([network(row).logits.numpy() for row in rows])
    np.testing.assert_allclose(classifier.logits(TEXTS), alone, atol=1e-5)
    np.testing.assert_allclose(classifier.logits([""]), alone[2:3], atol=1e-5)
    assert classifier.model.config.pad_token_id == classifier.processor.pad_token_id


def test_a_tokenizer_that_nothing_can_pad(tmp_path):
    decoder(tmp_path, eos=None)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.unk_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="no padding token, nor an end of text"):
        loaded(tmp_path)


def test_more_tokens_than_embeddings(tmp_path, tiny_model, files, capfd):
    shutil.copytree(tiny_model, tmp_path / "m")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rows = load_config(find_pretrained(tiny_model)).vocab_size
    tokenizer.add_tokens([AddedToken(f"<w{number}>") for number in range(rows)])
    tokenizer.save_pretrained(tmp_path / "m")
    with pytest.raises(UserError, match=rf"has {len(tokenizer)} tokens, the model {rows}: tokens were added"):
        loaded(tmp_path / "m")
    flags = ["--train_file", files / "train.csv", "--max_length", 16, "--max_steps", 1, "--label_column", "stars"]
    flags += ["--model", tmp_path / "m", "--output_dir", tmp_path / "run", "--use_cpu", "--report_to", "none"]
    assert glue([*map(str, flags)]) == 0
    assert f"has {len(tokenizer) - rows} more tokens than" in capfd.readouterr().err
    made = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run")
    assert made.get_input_embeddings().num_embeddings == len(tokenizer)


@pytest.mark.parametrize(("kind", "positions"), [(RobertaConfig, 32), (MPNetConfig, 32)])
def test_positions_that_begin_behind_the_padding(kind, positions, tmp_path):
    """A row of as many tokens as :func:`longest` says goes through; one more does not."""
    config = kind(**SMALL, max_position_embeddings=positions + 2, pad_token_id=1)
    assert longest(config) == positions
    model = AutoModelForSequenceClassification.from_config(config).eval()
    model(torch.full((1, positions), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, positions + 1), 5))
    with pytest.raises(UserError, match=r"--max_length 33 is more than the 32 tokens that m reads"):
        check_length(positions + 1, config, "m")
    assert longest(CONFIGS["bert"]) == 64
    assert longest(CONFIGS["distilbert"]) == 512


def test_a_model_is_calibrated_at_the_length_that_predict_deploys(tmp_path, tiny_model):
    from logitmix_hf.commands.calibrate import parse

    model = build(CONFIGS["bert"], max_position_embeddings=300)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    job = parse(["--model", str(tmp_path), "--eval_file", "x.csv"])
    assert job.data.max_length == load_classifier(str(tmp_path), device="cpu").max_length == 300
    assert parse(["--model", str(tmp_path), "--eval_file", "x.csv", "--max_length", "40"]).data.max_length == 40
    with pytest.raises(UserError, match="--max_length 301 is more than the 300"):
        find_classifier(str(tmp_path)).max_length(301)


def test_a_row_without_a_token_gets_one(tmp_path):
    decoder(tmp_path)
    tokenizer, _ = loaded(tmp_path)
    inputs, cut = encode(tokenizer, [["good film", ""]], 1)
    assert inputs["input_ids"] == [[3], [0]]
    assert inputs["attention_mask"] == [[1], [1]]
    assert cut == [True, False]
