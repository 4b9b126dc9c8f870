"""The nineteen corruptions, against SciPy, Pillow, ``colorsys`` and what each promises."""

from __future__ import annotations

import colorsys
import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from logitmix_hf.errors import UserError
from logitmix_hf.vision.data.corruptions import (
    EXTRA,
    NAMES,
    SEVERITIES,
    STRENGTHS,
    USUAL,
    blur,
    choose,
    corrupt,
    digital,
)
from logitmix_hf.vision.data.corruptions.weather import plasma

IDX = np.arange(6)


@pytest.fixture(scope="module")
def images():
    """Six smooth colour images of 32 x 32."""
    noise = np.random.default_rng(0).normal(size=(6, 32, 32, 3))
    smooth = ndimage.gaussian_filter(noise, (0, 2.5, 2.5, 0), mode="wrap")
    low, high = smooth.min((1, 2, 3), keepdims=True), smooth.max((1, 2, 3), keepdims=True)
    return (255 * (smooth - low) / (high - low)).astype(np.uint8)


def one(x):
    return x.astype(np.float32) / 255


def test_there_are_fifteen_and_four():
    assert (len(NAMES), len(USUAL), len(EXTRA)) == (19, 15, 4)
    assert all(len(strength) == 5 for strength in STRENGTHS.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_the_same_in_every_batch_and_run(images, name):
    for severity in (1, 5):
        whole = corrupt(images, name, severity, IDX)
        assert whole.shape == images.shape
        assert whole.dtype == np.uint8
        np.testing.assert_array_equal(whole, corrupt(images, name, severity, IDX))
        for rows in ([4], [3, 0, 4]):
            np.testing.assert_array_equal(corrupt(images[rows], name, severity, IDX[rows]), whole[rows])


_NO_CHANCE = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "gaussian_blur"}
_NO_CHANCE |= {"saturate"}


@pytest.mark.parametrize("name", NAMES)
def test_chance_hangs_on_row_seed_and_severity(images, name):
    same = np.repeat(images[:1], 2, axis=0)
    made = corrupt(same, name, 3, np.array([0, 1]))
    assert (made[0] == made[1]).all() == (name in _NO_CHANCE)
    other = corrupt(same, name, 3, np.array([0, 1]), seed=1)
    assert (made == other).all() == (name in _NO_CHANCE)


@pytest.mark.parametrize("name", NAMES)
def test_more_severity_is_further_from_the_image(images, name):
    """Over all images. Not of saturation, which turns round between; of ice and flakes, which take away contrast too; of
    motion, whose third and fourth severities differ by the length of a tail; and of pixels that move by chance."""
    many = np.concatenate([images] * 5)
    far = [np.abs(corrupt(many, name, severity, np.arange(30)).astype(float) - many).mean() for severity in SEVERITIES]
    assert 0 < far[0] < 60
    assert far[4] < 130
    if name not in ("saturate", "frost", "snow", "spatter", "motion_blur", "glass_blur", "elastic_transform"):
        assert far == sorted(far), far


@pytest.mark.parametrize("name", NAMES)
def test_grey_and_small_images(name):
    grey = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    for severity in (1, 5):
        assert corrupt(grey, name, severity, np.arange(3)).shape == grey.shape


def test_nothing_of_nothing(images):
    assert corrupt(images[:0], "fog", 1, IDX[:0]).shape == (0, 32, 32, 3)


def test_noise_has_the_strength_that_the_table_says():
    grey = np.full((40, 32, 32, 3), 128, np.uint8)
    idx = np.arange(40)
    for severity, scale in enumerate(STRENGTHS["gaussian_noise"], start=1):
        made = one(corrupt(grey, "gaussian_noise", severity, idx))
        assert made.std() == pytest.approx(scale, rel=0.02)
    for severity, photons in enumerate(STRENGTHS["shot_noise"], start=1):
        made = one(corrupt(grey, "shot_noise", severity, idx))
        assert made.std() == pytest.approx((128 / 255 / photons) ** 0.5, rel=0.03)
    for severity, scale in enumerate(STRENGTHS["speckle_noise"], start=1):
        made = one(corrupt(grey, "speckle_noise", severity, idx))
        assert made.std() == pytest.approx(scale * 128 / 255, rel=0.02)
    for severity, amount in enumerate(STRENGTHS["impulse_noise"], start=1):
        made = corrupt(grey, "impulse_noise", severity, idx)
        assert (made == 0).mean() == pytest.approx(amount / 2, rel=0.1)
        assert (made == 255).mean() == pytest.approx(amount / 2, rel=0.1)
        assert set(np.unique(made)) == {0, 128, 255}


