"""The page in a browser, opened from disk: no errors, and what can be sorted, filtered, unfolded and pointed at."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from nnmf_runner.report.collect import collect
from nnmf_runner.report.figures.style import DARKEST, GREY, HUES, PALEST, shaded
from nnmf_runner.report.page.render import PAGE, missing_packages
from nnmf_runner.store.record import RECORD, write_record

pytestmark = pytest.mark.slow

NASTY = "<script>alert(1)</script> & co."
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Pixels of a telephone, and the least contrast of small text: level AA of the Web Content Accessibility Guidelines 2.2.
NARROW, CONTRAST = 375, 4.5
# The least contrast of graphics, and the colours of all lines and marks of legends and charts.
CONTRAST_OF_GRAPHICS = 3.0
GRAPHICS = """() => {
  const marks = document.querySelectorAll(".legend path, .scatterlayer .js-line, .scatterlayer .points path");
  const colours = [...marks].map((each) => getComputedStyle(each)[each.matches(".points path") ? "fill" : "stroke"]);
  return [getComputedStyle(document.body).backgroundColor, ...new Set(colours)];
}"""
# The least contrast of any text that is seen with what is behind it, and that text.
WORST = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => sum + part * linear(rgb[i]), 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const rgb = parts(getComputedStyle(each).backgroundColor);
      if (rgb.length < 4 || rgb[3] > 0) return rgb;
    }
    return parts(getComputedStyle(document.documentElement).getPropertyValue("background-color"));
  };
  const bar = document.querySelector(".bar");
  let worst = [99, ""];
  const measure = (text, rgb, ground) => {
    const [high, low] = [light(rgb), light(ground)].sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < worst[0]) worst = [contrast, text];
  };
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("svg, script, noscript, .skip") || !element.getClientRects().length) continue;
    const rgb = parts(getComputedStyle(element).color);
    measure(element.textContent, rgb, behind(element));
    if (element.closest(".words")) measure(element.textContent, rgb, parts(getComputedStyle(bar).backgroundColor));
  }
  return worst;
}"""


@pytest.fixture(scope="module")
def browser():
    if lacking := missing_packages():
        pytest.skip(f"not installed: {', '.join(lacking)}")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory, run_of, browser):
    """A page of runs of two methods, topics with words, trials that agree, a failure and a damaged record."""
    folder = tmp_path_factory.mktemp("collected")
    texts = tmp_path_factory.mktemp("texts")
    for name, words in (("space", "orbit moon rocket"), ("play", "puck goal rink")):
        (texts / name).mkdir()
        for i in range(6):
            (texts / name / f"{i} <b> & co.txt").write_text(f"{words} {words.split()[i % 3]} extra{i} script alert")
    for method in ("hier", "neural"):
        for seed in (0, 1):
            for layers in ("9", "9-4", "9-4-2"):
                run = run_of(f"method={method}", f"layers={layers}", "label_fraction=0.4", f"seed={seed}", "name=toys")
                shutil.copytree(run.folder, folder / f"{method} {seed} {layers}")
    words = run_of("dataset=text", f"dataset.path={texts}", "method=hier", "layers=4-2", "name=words")
    shutil.copytree(words.folder, folder / "words")
    record = json.loads((folder / "words" / RECORD).read_text())
    for each in (each for layer in record["topics"] for each in layer):
        each["words"][0] = NASTY
    layers = record["config"]["layers"]
    votes = [[[1.0 - (j != parent) for j in range(2)] for parent in [0, 1, 0, 1]]]
    record["consensus"] = {"members": {"a": "", "b": ""}, "stability": [[0.9] * n for n in layers], "votes": votes}
    (folder / "words" / RECORD).write_text(json.dumps(record))
    failed = json.loads((folder / "hier 0 9" / RECORD).read_text())
    failed["config"]["seed"] = 7
    failed |= {"status": "failed", "stop": None, "metrics": {}, "layers": [], "message": NASTY, "traceback": NASTY}
    write_record(folder / "failed", failed)
    (folder / "damaged").mkdir()
    (folder / "damaged" / RECORD).write_text("{")
    collect(folder)
    return (folder / "report" / PAGE).as_uri()


@pytest.fixture
def opened(browser, address):
    """The page in a window of its own; whatever it asks for, complains of or says to the reader fails the test."""
    contexts, faults = [], []

    def make(script=None, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else faults.append(asked.url),
        )
        if script:
            page.add_init_script(script)
        page.goto(address)
        return page

    yield make
    for context in contexts:
        context.close()
    assert faults == []


def scroll_through(page):
    """Bring all of a page into sight, and wait until its charts are drawn."""
    page.evaluate(
        """async () => { for (let y = 0; y < document.body.scrollHeight; y += 400) {
        scrollTo(0, y); await new Promise((done) => setTimeout(done, 30)); } }"""
    )
    page.wait_for_function(
        "() => [...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('.main-svg'))"
    )


def column(page, table, index):
    return table.locator(f"tbody tr:not([hidden]) > :nth-child({index + 1})").all_text_contents()


