"""The published rows: every recipe parses by the command it is for, and says what its source says."""

from __future__ import annotations

import json
import re

import pytest
from visionrun import flags

from logitmix_hf.commands.glue import parse as parse_glue
from logitmix_hf.commands.vision import main
from logitmix_hf.commands.vision import parse as parse_vision
from logitmix_hf.errors import UserError
from logitmix_hf.flags import COMMANDS, read_recipe, recipe_flags, recipes_folder
from logitmix_hf.methods import METHODS
from logitmix_hf.modality import IMAGE
from logitmix_hf.steps.passes import image_options
from logitmix_hf.training.vision.job import VisionJob
from logitmix_hf.vision.mixers import MIXERS

NAMES = sorted(path.stem for path in recipes_folder().glob("*.json"))
VISION = [name for name in NAMES if read_recipe(name)["_command"] == "vision"]

# Epochs, batch, learning rate, weight decay, epochs of the drops, factor of a drop; as the papers and their codes have it.
LOGITMIX = (200, 128, 0.1, 5e-4, (60, 120, 160), 0.2)
CUTMIX = (300, 64, 0.1, 1e-4, (150, 225), 0.1)
IMAGENET = (300, 256, 0.1, 1e-4, (75, 150, 225), 0.1)
PATCHUP = (2000, 100, 0.1, 1e-4, (500, 1000, 1500), 0.1)
SCHEDULES = {
    "vanilla_cifar": LOGITMIX,
    "logitmix_cifar": LOGITMIX,
    "logitmix_cutmix_cifar": LOGITMIX,
    "logitmix_tiny": LOGITMIX,
    "logitmix_cutmix_tiny": LOGITMIX,
    "logitmix_mobilenet_cifar": (200, 128, 0.1, 5e-4, (), None),
    "logitmix_mobilenet_tiny": (150, 128, 0.1, 5e-4, (), None),
    "logitmix_paper_cifar": CUTMIX,
    "mixup_cifar": (200, 128, 0.1, 1e-4, (100, 150), 0.1),
    "cutmix_cifar": CUTMIX,
    "cutmix_imagenet": IMAGENET,
    "cutmix_wideresnet_cifar": (300, 64, 0.05, 6e-4, (100, 200, 225), 0.1),
    "manifold_mixup_cifar": (1200, 100, 0.1, 1e-4, (400, 800), 0.1),
    "manifold_mixup_tiny": (2000, 100, 0.1, 1e-4, (1000, 1500), 0.1),
    "puzzlemix_cifar": (600, 100, 0.2, 1e-4, (350, 500), 0.1),
    "logitmix_puzzlemix_cifar": (600, 100, 0.2, 1e-4, (350, 500), 0.1),
    "puzzlemix_adversarial_cifar": (1200, 100, 0.1, 1e-4, (400, 800), 0.1),
    "puzzlemix_wideresnet_cifar": (200, 100, 0.2, 1e-4, (120, 170), 0.1),
    "puzzlemix_tiny": (600, 100, 0.2, 1e-4, (300, 450), 0.1),
    "puzzlemix_imagenet": IMAGENET,
    "puzzlemix_imagenet_fast": (100, 448, 0.2, 1e-4, (), None),
    "patchup_hard_cifar": PATCHUP,
    "patchup_soft_cifar": PATCHUP,
    "saliencymix_cifar": LOGITMIX,
    "resizemix_cifar": (200, 256, 0.2, 5e-4, (), None),
    **{f"{method}_wideresnet_cifar": (300, 64, 0.05, 6e-4, (100, 200, 225), 0.1) for method in ("vanilla", "mixup")},
    **{f"{method}_preact_tiny": (1200, 100, 0.2, 1e-4, (600, 900), 0.1) for method in ("vanilla", "mixup", "cutmix")},
    **{
        f"{method}_cifar_b{b}": (300, 64, 0.05 / b, 6e-4, (100, 200, 225), 0.1)
        for method in ("mimo", "linear_mixmo", "cut_mixmo")
        for b in (2, 4)
    },
    **{
        f"{method}_tiny_b{b}": (1200, 100, 0.2 / b, 1e-4, (600, 900), 0.1)
        for method in ("linear_mixmo", "cut_mixmo")
        for b in (2, 4)
    },
}
ROWS = {"cifar": 50_000, "tiny": 100_000, "imagenet": 1_281_167}
SPELLED_OUT = {
    *("method", "alpha", "num_train_epochs", "per_device_train_batch_size", "learning_rate", "weight_decay"),
    *("lr_milestones", "lr_gamma", "lr_scheduler_type"),
}
"""What a recipe says also where it is the default: the numbers one looks for in it."""


def job(name: str, *words: str) -> VisionJob:
    return parse_vision(["--recipe", name, "--dataset", "cifar100", *words])