def test_gaussian_blur_is_scipys(images):
    for severity, sigma in enumerate(STRENGTHS["gaussian_blur"], start=1):
        expected = ndimage.gaussian_filter(images / 255, (0, sigma, sigma, 0), mode="nearest", truncate=4)
        made = corrupt(images, "gaussian_blur", severity, IDX)
        assert np.abs(made - np.floor(expected * 255 + 5e-4)).max() <= 1


def test_defocus_is_a_convolution_with_a_disk(images):
    """At severity 5 the disk of radius 1.5 holds nine pixels, hardly softened: the mean of 3 x 3."""
    expected = ndimage.uniform_filter(images / 255, (0, 3, 3, 0), mode="mirror")
    assert np.abs(corrupt(images, "defocus_blur", 5, IDX) - expected * 255).max() <= 1
    # at severity 2 it holds one, softened by three taps of a Gaussian
    taps = np.exp(-np.array([1, 0, 1]) / (2 * 0.5**2))
    expected = images / 255
    for axis in (1, 2):
        expected = ndimage.correlate1d(expected, taps / taps.sum(), axis, mode="mirror")
    assert np.abs(corrupt(images, "defocus_blur", 2, IDX) - expected * 255).max() <= 1


def test_zoom_blur_is_the_mean_of_zooms(images):
    x = images[0] / 255
    made = [x, *(_zoomed(x, 1 + step / 100) for step in range(7))]
    assert np.abs(corrupt(images, "zoom_blur", 1, IDX)[0] - np.mean(made, axis=0) * 255).max() <= 1


def _zoomed(x, factor):
    kept = int(np.ceil(32 / factor))
    top = (32 - kept) // 2
    big = ndimage.zoom(x[top : top + kept, top : top + kept], (factor, factor, 1), order=1)
    trim = (len(big) - 32) // 2
    return big[trim : trim + 32, trim : trim + 32]


def test_motion_runs_along_its_angle():
    """A dot at 0 degrees becomes half a Gaussian to one side on its own line; straight down at 90."""
    x = np.zeros((2, 32, 32, 1), np.float32)
    x[:, 16, 16] = 1
    made = blur.streak(x, (6, 2), np.array([0.0, 90.0]))
    taps = np.exp(-(np.arange(13) ** 2) / 8)
    taps /= taps.sum()
    np.testing.assert_allclose(made[0, 16, 16:3:-1, 0], taps, atol=1e-6)
    np.testing.assert_allclose(made[1, 16:3:-1, 16, 0], taps, atol=1e-6)
    np.testing.assert_allclose(made.sum((1, 2, 3)), 1, rtol=1e-5)


def test_glass_takes_pixels_from_above_and_left(images):
    """Severity 1 blurs by nothing: every pixel is one of four of the image."""
    made = corrupt(images, "glass_blur", 1, IDX).astype(int)
    near = np.stack([np.roll(images, (down, across), (1, 2)) for down in (0, 1) for across in (0, 1)]).astype(int)
    assert (np.abs(near - made).max(-1).min(0) <= 1).all()
    np.testing.assert_array_equal(made[:, :2], images[:, :2])  # the first rows are not gone over
    assert (made[:, 2:, 2:] != images[:, 2:, 2:]).any(-1).mean() > 0.5


