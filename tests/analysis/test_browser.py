"""The page in a real browser: no errors, no requests, sorting, picking, phone width, dark page, axe-core's rules."""

import importlib.util
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = importlib.util.find_spec("axe_playwright_python")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; on Debian: apt-get install chromium"),
    pytest.mark.skipif(AXE is None, reason="axe-core is not installed; pip install axe-playwright-python"),
]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium():
    """Debian's chromium, headless, with a new and empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, analyzed):
    """The report, with everything that the browser complains about or asks for."""
    # The page forbids scripts that are not its own, and axe-core is one.
    page = chromium.new_page(bypass_csp=True)
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(analyzed.report.as_uri())
    yield page
    page.close()


def column(page, table, index):
    """The texts of one column as they stand."""
    return page.locator(f"#{table} tbody tr td:nth-child({index})").all_text_contents()


def test_no_complaint_and_no_request_but_the_page_itself(page, analyzed):
    """Pictures inside the page are data: addresses."""
    page.wait_for_load_state("networkidle")
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [analyzed.report.as_uri()]


def test_the_page_forbids_itself_the_network(chromium, analyzed):
    """Its own policy refuses a request, even one that a script asks for."""
    page = chromium.new_page(bypass_csp=False)
    page.goto(analyzed.report.as_uri())
    assert page.evaluate("fetch('data:text/plain,x').then(() => 'sent', () => 'refused')") == "refused"
    page.close()


def test_a_click_sorts_by_number_and_a_second_one_turns_it(page):
    """10 after 9, missing last both ways; what is sorted is told to a screen reader."""
    page.locator("summary", has_text="Every metric by activation and width").click()
    heading = page.locator("#cells th", has_text="mean")

    def values():
        found = page.locator("#cells tbody tr").evaluate_all(
            "(rows, i) => rows.map((r) => r.children[i].dataset.v)",
            heading.evaluate("h => [...h.parentNode.children].indexOf(h)"),
        )
        numbers = [float(value) for value in found if value is not None]
        assert found[len(numbers) :] == [None] * (len(found) - len(numbers))
        return numbers

    heading.get_by_role("button").click()
    up = values()
    assert up == sorted(up)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert page.locator("#status").text_content() == "Sorted by mean, ascending."
    heading.get_by_role("button").click()
    assert values() == up[::-1]
    assert heading.get_attribute("aria-sort") == "descending"
    assert page.locator("#cells th[aria-sort]").count() == 1


def test_sorting_works_from_the_keyboard_and_by_word(page):
    """Tab to the heading, Enter."""
    before = column(page, "settings", 1)
    page.locator("#settings th button").first.focus()
    page.keyboard.press("Enter")
    after = column(page, "settings", 1)
    assert after == sorted(before, key=str.lower)
    assert after != before


def test_the_skip_link_is_the_first_stop_and_leads_to_the_findings(page):
    """A keyboard need not walk through the navigation."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the findings"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_never_scrolls_sideways(page, width):
    """Wide tables and figures scroll in their own frame."""
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_wide_table_shows_on_a_phone_to_which_side_it_scrolls(page):
    """By a shadow at that edge."""
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 800})
    frame = page.locator("#overview").locator("xpath=..")

    def edges():
        image = np.asarray(Image.open(io.BytesIO(frame.screenshot())).convert("L"), dtype=float)
        return image[:, 0].mean(), image[:, -1].mean()

    left, right = edges()
    assert right < left - 10
    frame.evaluate("(f) => { f.scrollLeft = f.scrollWidth; }")
    left, right = edges()
    assert left < right - 10


def test_the_overview_is_whole_on_a_laptop_and_stands_before_the_figures(page):
    """It was cut at 1,280 pixels, below a dozen figures."""
    page.set_viewport_size({"width": 1280, "height": 800})
    frame = page.locator("#overview").locator("xpath=..")
    assert frame.evaluate("(f) => f.scrollWidth <= f.clientWidth")
    section = page.locator("#activation")
    first = section.locator("table, figure").first
    assert first.get_attribute("id") == "overview"


def test_a_metric_is_picked_for_figures_and_then_for_tables(page):
    """One metric's figures at first; another's when it is picked, and the tables' rows follow; then all of them."""

    def shown(what):
        return set(
            page.locator(f"#activation {what}[data-metric]:not([hidden])").evaluate_all(
                "(all) => all.map((x) => x.dataset.metric)"
            )
        )

    everything = set(
        page.locator("#activation figure[data-metric]").evaluate_all("(all) => all.map((x) => x.dataset.metric)")
    )
    assert {"effective_rank", "output_correlation"} < everything
    assert shown("figure") == {"effective_rank"}
    rows = shown("tr")
    assert everything <= rows
    page.get_by_label("Show figures and table rows for").select_option("output_correlation")
    assert shown("figure") == shown("tr") == {"output_correlation"}
    assert page.locator("#status").text_content() == "Showing output correlation in figures and tables."
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown("figure") == everything
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert shown("figure") == {"output_correlation"}
    page.get_by_label("Show figures and table rows for").select_option("every metric")
    assert shown("figure") == everything
    assert shown("tr") == rows
    assert page.complaints == []


def test_a_link_to_a_figure_of_another_metric_picks_that_metric(page):
    """Or it would lead to nothing."""
    page.evaluate("location.hash = '#epochs_output_correlation'")
    page.locator("#epochs_output_correlation").wait_for(state="visible")
    assert page.get_by_label("Show figures and table rows for").input_value() == "output_correlation"


def test_a_figure_keeps_a_readable_size_on_a_phone(page):
    """It scrolls in its own frame, as a wide table does."""
    frame = page.locator("#effective_rank .scroll")
    page.set_viewport_size({"width": 390, "height": 800})
    assert frame.bounding_box()["width"] <= 390
    assert frame.evaluate("(f) => f.scrollWidth") > 600
    page.set_viewport_size({"width": 1280, "height": 800})
    assert page.locator("#effective_rank .scroll svg").bounding_box()["width"] > 900


def test_a_point_says_its_trial(page):
    """The browser shows an SVG's title where the mouse is; a drawing that is one big image to a reader has them all the same."""
    titles = page.locator("#effective_rank .scroll g > title").evaluate_all("(all) => all.map((x) => x.textContent)")
    assert len(titles) == 116
    assert all(": effective rank " in title and "-k" in title for title in titles)


def test_the_theme_follows_the_system_and_the_button_turns_it(page):
    """Ink and paper change places, in figures too."""

    def colors():
        return page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('figure svg')).color]"
        )

    page.emulate_media(color_scheme="light")
    light = colors()
    page.emulate_media(color_scheme="dark")
    dark = colors()
    assert light != dark
    page.locator("#theme").click()
    assert colors() == light


def test_paper_gets_everything_on_white(page):
    """Folded tables unfold before printing and fold again after it."""
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    folded = page.locator("details:not([open])").count()
    assert folded > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_no_violation(page, small_analyzed, scheme, width):
    """Contrast, names, structure and keyboard, with every folded part open."""
    page.goto(small_analyzed.report.as_uri())
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.add_script_tag(content=(Path(AXE.submodule_search_locations[0]) / "axe.min.js").read_text())
    # A picture is one image to a reader: its name stays, its thousands of paths would cost axe a minute.
    page.evaluate("document.querySelectorAll('figure svg').forEach((picture) => picture.replaceChildren())")
    # Four rows of a table are as good as a hundred.
    page.evaluate("document.querySelectorAll('tbody tr:nth-child(n + 5)').forEach((row) => row.remove())")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations', 'passes']})")
    assert len(found["passes"]) > 20
    told = [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]]
    assert told == []
