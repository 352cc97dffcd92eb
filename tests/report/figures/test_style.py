"""One style: what marks variants of methods, colour scales, and files that are whole."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb
from matplotlib.figure import Figure

from nnmf_runner.methods import METHODS
from nnmf_runner.report.figures import style
from nnmf_runner.report.figures.style import colours_of, looks_of, save
from nnmf_runner.report.variants import Shown, method_of

LABELS = ["hier", "deep", "neural, reconstruction", "neural, energy", "neural, multilevel"]


def test_no_two_variants_look_alike_and_those_of_a_method_share_its_hue():
    looks = looks_of(LABELS)
    assert list(looks) == LABELS
    for what in ("colour", "marker"):
        assert len({getattr(look, what) for look in looks.values()}) == len(LABELS)
    hues = {label: rgb_to_hsv(to_rgb(look.colour))[0] for label, look in looks.items()}
    for label, other in itertools.combinations(LABELS, 2):
        assert (abs(hues[label] - hues[other]) < 0.02) == (method_of(label) == method_of(other))
    neural = [look for label, look in looks.items() if method_of(label) == "neural"]
    assert len({look.line for look in neural}) == len({look.hatch for look in neural}) == 3


def test_a_method_looks_the_same_whatever_other_methods_there_are():
    assert looks_of(["neural"])["neural"] == looks_of(["hier", "deep", "neural"])["neural"]


def test_a_method_of_ones_own_looks_like_no_other(monkeypatch):
    before = looks_of(METHODS)
    for i in range(6):
        monkeypatch.setitem(METHODS, f"own{i}", object)
    looks = looks_of(METHODS)
    assert {name: looks[name] for name in before} == before
    assert len({(look.colour, look.marker) for look in looks.values()}) == len(METHODS)


def test_a_colour_scale_diverges_about_zero_where_entries_are_negative_by_more_than_rounding():
    positive, signed = np.array([[0.0, 2.0]]), np.array([[-1.0, 2.0]])
    assert colours_of(positive, positive - 1e-9) == {"cmap": style.COLOUR_MAP, "vmin": 0.0, "vmax": 2.0}
    assert colours_of(positive, signed) == {"cmap": style.SIGNED_COLOUR_MAP, "vmin": -2.0, "vmax": 2.0}
    assert colours_of(np.array([[np.nan, -2.0]]), signed) == colours_of(positive, signed)  # with an entry missing
    assert colours_of(np.zeros((2, 2)))["vmax"] > 0


def test_a_figure_is_written_in_every_format_or_its_file_stays_as_it_was(tmp_path, monkeypatch):
    paths = list(save(Figure(), tmp_path / "new" / "figure"))
    assert [path.suffix[1:] for path in paths] == list(style.FORMATS)
    before = [path.read_bytes() for path in paths]

    def fail(self, path, **_):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no space left"):
        list(save(Figure(), tmp_path / "new" / "figure"))
    assert [path.read_bytes() for path in paths] == before
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)  # no scratch left


def test_more_variants_of_a_method_than_there_are_shades_have_colours_of_their_own():
    looks = looks_of(f"neural, tol {i}" for i in range(12))
    assert len({look.colour for look in looks.values()}) == 12
    assert len({(look.marker, look.line) for look in looks.values()}) == 4


def test_a_title_names_the_file_of_the_data_as_it_is_written_and_the_method_and_cost_in_words():
    config = {"dataset": {"name": "file"}, "layers": [4, 2], "seed": 3, "cost": {"name": "energy"}}
    record = {"config": config, "regime": "supervised", "dataset": {"title": "a$b$.csv"}}
    title = r"a\$b\$.csv: Neural NMF, energy cost, ranks 4-2, supervised, seed 3"
    assert style.title_of(record, "neural") == title == style.title_of(record, "neural, energy")
    assert style.title_of(record | {"dataset": {}}, "own_one").startswith("file: own one, energy cost, ranks 4-2")
    assert style.title_of(record, "neural", "toy, noise 1").startswith("toy, noise 1: Neural NMF")


def test_what_runs_have_in_common_is_told_once_and_the_rest_of_each():
    def run(label, layers, **dataset):
        config = {"dataset": {"name": "toy"}, "layers": layers, "seed": 3}
        return Shown(label, None, {"config": config, "regime": "supervised", "dataset": dataset})

    alike, apart = style.in_common([run("hier", [9, 4]), run("unfolded", [9])])
    assert alike == "toy, supervised, seed 3"
    assert apart == {"hier": "ranks 9-4", "unfolded": "rank 9"}
    assert style.in_common([run("hier", [9])])[0] == "toy, rank 9, supervised, seed 3"


@pytest.mark.parametrize("width", [2.8, 4.0, 9.0])
def test_a_long_title_is_broken_into_lines_that_fit_at_a_legible_size(width):
    title = "a file of a long name.csv: Neural NMF, energy cost, adam, random, ranks 9-4-2, semisupervised, seed 0"
    text, size = style.fitted_title(width, title)
    assert text.replace("\n", " ") == title
    assert size >= (style.LEGIBLE if width > 3 else 5.0)
    assert max(style.text_width(line, size) for line in text.splitlines()) <= 72 * width
    figure = Figure(figsize=(width, 3.0))
    style.add_title(figure, title)
    assert (figure.get_figheight() > 3.0) == ("\n" in text) == (width < 9.0)


def test_letters_that_no_font_has_are_told_once_and_other_warnings_as_they_come(tmp_path, caplog):
    figure = Figure()
    figure.text(0.5, 0.5, "plain \U00012000 \U00012001")  # cuneiform
    with warnings.catch_warnings(record=True) as others:
        warnings.filterwarnings("always", "another")
        with style.drawing():
            assert style.text_width("\U00012000") > 0
            list(save(figure, tmp_path / "figure"))
            warnings.warn("another", DeprecationWarning, stacklevel=1)
    assert [str(each.message) for each in others] == ["another"]
    assert [record.getMessage() for record in caplog.records] == [
        "No font that is installed has the letters \U00012000\U00012001, which are drawn as boxes. "
        "Install one, such as Noto Sans CJK SC."
    ]


@pytest.mark.slow
def test_a_legend_begins_with_capitals_and_stays_within_a_page():
    words = "deep NMF, " + ", ".join(f"option of a long name {i}" for i in range(30))
    with style.drawing():
        figure = Figure(figsize=(3.0, 2.0), layout="constrained")
        line = figure.subplots().plot([1, 2])[0]
        style.legend_below(figure, [line] * 3, [words, "Neural NMF", "tolerance"], title="A note.")
        figure.draw_without_rendering()
    assert figure.get_figwidth() <= style.PAGE
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told[0].replace("\n", " ") == words.replace("deep", "Deep")
    assert told[1:] == ["Neural NMF", "Tolerance"]
    box = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0 < box.y1 < figure.axes[0].get_tightbbox().y0
