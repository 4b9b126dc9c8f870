"""MixTrainer on images: gradients by hand, mixers by chance, schedules, and whatever wraps or replaces the model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from joinedplans import join_plans
from test_trainer import Gradients, assert_equal_gradients
from tinyimages import LABELS, build, images
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from logitmix_hf import LogitMixLoss, MixArguments, MixTrainer, draw_plan
from logitmix_hf.errors import UserError
from logitmix_hf.plan import step_generator
from logitmix_hf.steps import Where, build_step
from logitmix_hf.steps.mixed import MixedStep
from logitmix_hf.vision import MIXERS
from logitmix_hf.vision.forward import ImageForward


class Pictures(Dataset):
    """A small data set of images in memory."""

    def __init__(self, rows: int = 16, side: int = 8) -> None:
        self.pixels, self.labels = images(rows, side), torch.arange(rows) % LABELS

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"pixel_values": self.pixels[row], "labels": self.labels[row]}


class Plain(nn.Module):
    """Anybody's network, without BatchNorm and without a configuration."""

    def __init__(self, returns: str = "dict", dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inside, 8, 3, padding=1), nn.Tanh()) for inside in (3, 8, 8)
        )
        self.drop, self.line, self.returns = nn.Dropout(dropout), nn.Linear(8, LABELS), returns

    def forward(self, pixel_values, labels=None):
        hidden = pixel_values
        for stage in self.stages:
            hidden = stage(hidden)
        logits = self.line(self.drop(hidden.mean((2, 3))))
        if self.returns == "tensor":
            return logits
        if self.returns == "tuple":
            return (logits,)
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


def trainer_of(tmp_path, model=None, mix=None, rows=16, callbacks=(), side=8, kind=MixTrainer, **changes) -> MixTrainer:
    options = {
        "output_dir": str(tmp_path),
        "use_cpu": True,
        "report_to": "none",
        "optim": "sgd",
        "learning_rate": 0.05,
        "per_device_train_batch_size": 8,
        "num_train_epochs": 1,
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "seed": 5,
        "max_grad_norm": 0.0,
        "train_sampling_strategy": "sequential",
    }
    extra = {"mix": mix or MixArguments()} if issubclass(kind, MixTrainer) else {}
    data = Pictures(rows, side)
    args = TrainingArguments(**{**options, **changes})
    model = Plain() if model is None else model
    return kind(model=model, args=args, train_dataset=data, eval_dataset=data, callbacks=list(callbacks), **extra)


def lines_of(trainer: MixTrainer) -> list[dict[str, float]]:
    return [line for line in trainer.state.log_history if "loss" in line]


def first_gradients(tmp_path, **changes) -> list[Tensor]:
    seen = Gradients()
    trainer_of(tmp_path, callbacks=[seen], **changes).train()
    return seen.first


def micro_generator(micro: int = 0, step: int = 0) -> torch.Generator:
    generator = step_generator(5, step, micro, 0)
    torch.rand((), generator=generator)  # the draw of mix_prob
    return generator


