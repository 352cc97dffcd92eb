"""Pictures in folders against what Pillow wrote into them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.images import Images, pictures_below


@pytest.fixture
def folder(tmp_path, rng):
    """Two classes of three pictures of 6 x 4 pixels in formats without loss, and what their shades are by name."""
    shades = {}
    for name in ("cat/1.png", "cat/2.bmp", "cat/3.tif", "dog/1.pgm", "dog/b.PNG", "dog/c.gif"):
        shades[name] = rng.integers(0, 256, (6, 4), dtype=np.uint8)
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shades[name]).save(path)
    return tmp_path / "pets", shades


def load(folder, **options):
    return Images(str(folder), **options).load(np.random.default_rng(0))


def test_pictures_are_the_columns_by_the_names_of_their_files(folder):
    root, shades = folder
    found = load(root)
    assert found.sample_names == [*shades]
    assert (found.pictures.height, found.pictures.width) == (6, 4)
    np.testing.assert_array_equal(found.pictures.unflatten(found.X.T), [*shades.values()])
    [labels] = found.labels
    assert ([*labels], found.class_names) == ([0, 0, 0, 1, 1, 1], [["cat", "dog"]])
    assert Images(str(root)).title == "pets"


def test_pictures_in_one_folder_have_no_classes(folder):
    root, shades = folder
    found = load(root / "dog")
    assert (found.labels, found.class_names, found.sample_names) == ([], [], ["1.pgm", "b.PNG", "c.gif"])
    np.testing.assert_array_equal(found.X[:, 0], shades["dog/1.pgm"].ravel())


def test_colours_are_turned_into_the_shades_of_their_luminance(tmp_path):
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [80, 80, 80]]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([colours, np.full((1, 4), 255, np.uint8)])).save(tmp_path / "b.png")
    expected = colours[0] @ [0.299, 0.587, 0.114]  # of ITU-R 601-2
    np.testing.assert_allclose(load(tmp_path).X, np.stack([expected] * 2, axis=1), atol=1.0)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_shades_of_more_than_eight_bits_stay(tmp_path, suffix):
    deep = np.array([[0, 1, 300], [4000, 65535, 7]], np.uint16)
    Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(load(tmp_path).X[:, 0], deep.ravel())


def test_pictures_of_other_sizes_are_scaled_by_averages_on_request(folder, rng):
    root, shades = folder
    large = rng.integers(0, 256, (12, 8), dtype=np.uint8)
    Image.fromarray(large).save(root / "dog" / "a.png")
    with pytest.raises(InputError, match=r"cat/1.png is 6 x 4 and dog/a.png 12 x 8 pixels.* dataset\.size="):
        load(root)
    found = load(root, size=[6, 4])
    means = large.reshape(6, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(found.X[:, found.sample_names.index("dog/a.png")], means.ravel(), rtol=1e-5)
    np.testing.assert_array_equal(found.X[:, 0], shades["cat/1.png"].ravel())


def test_other_files_are_told_and_hidden_ones_are_not(folder, caplog):
    root, _ = folder
    (root / "notes.txt").write_text("x")
    (root / ".hidden.png").write_text("x")
    with caplog.at_level("INFO"):
        load(root)
    assert "files left out as no pictures: 1, such as" in caplog.text
    assert "notes.txt" in caplog.text
    assert len(pictures_below(root)) == 6


def test_the_identity_is_what_the_files_hold(folder, tmp_path):
    root, shades = folder
    same = Images(str(root)).identity()
    root.rename(tmp_path / "moved")
    assert Images(str(tmp_path / "moved")).identity() == same
    assert Images(str(tmp_path / "moved"), size=[6, 4]).identity() != same
    Image.fromarray(shades["cat/1.png"] + 1).save(tmp_path / "moved" / "cat" / "1.png")
    assert Images(str(tmp_path / "moved")).identity() != same


@pytest.mark.parametrize("damage", ["text", "half"])
def test_a_damaged_picture_is_named(folder, damage):
    root, _ = folder
    path = root / "cat" / "2.bmp"
    path.write_bytes(b"no picture" if damage == "text" else path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"dataset\.path=.*: cat/2\.bmp is no picture that can be read"):
        load(root)


def test_several_pictures_in_a_file_are_refused(tmp_path, rng):
    frames = [Image.fromarray(rng.integers(0, 256, (6, 4), dtype=np.uint8)) for _ in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"a\.tif holds 3 pictures, expected one"):
        load(tmp_path)


def test_folders_without_pictures_are_refused(folder, tmp_path):
    root, shades = folder
    (tmp_path / "empty").mkdir()
    Image.fromarray(shades["cat/1.png"]).save(root / "stray.png")
    for path, told in (
        (tmp_path / "empty", "holds no pictures"),
        (root / "cat" / "1.png", "is a file"),
        (root, "outside of class folders, such as stray.png"),
        (tmp_path / "absent", "does not exist"),
    ):
        with pytest.raises(InputError, match=told):
            load(path)
    with pytest.raises(InputError, match=r"dataset\.path is missing"):
        Images().load(np.random.default_rng(0))


@pytest.mark.parametrize("size", [[6], [0, 4], [6, 4, 3]])
def test_a_size_is_height_and_width(size):
    with pytest.raises(InputError, match=r"dataset\.size"):
        Images("folder", size)


def test_a_run_on_a_folder_names_pictures_and_classes(folder, command):
    root, _ = folder
    result = command("dataset=images", f"dataset.path={root}", "layers=[2]", "label_fraction=0.7", "max_iter=5")
    assert result.status == 0
    assert "cat/" in result.out