def light(colour):
    """Relative luminance of a colour of CSS."""
    shares = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return sum(part * c for part, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_and_marks_have_contrast_whatever_their_colour_in_figures(opened, scheme):
    page = opened(color_scheme=scheme)
    scroll_through(page)
    ground, *drawn = page.evaluate(GRAPHICS)
    shades = [shaded(hue, share) for hue in (*HUES, GREY) for share in (-1.0, DARKEST, 0.0, PALEST, 1.0)]
    assert len(drawn) >= 3
    for colour in [*drawn, *(page.evaluate(f"visible('{shade}')") for shade in shades)]:
        low, high = sorted([light(ground), light(colour)])
        assert (high + 0.05) / (low + 0.05) >= CONTRAST_OF_GRAPHICS, colour
    assert page.evaluate("visible('#808080')") == "rgb(128,128,128)"  # which needs no other


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_draws_all_charts_without_errors_and_its_text_has_contrast(opened, scheme):
    page = opened(color_scheme=scheme)
    scroll_through(page)
    assert page.locator(".chart").count() > 20
    page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    contrast, text = page.evaluate(WORST)
    assert contrast >= CONTRAST, text


def test_charts_follow_the_scheme(opened):
    page = opened(color_scheme="light")
    scroll_through(page)
    ink = "() => getComputedStyle(document.querySelector('.xtick text')).fill"
    before = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"(before) => ({ink})() !== before", arg=before)


def test_a_table_is_sorted_by_numbers_in_either_direction(opened):
    page = opened()
    table = page.locator("#runs table")
    index = table.locator("thead th").all_text_contents().index("relative error")
    head = table.locator("thead th").nth(index)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    values = column(page, table, index)
    assert values[-1] == "-"
    assert [*map(float, values[:-1])] == sorted(map(float, values[:-1]))
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    values = column(page, table, index)
    assert values[-1] == "-"
    assert [*map(float, values[:-1])] == sorted(map(float, values[:-1]), reverse=True)


def test_the_keyboard_sorts_and_unfolds(opened):
    page = opened()
    table = page.locator("#runs table")
    table.get_by_role("button", name="method").focus()
    page.keyboard.press("Enter")
    assert column(page, table, 4) == sorted(column(page, table, 4))
    topic = page.locator(".tree.root > li > details").first
    topic.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert topic.evaluate("(details) => details.open")


def test_a_table_shows_the_rows_with_all_words(opened):
    page = opened()
    field = page.locator("#runs").get_by_label("Rows with")
    field.fill("NEURAL 9-4-2")
    table = page.locator("#runs table")
    assert column(page, table, 4) == ["neural", "neural"]
    assert page.locator("#runs output").text_content() == "2 of 14 rows"
    field.fill("")
    assert len(column(page, table, 4)) == 14


def test_topics_unfold_with_their_words_samples_and_stability(opened):
    page = opened()
    tree = page.locator(".tree.root", has_text="stability").first
    assert not tree.get_by_text("Strongest in:").first.is_visible()
    tree.locator("xpath=preceding-sibling::p[1]").get_by_role("button", name="Unfold all").click()
    for text in ("Strongest in:", "stability 0.90, below this topic in 2 of 2 trials", NASTY, "<b> & co.txt"):
        assert tree.get_by_text(text).first.is_visible()
    tree.locator("xpath=preceding-sibling::p[1]").get_by_role("button", name="Fold all", exact=True).click()
    assert not tree.get_by_text("Strongest in:").first.is_visible()


def test_heatmaps_tell_the_value_that_is_pointed_at(opened):
    page = opened()
    scroll_through(page)
    chart = page.locator("article .chart[aria-label^='Heatmap of A']").first
    chart.scroll_into_view_if_needed()
    chart.locator(".nsewdrag").hover()
    told = page.locator(".hovertext").first
    told.wait_for()
    assert told.text_content().startswith("feature")


def test_the_command_is_copied(opened):
    page = opened()
    line = page.locator("pre.command + p").first
    line.get_by_role("button", name="Copy").click()
    line.get_by_text("copied").wait_for()


def test_a_telephone_shows_all_without_moving_sideways(opened):
    page = opened(viewport={"width": NARROW, "height": 700}, is_mobile=True, has_touch=True)
    page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    scroll_through(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") == NARROW


def test_a_print_shows_what_is_folded_and_folds_it_again(opened):
    page = opened()
    folded = page.locator("details:not([open])")
    before = folded.count()
    page.wait_for_function("() => window.Plotly")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert folded.count() == 0
    page.wait_for_function(
        "() => [...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('.main-svg'))"
    )
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert folded.count() == before
    assert page.pdf()[:4] == b"%PDF"


def test_a_browser_that_cannot_unpack_says_so_in_the_place_of_charts(opened):
    page = opened("delete window.DecompressionStream")
    page.get_by_text("This browser cannot draw the chart").first.wait_for()
    page.locator("#runs").get_by_role("button", name="seed").click()
    assert page.locator("#runs th[aria-sort]").count() == 1


def test_without_a_program_tables_and_trees_are_there(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#runs tbody tr").count() == 14
    assert page.locator(".tree.root").first.is_visible()