def everything(job: VisionJob) -> tuple:
    training = {key: value for key, value in vars(job.training).items() if not key.startswith("_")}
    return job.data, job.model, job.mix.filled(IMAGE), {**training, "output_dir": None}


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_parses_by_its_command_and_says_where_it_comes_from(name):
    recipe = read_recipe(name)
    assert recipe["_command"] in ("glue", "vision")
    assert len(recipe["_source"]) > 40
    if recipe["_command"] == "glue":
        assert parse_glue(["--recipe", name, "--task", "rte"]).mix.filled()
    else:
        job(name).check()


def test_no_recipe_is_left_out_here():
    assert set(SCHEDULES) == set(VISION)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_those_of_the_source(name):
    epochs, batch, rate, decay, drops, factor = SCHEDULES[name]
    training = job(name).training
    assert training.num_train_epochs == epochs
    assert training.per_device_train_batch_size == batch
    assert (training.learning_rate, training.weight_decay) == (rate, decay)
    assert (training.optim, training.momentum) == ("sgd", 0.9)
    assert training.nesterov == (name not in ("mixup_cifar", "resizemix_cifar"))
    assert training.max_grad_norm == 0
    if not drops:
        assert not training.lr_milestones
        return
    assert training.lr_gamma == factor
    # Shares of training become the first step of the very epoch, on the data that the row is of.
    rows = next(count for data, count in ROWS.items() if f"_{data}" in name)
    a_epoch = -(-rows * training.batch_repetition // batch)
    steps = epochs * a_epoch
    assert [round(share * steps) for share in training.lr_milestones or []] == [drop * a_epoch for drop in drops]


@pytest.mark.parametrize("name", VISION)
def test_only_what_differs_from_the_defaults_is_in_a_recipe(name, tmp_path):
    """Without any one of its flags, what is trained is another thing."""
    recipe = read_recipe(name)
    whole = everything(job(name))
    for flag in [key for key in recipe if not key.startswith("_") and key not in SPELLED_OUT]:
        rest = tmp_path / "rest.json"
        rest.write_text(json.dumps({key: value for key, value in recipe.items() if key != flag}))
        try:
            left = everything(job(str(rest)))
        except UserError:  # what is left does not fit together: the flag is needed
            continue
        assert left != whole, flag


def test_weights_and_shares_are_those_of_the_source():
    def terms(name):
        mix = job(name).mix.filled(IMAGE)
        return mix.w_mix, mix.w_cls, mix.w_sim, mix.alpha, mix.mix_prob

    assert terms("logitmix_cifar") == (1, 1, 1, 3, 1)
    assert terms("logitmix_cutmix_cifar") == (1, 1, 0.1, 1, 0.5)
    assert terms("logitmix_puzzlemix_cifar") == (1, 1, 0.5, 1, 1)
    assert terms("logitmix_cutmix_tiny") == (1, 1, 0.1, 1, 1)
    assert terms("logitmix_paper_cifar") == (1, 1, 1, 3, 1)
    assert terms("mixup_cifar") == (1, 0, 0, 1, 1)
    assert terms("cutmix_cifar") == (1, 0, 0, 1, 0.5)
    assert terms("puzzlemix_cifar") == (1, 0, 0, 1, 1)
    assert terms("puzzlemix_tiny") == (1, 1, 0, 1, 1)  # clean_lam 1
    assert terms("manifold_mixup_cifar")[:4] == (1, 0, 0, 2)
    assert terms("manifold_mixup_tiny")[3] == 0.2
    assert terms("patchup_hard_cifar")[4] == 0.7
    assert terms("patchup_soft_cifar")[3:] == (2, 1)
    assert terms("vanilla_cifar")[:3] == (0, 1, 0)
    paper = job("logitmix_paper_cifar").mix
    assert (paper.sim_form, paper.cls_sum) == ("l2", True)


def test_options_of_mixers_are_those_of_the_source():
    def options(name):
        mix = job(name).mix.filled(IMAGE)
        return {**MIXERS[str(mix.mixer)].options, **image_options(mix, str(mix.mixer))}

    published = {"levels": 3, "beta": 1.2, "gamma": 0.5, "eta": 0.2, "neighbours": 4, "transport": True}
    published |= {"transport_size": 4, "transport_eps": 0.8, "blocks": None}
    assert options("puzzlemix_cifar").items() >= published.items()
    assert options("puzzlemix_wideresnet_cifar").items() >= published.items()
    assert options("puzzlemix_adversarial_cifar").items() >= {**published, "adv_prob": 0.1}.items()
    assert options("puzzlemix_tiny").items() >= {**published, "transport_size": None}.items()
    imagenet = {**published, "neighbours": 2, "transport_size": None}
    assert options("puzzlemix_imagenet").items() >= imagenet.items()
    assert options("puzzlemix_imagenet_fast").items() >= {**imagenet, "beta": 1.5}.items()
    assert options("patchup_hard_cifar").items() >= {"gamma": 0.5, "block_size": 7, "per_channel": True}.items()
    assert options("patchup_soft_cifar").items() >= {"gamma": 0.75, "block_size": 7, "per_channel": True}.items()


def test_flags_of_the_user_override():
    own = job("logitmix_cifar", "--method", "mixup", "--alpha", "0.4", "--num_train_epochs", "3")
    mix = own.mix.filled(IMAGE)
    assert (mix.alpha, mix.w_mix, mix.w_cls, mix.w_sim) == (0.4, 1, 0, 0)  # the Mixup of the authors' code
    assert own.training.num_train_epochs == 3
    assert own.training.lr_milestones == [0.3, 0.6, 0.8]
    assert job("puzzlemix_cifar", "--model", "resnet18").model.model == "resnet18"


@pytest.mark.parametrize(
    ("recipe", "method", "alpha"),
    [
        ("logitmix_cifar", "mixup", 0.4),  # the paper's Mixup row: 79.32 at 0.4, 77.92 at 3
        ("logitmix_tiny", "mixup", 0.4),
        ("logitmix_mobilenet_tiny", "mixup", 0.4),
        ("logitmix_cutmix_cifar", "mixup", 1.0),  # CutMix's own
        ("logitmix_cifar", "regmixup", 10.0),
        ("mixup_wideresnet_cifar", "logitmix", 3.0),
    ],
)
def test_a_method_beside_a_recipe_brings_its_own_alpha_and_weights_and_is_told(recipe, method, alpha, capfd):
    mix = job(recipe, f"--method={method}").mix.filled(IMAGE)
    assert (mix.alpha, (mix.w_mix, mix.w_cls)) == (alpha, METHODS[method].weights[:2])
    own = read_recipe(recipe)
    told = capfd.readouterr().err
    assert f"recipe {recipe}: alpha {own['alpha']:g}" in told
    assert told.count("left out") == 1
    kept = job(recipe, "--method", method, "--alpha", "0.9").mix.filled(IMAGE)
    assert kept.alpha == 0.9
    assert job(recipe, "--method", own["method"]).mix.alpha == own["alpha"]


@pytest.mark.parametrize("written", [["--recipe", "paper"], ["--recipe=paper"]])
def test_a_recipe_of_the_other_command_is_named_as_such(written):
    with pytest.raises(UserError) as caught:
        parse_vision(["--dataset", "cifar100", *written])
    message = str(caught.value)
    assert "'paper' is for `logitmix glue`" in message
    assert "logitmix_cifar" in message
    assert "mixup_transformer" not in message
    assert "\n" not in message
    with pytest.raises(UserError, match="'logitmix_cifar' is for `logitmix vision`.*mixup_transformer"):
        parse_glue(["--task", "rte", "--recipe", "logitmix_cifar"])


def test_the_last_recipe_counts_and_ones_own_may_be_for_both(tmp_path):
    own = tmp_path / "own.json"
    own.write_text('{"alpha": 2, "seed": 7}')
    assert job("paper", "--recipe", str(own)).mix.alpha == 2
    assert parse_glue(["--task", "rte", "--recipe", str(own)]).training.seed == 7
    assert recipe_flags(str(own)) == ["--alpha", "2", "--seed", "7"]
    own.write_text('{"_command": "speech", "alpha": 2}')
    with pytest.raises(UserError, match="'speech'; there are glue and vision"):
        job(str(own))
    assert set(COMMANDS.values()) == {"glue", "vision"}


MIXMO = [
    name
    for name in VISION
    if "mixmo" in name or "mimo" in name or "preact" in name or name.endswith("wideresnet_cifar")
]


@pytest.mark.parametrize("name", MIXMO)
def test_the_rows_of_mixmo_train(name, tmp_path):
    """Two steps each, of a small network of the same family on digits."""
    model = "preactresnet18-1" if "tiny" in name or "preact" in name else "wideresnet-10-1"
    small = {"max_steps": 2, "max_train_samples": 64, "max_eval_samples": 16, "per_device_train_batch_size": 8}
    assert (
        main(flags(tmp_path / name, recipe=name, **{"model": model, **small}, num_train_epochs=None, stem="cifar")) == 0
    )
    assert json.loads((tmp_path / name / "trainer_state.json").read_text())["global_step"] == 2


def test_every_row_of_the_papers_tables_has_a_command_that_is_understood():
    """The table on the page: each command parses, and passes every check that comes before data."""
    page = (recipes_folder().parent / "docs" / "mixmo.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(("| Table", "| Figure"))]
    commands = [code for line in rows for code in re.findall(r"`(V [^`]+)`", line)]
    assert len(commands) > 35
    for code in commands:
        words = code.replace("V ", "--dataset cifar100 --protocol halves --recipe ", 1).split()
        if "tiny" in code:
            words[1] = "tiny-imagenet"
        parse_vision(words).check()
