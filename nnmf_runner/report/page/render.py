"""The page as one file of HTML, with all that a browser needs within."""

from __future__ import annotations

import base64
import functools
import gzip
import importlib.util
import json
import logging
from pathlib import Path

from nnmf_runner.config.commands import PATH
from nnmf_runner.report.compare import LEGEND
from nnmf_runner.report.page.build import Assembly, Material, Page

log = logging.getLogger(__name__)

PAGE = "report.html"
# What the page is made with.
PACKAGES = ("jinja2", "plotly")


def missing_packages() -> list[str]:
    """The packages that the page needs and that are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def page_text(material: Material) -> str | None:
    """The page as HTML; None, with a line in the log, where the packages are missing that it is made with."""
    if lacking := missing_packages():
        log.warning(
            "%s needs packages that are missing (%s), and is not written: pip install 'nnmf-runner[report]'",
            *(PAGE, ", ".join(lacking)),
        )
        return None
    return rendered(Assembly(material).page())


def rendered(page: Page) -> str:
    """A page as HTML, with the program that draws its charts, if there are any."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    here = Path(__file__).parent
    templates = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    charts = json.dumps({name: chart.as_dict() for name, chart in page.charts.items()}, allow_nan=False)
    return templates.get_template("page.html").render(
        page=page,
        path=PATH,
        style=Markup((here / "page.css").read_text(encoding="utf-8")),
        script=Markup((here / "page.js").read_text(encoding="utf-8")),
        charts=packed(charts) if page.charts else "",
        plotly=_plotly() if page.charts else "",
        legend_of_matches=LEGEND,
    )


@functools.cache
def _plotly() -> str:
    """The program that draws the charts, packed."""
    from plotly.offline import get_plotlyjs

    return packed(get_plotlyjs())


def packed(text: str) -> str:
    """A text compressed, in letters; the same for the same text."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
