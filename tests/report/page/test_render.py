"""The page is written whole, of templates, where what it is made with is installed."""

from __future__ import annotations

import base64
import gzip
import logging
from pathlib import Path

from nnmf_runner.report.collect import collect
from nnmf_runner.report.page import render
from nnmf_runner.store.record import write_record


def test_without_its_packages_one_line_says_what_to_install_and_the_rest_is_written(
    tmp_path, record_of, monkeypatch, caplog
):
    write_record(tmp_path / "run", record_of())
    monkeypatch.setattr(render, "PACKAGES", ("jinja2", "a_package_that_nobody_has"))
    with caplog.at_level(logging.WARNING):
        collect(tmp_path, figures=False)
    assert [record.getMessage() for record in caplog.records] == [
        "report.html needs packages that are missing (a_package_that_nobody_has), and is not written: "
        "pip install 'nnmf-runner[report]'"
    ]
    assert (tmp_path / "report" / "table.md").exists()
    assert not (tmp_path / "report" / render.PAGE).exists()


def test_templates_are_files_of_the_package():
    here = Path(render.__file__).parent
    assert {path.name for path in here.iterdir() if path.suffix in (".html", ".css", ".js")} == {
        "page.html", "page.css", "page.js",
    }  # fmt: skip


def test_packing_is_undone_by_any_gzip_and_always_the_same():
    assert gzip.decompress(base64.b64decode(render.packed("naïve"))).decode() == "naïve"
    assert render.packed("text") == render.packed("text")
