"""``logitmix vision``: an image classifier on a known data set, one of the Hub, or a folder of pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from logitmix_hf.data.hub import is_folder
from logitmix_hf.disk import expanded
from logitmix_hf.ensembles import check_single
from logitmix_hf.errors import UserError, say
from logitmix_hf.methods import METHODS
from logitmix_hf.modality import IMAGE
from logitmix_hf.process import own_cores
from logitmix_hf.steps.passes import image_options
from logitmix_hf.training.job import Job
from logitmix_hf.training.loaded import Loaded, known_of
from logitmix_hf.training.ood import read_oods
from logitmix_hf.training.settings import Change
from logitmix_hf.training.shift import of_flag, read_shifts
from logitmix_hf.training.vision import model as load
from logitmix_hf.training.vision.corrupted import check_corrupted, corrupted_images, record_of
from logitmix_hf.training.vision.images_beside import (
    check_images_apart,
    same_images,
    with_images_apart,
    with_ood_images,
    with_shifted_images,
)
from logitmix_hf.training.vision.preview import draw_preview
from logitmix_hf.training.vision.settings import ImageDataSettings, ImageModelSettings, VisionTrainSettings
from logitmix_hf.training.vision.trainer import ImageTrainer, avoid_single_image
from logitmix_hf.vision.data import NAMED, ImageData, ImageRequest, TellEpoch, check_image_data, load_image_data
from logitmix_hf.vision.data.augmix import check_augmix
from logitmix_hf.vision.data.facts import image_facts, image_lines
from logitmix_hf.vision.data.folders import holds_class_folders
from logitmix_hf.vision.data.memory import free_memory
from logitmix_hf.vision.mixers.puzzle import check_blocks
from logitmix_hf.vision.networks import image_processor


@dataclass
class VisionJob(Job):
    """Everything that the flags of ``logitmix vision`` say."""

    modality = IMAGE
    trainer_class = ImageTrainer

    data: ImageDataSettings
    model: ImageModelSettings
    training: VisionTrainSettings  # type: ignore[assignment]

    @property
    def name(self) -> str:
        word = str(self.data.dataset).rstrip("/").rpartition("/")[2]
        return (word.partition(".")[0] if word.strip(".") else expanded(word).resolve().name) or "data"

    @property
    def label(self) -> str:
        mix = self.mix.filled(IMAGE)
        if not mix.mixes:
            return mix.method
        usual = METHODS[mix.method].site_of(IMAGE)
        words = [
            mix.method,
            None if mix.mixer is None or mix.method.endswith(mix.mixer) else mix.mixer,
            None if mix.site == usual else mix.site,
        ]
        return " ".join(word for word in words if word)

    def check(self) -> None:
        members = self.mix.filled(IMAGE).members or 1
        if members > self.training.per_device_train_batch_size:
            raise UserError(
                f"--members {members} see images of one batch, and --per_device_train_batch_size is"
                f" {self.training.per_device_train_batch_size}: take a larger batch, or fewer members."
            )
        check_image_data(self.request)
        self._check_output()
        self.check_beside()
        check_augmix(self.data.augmix, self.mix.jsd, self.mix.row.name)
        if self.run.calibration_file is not None:
            check_images_apart(self.run.calibration_file, self.data.dataset)
        named = NAMED.get(self.data.dataset or "")
        if named is not None:
            self._check_mixers(self.data.image_size or named.image_size)

    def _check_output(self) -> None:
        """Require an output folder outside of class folders, of which its pictures would become one."""
        name, output = str(self.data.dataset), Path(str(self.training.output_dir)).resolve()
        if name in NAMED or not is_folder(name) or not output.is_relative_to(expanded(name).resolve()):
            return
        if holds_class_folders(expanded(name)):
            raise UserError(
                f"--output_dir {self.training.output_dir} lies in --dataset {name}, whose folders are classes: its pictures"
                " would be read as images of one more. Give a folder elsewhere."
            )

    def check_beside(self) -> None:
        """What can be said of ``--shift``, ``--ood`` and ``--corrupted`` before anything is read."""
        for name, place in read_shifts(self.run.shift).items():
            with of_flag(f"--shift {name}={place}"):
                check_image_data(ImageRequest(dataset=place))
        for name, place in read_oods(self.run.ood).items():
            with of_flag(f"--ood {name}={place}"):
                check_image_data(ImageRequest(dataset=place, labelled=False))
            if same_images(place, self.data.dataset):
                raise UserError(
                    f"--ood {name}={place} is the data itself, whose images are of its classes: give others."
                )
        check_corrupted(self.data.corrupted, self.data.corruptions)

    def check_model(self, token: str | None) -> None:
        self._source = load.find_network(self.model, str(self.data.dataset), self.data.image_size, token)
        if self.training.do_train:
            check_single(self._source.config, f"--model {self.model.model}")
        load.check_mixing(self._source, self.mix)

    def load(self) -> Loaded:
        request, source = self.request, self._source
        if source.pretrained is not None:
            size, channels = request.image_size or source.size, request.channels or source.channels or 3
            request = replace(request, image_size=size, channels=channels)
        with self.training.main_process_first(desc="data"):
            data = load_image_data(request)
        self._check_batch(data)
        self._check_mixers(data.image_size)
        known = data.label_names
        data = self.aligned(data)
        if self.run.calibration_file is not None:
            with self.training.main_process_first(desc="images apart"):
                data = with_images_apart(data, self.run.calibration_file, request)
        data = self._as_the_model_sees(self.with_beside(data, request))
        facts = image_facts(data)
        self.tell(data.notes)
        self.tell_of_rows(image_lines(data, facts))
        corrupted = None
        if self.data.corrupted is not None:
            judged = data if self.training.do_eval else replace(data, judged=())
            corrupted = corrupted_images(judged, self.data.corrupted, self.data.corruptions, known, self.data.cache_dir)
        model, note = load.load_network(self._source, data, self.mix)
        load.check_dropout(self._source, model, self.mix)
        load.check_sites_of(model, self.mix)
        self.tell([note] if note else [], out=True)
        if (b := self.training.batch_repetition) > 1:
            self.tell(
                [
                    f"Every image is {b} times in its batch: an epoch takes {b} times as many steps. The learning rate"
                    f" {self.training.learning_rate:g} is used as given; MixMo's authors divide theirs by {b}."
                ]
            )
        model = load.with_shared_statistics(model, self.training)
        if self.training.memory_format == "channels_last":
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        data = data.to(self.training.device)
        return Loaded(
            data=data,
            splits=data.splits,
            model=model,
            processor=image_processor(data.image_size, data.mean, data.std, data.channels, resize=data.stored),
            collator=data.collator(data.augment, beside=() if corrupted is None else corrupted.splits.values()),
            corrupted={} if corrupted is None else corrupted.splits,
            known={name: known_of(split) for name, split in data.splits.items() if name != "train"},
            facts=facts,
            model_record={
                "revision": self.model.model_revision,
                "pipeline_tag": "image-classification",
                "image_size": data.image_size,
                "sync_bn": self.training.sync_bn and self.training.world_size > 1,
                "pretrained": self._source.pretrained is not None,
            },
            data_record={
                "config": self.data.dataset_config,
                "image_size": data.image_size,
                "channels": data.channels,
                "mean": data.mean,
                "std": data.std,
                "statistics": data.statistics,
                "skipped": dict(data.skipped),
                "corrupted": record_of(corrupted),
                "synthetic": False,  # the digits of scikit-learn were written by people
            },
            changed=self._changes(model, data),
        )

    def with_beside(self, data: ImageData, request: ImageRequest) -> ImageData:
        """The data with that of ``--shift`` and ``--ood``."""
        if shifts := read_shifts(self.run.shift):
            with self.training.main_process_first(desc="shifts"):
                data = with_shifted_images(data, shifts, request)
        if places := read_oods(self.run.ood):
            with self.training.main_process_first(desc="data of no class"):
                data = with_ood_images(data, places, request)
        return data

    def _changes(self, model: Any, data: ImageData) -> dict[str, Change]:
        """What of the training's arguments these images, this network and this machine leave no choice."""
        training, changes = self.training, {}
        if training.do_train and training.world_size == 1:  # of several processes each has whole batches
            changes |= avoid_single_image(model, data, training)
        if not data.in_memory and not training.dataloader_num_workers:
            why = "these images are decoded from their files, batch by batch"
            changes["dataloader_num_workers"] = Change(max(1, own_cores() - 1), why)
        if data.in_memory:
            changes["dataloader_pin_memory"] = Change(False, "batches are made where they are used")
        if data.in_memory and any(split.device.type != "cpu" for split in data.splits.values()):
            why = "another process cannot see pixels that lie on the device"
            changes["dataloader_num_workers"] = Change(0, why)
        return {name: change for name, change in changes.items() if getattr(training, name) != change.value}

    def aligned(self, data: ImageData) -> ImageData:
        """The data with labels numbered as the model has them; in training the model follows the data."""
        return data

    def trainer_options(self) -> dict[str, Any]:
        training = self.training
        options: dict[str, Any] = {
            **super().trainer_options(),
            "decay_norm_and_bias": training.decay_norm_and_bias,
            "lr_milestones": training.lr_milestones,
            "lr_gamma": training.lr_gamma,
            "batch_repetition": training.batch_repetition,
        }
        if training.optim == "sgd":
            momentum = {"momentum": training.momentum, "nesterov": training.nesterov}
            options["optimizer_cls_and_kwargs"] = (torch.optim.SGD, {"lr": training.learning_rate, **momentum})
        return options

    def callbacks(self) -> list[Any]:
        return [TellEpoch()]

    def before_training(self, trainer: Any, loaded: Loaded, folder: Path) -> None:
        if self.training.do_train and self.mix.mixes:
            try:
                draw_preview(trainer, loaded, folder / "mix_preview.png")
            except UserError:
                raise
            except Exception as problem:  # a picture is not worth a training
                say(f"mix_preview.png was not drawn ({type(problem).__name__}: {problem}).")

    @property
    def request(self) -> ImageRequest:
        """What images the flags mean."""
        limit = self.data.memory_limit
        limit = None if limit is None else int(limit * 2**30)
        return self.request_of(ImageRequest, dataset=self.data.dataset or "", memory_limit=limit)

    def _check_batch(self, data: ImageData) -> None:
        """Require that one batch of pixels fits into memory: the machine would stand still, or end the process."""
        rows, side = self.training.per_device_train_batch_size, data.image_size
        needed, free = 4 * rows * data.channels * side**2, free_memory()
        if needed > free:
            raise UserError(
                f"{rows} images of {side} x {side} take {needed / 2**30:,.0f} GiB, and {free / 2**30:,.1f} GiB of memory are"
                " free: give a smaller --image_size or --per_device_train_batch_size."
            )

    def _check_mixers(self, size: int) -> None:
        """Require puzzlemix's blocks to divide images of this size."""
        if self.mix.mixes and "puzzlemix" in self.mix.mixers(IMAGE):
            check_blocks(image_options(self.mix, "puzzlemix").get("blocks"), size, size)

    def _as_the_model_sees(self, data: ImageData) -> ImageData:
        """The data with the pretrained network's normalisation, and the augmentation that flags ask for."""
        source, views = self._source, 2 if self.mix.jsd else 0
        augment = replace(data.augment, **self.data.augmentation, views=views)  # type: ignore[arg-type]
        mean, std = source.mean or (), source.std or ()
        if data.channels == 1 and len({*mean}) == len({*std}) == 1:  # said thrice, for pictures handed over as RGB
            mean, std = mean[:1], std[:1]
        if len(mean) != data.channels or len(std) != data.channels:
            return replace(data, augment=augment)
        return replace(data, augment=augment, mean=mean, std=std, statistics=source.name)
