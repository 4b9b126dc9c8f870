"""Links, pipes, sockets and devices among the images of a folder: each real image once, and nothing waits for ever."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from picturefiles import class_folders, encoded, noise, save

from logitmix_hf.errors import UserError
from logitmix_hf.modality import IMAGE
from logitmix_hf.serving.inputs import open_input
from logitmix_hf.vision.data import ImageRequest, load_image_data


@pytest.fixture
def load(tmp_path):
    return lambda root, **options: load_image_data(
        ImageRequest(dataset=str(root), cache_dir=tmp_path / "cache", validation_share=0.25, **options)
    )


@pytest.fixture
def flowers(tmp_path) -> Path:
    return class_folders(tmp_path / "flowers", {"daisy": 8, "tulip": 8})


@pytest.mark.parametrize("target", ["..", ".", "../tulip", "../..", "/", "deeper/up"])
def test_a_link_to_what_is_read_anyway_or_lies_around_it_is_told_and_not_followed(flowers, load, target):
    (flowers / "daisy" / "deeper").mkdir()
    (flowers / "daisy" / "deeper" / "up").symlink_to("..")
    link = flowers / "daisy" / "again"
    link.symlink_to(target)
    data = load(flowers)
    assert sum(map(len, data.splits.values())) == 16
    assert sum(np.bincount(split.labels) for split in data.splits.values()).tolist() == [8, 8]
    assert len(data.notes) == 1
    assert "Not followed: 2 links" in data.notes[0]
    assert str(link) in data.notes[0]
    found = open_input(str(flowers), IMAGE, None, ())
    assert len(list(found.rows)) == 16
    assert len(found.notes()) == 1


def test_a_link_out_of_the_folder_is_followed_once(flowers, load, tmp_path):
    elsewhere = class_folders(tmp_path / "elsewhere", {"more": 4})
    (elsewhere / "more" / "round").symlink_to(elsewhere)
    for name in ("daisy", "tulip"):
        (flowers / name / "linked").symlink_to(elsewhere / "more")
    data = load(flowers)
    assert sum(map(len, data.splits.values())) == 20
    assert str(flowers / "tulip" / "linked") in data.notes[0]
    assert load(flowers, training=False).notes == data.notes


def test_a_data_set_of_links_is_read(flowers, load, tmp_path):
    root = tmp_path / "links"
    for name in ("daisy", "tulip"):
        (root / name).mkdir(parents=True)
        for path in (flowers / name).iterdir():
            (root / name / path.name).symlink_to(path)
    (root / "rose").symlink_to(class_folders(tmp_path / "others", {"rose": 8}) / "rose")
    data = load(root)
    assert (sum(map(len, data.splits.values())), data.label_names) == (24, ("daisy", "rose", "tulip"))
    assert data.notes == ()


def test_a_class_that_is_a_link_to_another_is_refused(flowers, load):
    (flowers / "marguerite").symlink_to("daisy")
    with pytest.raises(UserError, match=r"marguerite is a link to .*daisy, which is read anyway"):
        load(flowers)


def dead(path: Path) -> None:
    path.symlink_to("/nonexistent/x.png")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the address of a socket is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def circle(path: Path) -> None:
    path.symlink_to(path.name)


NO_FILES = {dead: "No such file", os.mkfifo: "a pipe, not a file", endless: "a device, not a file",
            unix_socket: "a socket, not a file", circle: "symbolic links"}  # fmt: skip


@pytest.mark.parametrize("make", NO_FILES, ids=lambda make: make.__name__)
def test_what_is_no_file_is_named_and_can_be_left_out(flowers, load, make):
    path = flowers / "daisy" / "x.png"
    make(path)
    with pytest.raises(UserError, match=rf"Cannot read {path}: .*{NO_FILES[make]}.*--skip_corrupt"):
        load(flowers)
    with pytest.warns(UserWarning, match="1 of 12 images of train cannot be read"):
        data = load(flowers, skip_corrupt=True)
    assert sum(map(len, data.splits.values())) == 16
    with pytest.raises(UserError, match=rf"Cannot read {path}: .*{NO_FILES[make]}"):
        load(flowers, memory_limit=0)  # read batch by batch, but of a sample of rows for the fingerprint


def test_predict_leaves_out_what_is_no_file(flowers, tmp_path, capsys):
    from visionrun import tiny_vit

    from logitmix_hf.cli import main

    for number, make in enumerate(NO_FILES):
        make(flowers / "daisy" / f"x{number}.png")
    save(flowers / "daisy" / "last.png", encoded(noise(8, 8)))
    output = tmp_path / "out.csv"
    model = tiny_vit(tmp_path / "vit")
    assert main(["predict", "--model", str(model), "--input", str(flowers), "--output", str(output)]) == 0
    err = capsys.readouterr().err
    for number, why in enumerate(NO_FILES.values()):
        assert f"x{number}.png: " in err
        assert why in err
    assert len(output.read_text().splitlines()) == 1 + 17