# --- the gradient --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mixer", "site", "alpha", "w_sim"),
    [
        ("mixup", "input", 3.0, 1.0),
        ("cutmix", "input", 3.0, 0.1),
        ("puzzlemix", "input", 3.0, 0.5),
        ("mixup", "stage.1", 3.0, 1.0),
    ],
)  # fmt: skip
def test_the_gradient_is_that_of_a_hand_written_loop(tmp_path, mixer, site, alpha, w_sim):
    got = first_gradients(tmp_path, rows=8, model=build(), mix=MixArguments(mixer=mixer, site=site))
    model, data, generator = build().train(), Pictures(8), micro_generator()
    plan = draw_plan(8, alpha, generator)
    batch = {"pixel_values": data.pixels}
    clean, mixed, carried = ImageForward(model, mixer, site)(batch, plan, generator, labels=data.labels)
    LogitMixLoss(1, 1, w_sim)(clean, mixed, data.labels, carried).loss.backward()
    assert_equal_gradients(got, [p.grad for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("mixer", ["mixup", "cutmix", "fmix"])
def test_eight_times_one_is_one_times_eight_with_the_same_plans(tmp_path, mixer):
    """Four micro-batches of two, each with its plan and its place, against one batch of the same images, mixed so."""
    got = first_gradients(
        tmp_path, rows=8, per_device_train_batch_size=2, gradient_accumulation_steps=4, mix=MixArguments(mixer=mixer)
    )
    model, data, plans, pictures = Plain().train(), Pictures(8), [], []
    for micro in range(4):
        generator = micro_generator(micro)
        part = {"pixel_values": data.pixels[2 * micro : 2 * micro + 2]}
        mixed, carried = ImageForward(model, mixer).mix_pixels(part, draw_plan(2, 3.0, generator), generator)
        plans.append(carried)
        pictures.append(mixed)
    clean, mixed = model(data.pixels)["logits"], model(torch.cat(pictures))["logits"]
    w_sim = 1.0 if mixer == "mixup" else 0.1
    LogitMixLoss(1, 1, w_sim)(clean, mixed, data.labels, join_plans(plans)).loss.backward()
    assert_equal_gradients(got, [p.grad for p in model.parameters() if p.grad is not None])


def test_vanilla_is_stock_trainer_batchnorm_and_all(tmp_path):
    ours = trainer_of(tmp_path, model=build(), mix=MixArguments(method="vanilla"), num_train_epochs=2)
    stock = trainer_of(tmp_path, model=build(), kind=Trainer, num_train_epochs=2)
    ours.train()
    stock.train()
    for name, value in stock.model.state_dict().items():
        torch.testing.assert_close(ours.model.state_dict()[name], value, atol=1e-6, rtol=1e-5)
    assert ours.evaluate()["eval_loss"] == pytest.approx(stock.evaluate()["eval_loss"], rel=1e-5)


def test_evaluation_runs_the_untouched_model(tmp_path):
    trainer = trainer_of(tmp_path, model=build(), mix=MixArguments(mixer="mixup", site="middle"))
    trainer.train()
    model, data = trainer.model.eval(), trainer.eval_dataset
    output = trainer.predict(data)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    with torch.no_grad():
        expected = model(data.pixels).logits
    torch.testing.assert_close(torch.tensor(output.predictions), expected, atol=1e-5, rtol=1e-4)
    assert output.label_ids.tolist() == data.labels.tolist()
    assert output.metrics["test_loss"] == pytest.approx(float(F.cross_entropy(expected, data.labels)), rel=1e-5)


# --- what is drawn -------------------------------------------------------------------------------------------------


def test_mixers_are_drawn_as_often_as_asked_with_the_values_of_each(tmp_path):
    mix = MixArguments(mixer="mixup,cutmix,puzzlemix", mixer_probs=".5,.3,.2", mixer_options="blocks=4")
    drawing = build_step(build(), mix)
    names = []
    for step in range(2000):
        chosen = drawing.choose(Where(seed=0, step=step))
        names.append(chosen.mixer)
        assert (chosen.alpha, chosen.w_sim) == (3.0, {"mixup": 1.0, "cutmix": 0.1, "puzzlemix": 0.5}[chosen.mixer])
    # Four standard deviations of a binomial of 2000: at most .045.
    shares = {name: names.count(name) / 2000 for name in ("mixup", "cutmix", "puzzlemix")}
    assert shares == pytest.approx({"mixup": 0.5, "cutmix": 0.3, "puzzlemix": 0.2}, abs=0.045)
    alone = build_step(build(), MixArguments(method="mixup", mixer="mixup,cutmix"))
    alphas = {name: row.alpha for name, row in alone.mixes.items()}
    assert alphas == {"mixup": 0.4, "cutmix": 1.0}


def test_several_mixers_train_together(tmp_path, monkeypatch):
    def watched(step, rows, mix, generator):
        drawn.append(mix.mixer)
        return draw(step, rows, mix, generator)

    drawn: list[str] = []
    draw = MixedStep.draw
    monkeypatch.setattr(MixedStep, "draw", watched)
    mix = MixArguments(mixer="mixup,cutmix,puzzlemix", mixer_options="blocks=2,levels=2")
    trainer = trainer_of(tmp_path, mix=mix, rows=24, num_train_epochs=4)
    trainer.train()
    assert set(drawn) == {"mixup", "cutmix", "puzzlemix"}
    weight = {"mixup": 1.0, "cutmix": 0.1, "puzzlemix": 0.5}
    for name, line in zip(drawn, lines_of(trainer), strict=True):
        total = line["loss_mix"] + line["loss_cls"] + weight[name] * line["loss_sim"]
        assert line["loss"] == pytest.approx(total, rel=1e-3)


def mixing(trainer: MixTrainer) -> list[bool]:
    trainer.train()
    return ["loss_mix" in line for line in lines_of(trainer)]


def test_when_a_step_mixes(tmp_path):
    run = lambda epochs=4, **given: mixing(  # noqa: E731
        trainer_of(tmp_path, mix=MixArguments(mixer="cutmix", **given), num_train_epochs=epochs)
    )
    assert run(mix_start=0.5) == [False] * 4 + [True] * 4
    assert run(mix_end=0.25) == [True] * 2 + [False] * 6
    assert not any(run(epochs=1, mix_prob=0.0))
    some = run(mix_prob=0.5, epochs=20)  # 40 steps
    assert 10 <= sum(some) <= 30
    assert run(mix_schedule="step", epochs=10) == [False] * 2 + [True] * 18


def test_the_grad_schedule_goes_from_clean_over_mixed_alone_to_the_whole_loss(tmp_path):
    """10 epochs of 2 steps in one stage: nothing mixed up to 20 %, the whole loss from 70 %, L_mix alone or whole between."""
    trainer = trainer_of(tmp_path, mix=MixArguments(mixer="mixup", mix_schedule="grad"), num_train_epochs=10)
    trainer.train()
    terms = ["".join(sorted(key[5] for key in line if key.startswith("loss_"))) for line in lines_of(trainer)]
    assert terms[:5] == ["c"] * 5  # done = 0, .05, ... .2
    assert set(terms[5:14]) == {"m", "cms"}
    assert terms[14:] == ["cms"] * 6


def test_milestones_of_the_trainer_begin_stages_anew(tmp_path):
    trainer = trainer_of(tmp_path, mix=MixArguments(mixer="mixup", mix_schedule="grad"))
    trainer.args.lr_milestones = (0.5,)  # as vision's trainer keeps them
    trainer.state.max_steps, trainer.state.num_train_epochs = 100, 10

    def whole(step: int) -> float:
        trainer.state.global_step = step
        where, drawing = trainer.where(), trainer.step_of(trainer.model)
        chosen = [drawing.choose(replace(where, micro_step=number)) for number in range(200)]
        return sum(mix is not None and mix.w_cls == 1 for mix in chosen) / 200

    assert [whole(10), whole(35), whole(50), whole(85)] == [0, 1, 0, 1]
    assert whole(67) == pytest.approx(0.34 / 0.7, abs=0.15)


def test_a_plain_step_is_the_task_loss_of_clean_rows_and_a_mixed_only_method_runs_no_clean_ones(tmp_path):
    rows: list[int] = []
    for method, start, expected in (("mixup", 0.0, [8]), ("mixup", 0.6, [8]), ("regmixup", 0.0, [16])):
        model = Plain()
        # In training: before it, its own loss is compared once with the task loss.
        model.stages[0].register_forward_pre_hook(lambda m, args: rows.append(len(args[0])) if m.training else None)
        rows.clear()
        trainer_of(tmp_path, model=model, rows=8, mix=MixArguments(method=method, mix_start=start)).train()
        assert rows == expected


# --- anybody's model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("returns", ["dict", "tuple", "tensor"])
def test_a_plain_module_is_an_image_model_whatever_it_returns(tmp_path, returns):
    trainer = trainer_of(tmp_path, model=Plain(returns), mix=MixArguments(mixer="puzzlemix"))
    assert trainer.modality == "image"
    trainer.train()
    assert all({"loss_mix", "loss_cls", "loss_sim"} <= line.keys() for line in lines_of(trainer))
    output, data = trainer.predict(trainer.eval_dataset), trainer.eval_dataset
    with torch.no_grad():
        found = trainer.model.eval()(data.pixels)
    logits = found if isinstance(found, Tensor) else found["logits"] if isinstance(found, dict) else found[0]
    torch.testing.assert_close(torch.tensor(output.predictions), logits, atol=1e-5, rtol=1e-4)
    assert output.metrics["test_loss"] == pytest.approx(float(F.cross_entropy(logits, data.labels)), rel=1e-5)


@pytest.mark.parametrize("mixer", ["mixup", "puzzlemix"])
def test_half_precision(tmp_path, mixer):
    trainer = trainer_of(tmp_path, model=build(), mix=MixArguments(mixer=mixer), bf16=True, num_train_epochs=2)
    trainer.train()
    assert all(line["loss"] < 10 for line in lines_of(trainer))
    single = trainer_of(tmp_path, model=build(), mix=MixArguments(mixer=mixer), num_train_epochs=2)
    single.train()
    assert lines_of(trainer)[0]["loss_cls"] == pytest.approx(lines_of(single)[0]["loss_cls"], rel=0.05)


def test_vwci_of_a_network_with_dropout(tmp_path):
    run = lambda vwci, dropout: first_gradients(  # noqa: E731
        tmp_path, rows=8, model=Plain(dropout=dropout), mix=MixArguments(method="vanilla", vwci=vwci)
    )
    assert_equal_gradients(run(4, 0.0), run(0, 0.0), tolerance=1e-5)
    assert max(float((one - other).abs().max()) for one, other in zip(run(4, 0.5), run(0, 0.5), strict=True)) > 1e-3


@pytest.mark.parametrize(("mixer", "site"), [("mixup", "input"), ("mixup", "middle"), ("saliencymix", "input")])
def test_lora_on_a_vit(tmp_path, mixer, site):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["query", "value", "q_proj", "v_proj"], r=2, modules_to_save=["classifier"])
    model = peft.get_peft_model(build("vit"), config)
    frozen = {name: value.clone() for name, value in model.named_parameters() if not value.requires_grad}
    trainer = trainer_of(tmp_path, model=model, side=32, rows=8, mix=MixArguments(mixer=mixer, site=site))
    assert trainer.modality == "image"
    trainer.train()
    assert lines_of(trainer)[0]["loss_sim"] > 0
    assert all(torch.equal(value, frozen[name]) for name, value in model.named_parameters() if name in frozen)


def test_wrong_sites_and_mixers_are_refused_before_training(tmp_path):
    for given, words in (
        ({"mixer": "spans"}, "not for an image model"),
        ({"site": "layer.1"}, "belongs to a text model"),
    ):
        with pytest.raises(UserError, match=words):
            trainer_of(tmp_path, mix=MixArguments(**given))
    with pytest.raises(UserError, match="stages 1 to 3"):
        trainer_of(tmp_path, model=build(), mix=MixArguments(site="stage.7")).train()


def test_every_mixer_gives_a_loss_to_train_on_and_may_be_set_between_trainings(tmp_path):
    trainer = trainer_of(tmp_path)
    model, batch = trainer.model.train(), {"pixel_values": images(8), "labels": torch.arange(8) % LABELS}
    for mixer in MIXERS:
        trainer.mix = MixArguments(mixer=mixer, lam_per="example")
        model.zero_grad()
        trainer.compute_loss(model, batch).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
        means = trainer.term_log.drain(trainer.accelerator)
        assert means.keys() == {"loss_mix", "loss_cls", "loss_sim", "lam"}
        assert 0 < means["lam"] < 1
        assert means["loss_sim"] > 0


def test_a_compiled_model_trains_as_one_that_is_not(tmp_path):
    """Also through a last batch of another size: from then on backward passes are compiled beforehand, and would give
    away the buffers of the clean pass, whose graph saliency and loss share."""
    compiled = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
    mix = MixArguments(mixer="puzzlemix", mixer_options="blocks=4")
    found = []
    for options in (compiled, {}):
        torch.compiler.reset()
        trainer = trainer_of(tmp_path, mix=mix, rows=11, num_train_epochs=2, **options)
        trainer.train()
        found.append([value.detach() for value in trainer.model.parameters()])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)