def test_light_and_colour_are_those_of_hsv(images):
    pixels = images[0].reshape(-1, 3)[::17] / 255
    for name, change in (
        ("brightness", lambda h, s, v: (h, s, min(v + 0.2, 1))),
        ("saturate", lambda h, s, v: (h, min(s * 2 + 0.1, 1), v)),
    ):
        made = corrupt(images[:1], name, 4, IDX[:1])[0].reshape(-1, 3)[::17]
        expected = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))) for pixel in pixels]
        assert np.abs(made - np.array(expected) * 255).max() <= 1
    black = np.zeros((1, 2, 2, 3), np.uint8)
    assert (corrupt(black, "brightness", 5, IDX[:1]) == 76).all()  # .3 of 255, cut


def test_contrast_keeps_the_mean(images):
    made = digital.contrast(one(images), 0.4, None)
    np.testing.assert_allclose(made.mean((1, 2)), one(images).mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(made.std((1, 2)), 0.4 * one(images).std((1, 2)), rtol=1e-3)


def test_pixels_and_files_are_pillows(images):
    picture = Image.fromarray(images[2])
    small = picture.resize((20, 20), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)
    assert np.abs(corrupt(images, "pixelate", 5, IDX)[2].astype(int) - np.asarray(small)).max() <= 2
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=50)
    np.testing.assert_array_equal(corrupt(images, "jpeg_compression", 4, IDX)[2], np.asarray(Image.open(file)))


@pytest.mark.parametrize("edge", ["mirror", "reflect"])
def test_sampling_is_scipys(images, edge):
    places = np.random.default_rng(2).uniform(-6, 38, (6, 32, 32, 2))
    made = digital.sample(one(images), places, edge)
    for row in (0, 5):
        for channel in range(3):
            expected = ndimage.map_coordinates(
                images[row, ..., channel] / 255, places[row].transpose(2, 0, 1), order=1, mode=edge
            )
            np.testing.assert_allclose(made[row, ..., channel], expected, atol=1e-5)


def test_elastic_without_strength_is_the_image(images):
    class Still:
        def uniform(self, *shape, low=0.0, high=1.0):
            return np.full((6, *shape), (low + high) / 2, np.float32)

    made = digital.elastic_transform(one(images), (0, 0, 0.08), Still())
    np.testing.assert_allclose(made, one(images), atol=1e-5)


def test_fog_is_fractal_noise_from_0_to_1_on_a_torus():
    class Rows:
        def uniform(self, *shape, low=0.0, high=1.0):
            return np.random.default_rng(0).uniform(low, high, (50, *shape)).astype(np.float32)

    made = plasma(32, 32, 2.0, Rows())
    np.testing.assert_allclose((made.min((1, 2)), made.max((1, 2))), (np.zeros(50), np.ones(50)), atol=1e-6)
    step = np.abs(np.diff(made, axis=1)).mean()
    assert np.abs(made[:, 0] - made[:, -1]).mean() < 2 * step  # the edges meet
    assert step < np.abs(made[:, :16] - made[:, 16:]).mean() / 2  # and near points are alike
    rough = plasma(32, 32, 1.2, Rows())
    assert np.abs(np.diff(rough, axis=1)).mean() > 1.5 * step


def test_water_lightens_and_mud_covers(images):
    water, mud = (corrupt(images, "spatter", severity, IDX).astype(int) for severity in (2, 5))
    assert (water >= images.astype(int) - 1).all()
    brown = np.abs(mud - (63, 42, 20)).max(-1) <= 12
    assert 0.005 < brown.mean() < 0.5


@pytest.mark.parametrize("call", [lambda x: corrupt(x, "fogg", 1, IDX), lambda x: choose("snow,fogg")])
def test_an_unknown_corruption_is_told_with_the_nearest(images, call):
    with pytest.raises(UserError, match="'fogg'.*'fog'"):
        call(images)


def test_severities_and_choice(images):
    for severity in (0, 6):
        with pytest.raises(UserError, match="1 to 5"):
            corrupt(images, "fog", severity, IDX)
    assert choose("snow, fog,gaussian_noise") == ("gaussian_noise", "snow", "fog")
    assert choose(None) == NAMES
    with pytest.raises(UserError, match="names none"):
        choose(",")
