"""The page in a browser: clicked, sorted, filtered, narrow and dark, with no request and no complaint."""

import contextlib
import csv
import itertools
import shutil

import numpy as np
import pytest
import result_folders as results

from jaxaimc.report import read, write_page
from jaxaimc.report.dataset import std
from jaxaimc.report.views import Choice, curves, front, grid

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, so the page is not opened")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    # With designs drawn at random, and a name that cannot be broken into lines.
    paths = [
        results.sweep(folder / "sweep"),
        results.evaluation(folder / ("e" * 80)),
        results.table(folder / "t.csv", 40),
    ]
    return read(paths, measured=["score", "power"])


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return read([results.table(tmp_path_factory.mktemp("large") / "table.csv")], measured=["score", "power"])


@contextlib.contextmanager
def opened(browser, report, file, **options):
    """Open the page of a report; in the end it must have asked for nothing and complained of nothing."""
    write_page(report, file, "Results & <more>")
    page = browser.new_page(accept_downloads=True, **options)
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.goto(file.as_uri())
    yield page
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [file.as_uri()]
    assert complaints == []
    page.close()


@pytest.fixture(scope="module")
def page(browser, report, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "report.html"
    with opened(browser, report, file, viewport={"width": 1200, "height": 900}, color_scheme="light") as found:
        yield found


def section(page, report, title):
    return page.locator(f"#t{[dataset.title for dataset in report.datasets].index(title)}")


def sweep(page, report):
    return section(page, report, "Sweep of wires.r, adc.f_adc")


def column(rows, place):
    return rows.locator(f"tbody tr td:nth-child({place})").all_inner_texts()


def test_a_click_sorts_and_a_filter_keeps(page, report):
    rows = sweep(page, report).locator(".rows").first
    head = rows.get_by_role("button", name="score")
    before = column(rows, 4)
    values = [float(text.split(" ±")[0]) for text in before]
    assert values != sorted(values)
    head.click()
    assert [float(text.split(" ±")[0]) for text in column(rows, 4)] == sorted(values)
    assert rows.locator("th[aria-sort=ascending]").inner_text() == "score"
    head.click()
    assert [float(text.split(" ±")[0]) for text in column(rows, 4)] == sorted(values, reverse=True)
    head.click()
    assert column(rows, 4) == before
    rows.get_by_label("Filter wires.r [ohm]").fill("0.2..1")
    assert [float(text) for text in column(rows, 1)] == pytest.approx([10**-0.5, 10**-0.5, 1.0, 1.0], rel=1e-4)
    assert rows.get_by_role("status").inner_text() == "Rows 1 to 4 of 4 that pass the filters, of 10"
    rows.get_by_label("Filter wires.r [ohm]").fill(">= much")
    assert rows.get_by_label("Filter wires.r [ohm]").get_attribute("aria-invalid") == "true"
    assert len(column(rows, 1)) == 10
    rows.get_by_label("Filter wires.r [ohm]").fill("")


def test_nothing_moves_when_a_figure_is_drawn(browser, report, tmp_path):
    with opened(browser, report, tmp_path / "still.html", viewport={"width": 1200, "height": 300}) as page:
        last = page.locator("figure").last
        assert last.locator("svg.main-svg").count() == 0  # far below, it is not drawn yet
        before = page.evaluate("document.documentElement.scrollHeight")
        last.scroll_into_view_if_needed()
        last.locator("svg.main-svg").first.wait_for()
        assert page.evaluate("document.documentElement.scrollHeight") == before


def test_ten_thousand_rows_stay_usable(browser, large, tmp_path):
    with opened(browser, large, tmp_path / "large.html", viewport={"width": 1200, "height": 900}) as page:
        rows = page.locator(".rows").first
        milliseconds = page.evaluate(
            """() => {
                const button = [...document.querySelectorAll("th button")].find((one) => one.textContent === "power");
                const start = performance.now();
                button.click();
                return performance.now() - start;
            }"""
        )
        assert milliseconds < 1000
        assert len(column(rows, 1)) == 50
        values = [float(text) for text in column(rows, 5)]
        assert values == sorted(values)
        rows.get_by_role("button", name="Next").click()
        assert rows.get_by_role("status").inner_text() == "Rows 51 to 100 of 10,000"
        assert float(column(rows, 5)[0]) >= values[-1]
        rows.get_by_label("Filter name").fill("alert")
        assert all(text == results.NASTY for text in column(rows, 3))
        ties = np.random.default_rng(0).integers(0, 4, (2, 30)).astype(float)
        for signs in ([1, 1], [1, -1]):
            best = page.evaluate("([a, b]) => parts.front.best(a, b)", (ties.T * signs).T.tolist())
            assert sorted(best) == np.flatnonzero(front(ties.T * signs, [False, False])).tolist()
        power, score = (large.datasets[0].designs[name].to_numpy() for name in ("power", "score"))
        best = page.evaluate(
            """() => {
                const [power, score] = ["power", "score"].map((name) => byName(report.datasets[0], name).values);
                return parts.front.best(power, score.map((value) => -value));
            }"""
        )
        assert sorted(best) == np.flatnonzero(front(np.stack([power, score], 1), [False, True])).tolist()


def test_saved_rows_are_those_of_the_table(page, report):
    rows = sweep(page, report).locator(".rows").first
    with page.expect_download() as download:
        rows.get_by_role("button", name="Save as CSV").click()
    saved = list(csv.DictReader(download.value.path().read_text().splitlines()))
    [dataset] = [one for one in report.datasets if one.title.startswith("Sweep")]
    np.testing.assert_allclose([float(row["score"]) for row in saved], dataset.designs["score"].to_numpy(), rtol=1e-12)
    np.testing.assert_allclose(
        [float(row["score std"]) for row in saved], dataset.designs[std("score")].to_numpy(), rtol=1e-12
    )


def test_selectors_change_what_is_drawn(page, report):
    figure = sweep(page, report).locator("figure").first
    figure.scroll_into_view_if_needed()
    figure.locator(".xtitle").wait_for()
    assert figure.locator(".xtitle").text_content() == "wires.r [ohm]"
    assert figure.locator("h3").inner_text() == "score against wires.r"
    # Nothing that sends a chart anywhere.
    buttons = figure.locator(".modebar-btn").evaluate_all("(all) => all.map((one) => one.dataset.title)")
    assert buttons == ["Download plot", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"]
    assert "mean ± one standard deviation of 3 chips" in figure.get_by_role("status").inner_text()
    figure.get_by_label("Against").select_option("adc.f_adc")
    assert figure.locator(".xtitle").text_content() == "adc.f_adc [Hz]"
    figure.get_by_label("Measured").select_option("energy")
    assert figure.locator(".ytitle").text_content() == "energy [J]"
    figure.get_by_label("Colour").select_option("wires.r")
    assert figure.locator(".legendtitletext").text_content().strip() == "wires.r [ohm]"
    figure.get_by_label("Colour").select_option("")
    figure.get_by_label("wires.r [ohm] held at").select_option("all")
    assert "points are not joined, as other fields differ" in figure.get_by_role("status").inner_text()
    figure.get_by_label("energy logarithmic").check()
    assert page.evaluate("(plot) => plot.layout.yaxis.type", figure.locator(".plot").element_handle()) == "log"


def test_the_front_turns_with_the_direction(page, report):
    figure = sweep(page, report).locator("figure").nth(2)
    figure.scroll_into_view_if_needed()
    figure.locator(".xtitle").wait_for()
    assert figure.locator(".xtitle").text_content() == "energy [J], lower is better"
    assert figure.locator(".ytitle").text_content() == "score, higher is better"
    before = figure.get_by_role("status").inner_text()
    figure.get_by_label("Of energy").select_option("higher")
    assert figure.locator(".xtitle").text_content() == "energy [J], higher is better"
    assert figure.get_by_role("status").inner_text() != before


def test_the_page_draws_what_python_computes(page, report):
    """Every pair of a swept and a measured column, by every colour: the same points, in the same lines."""
    for place, dataset in enumerate(report.datasets):
        columns = (*dataset.fields, *dataset.measured)
        for x, y, colour in itertools.product(columns, dataset.measured, ("", *dataset.fields)):
            held = {name: dataset.levels(name)[0] for name in dataset.fields[:1] if name not in (x, colour)}
            found = page.evaluate(
                """([place, state]) => {
                    const dataset = report.datasets[place];
                    const value = (name, i) => dataset.columns.find((column) => column.name === name).values[i];
                    return parts.curve.points(dataset, state).map(({ level, rows, isLine }) =>
                        [rows.map((i) => value(state.x, i)), rows.map((i) => value(state.y, i)), isLine]);
                }""",
                [place, {"x": x, "y": y, "colour": colour, "held": held}],
            )
            expected = curves(dataset, Choice(x, y, colour, held))
            assert [sorted(zip(a, b, strict=True), key=str) for a, b, _ in found] == [
                sorted(zip(curve.x, curve.mean.tolist(), strict=True), key=str) for curve in expected
            ]
            assert [is_line for *_, is_line in found] == [curve.is_line for curve in expected]


def test_heat_maps_are_those_of_python(page, report):
    place = [dataset.title for dataset in report.datasets].index("Sweep of wires.r, adc.f_adc")
    cells = page.evaluate(
        """(place) => {
            const dataset = report.datasets[place];
            const [x, y, z] = ["wires.r", "adc.f_adc", "score"].map((name) => byName(dataset, name));
            return parts.grid.cells(x, y, z, kept(dataset, {})).found;
        }""",
        place,
    )
    np.testing.assert_allclose(cells, grid(report.datasets[place], "wires.r", "adc.f_adc", "score", {}), rtol=1e-12)


def test_texts_are_texts(page):
    assert page.title() == "Results & <more>"
    assert page.locator("h1").inner_text() == "Results & <more>"
    # In the data, where it cannot run, and in no element of its own.
    scripts = page.locator("script").evaluate_all(
        "(all) => all.map((one) => [one.type, one.textContent.includes('alert(1)')])"
    )
    assert [kind for kind, holds in scripts if holds] == ["application/json"]
    assert f"{results.NASTY} stays digital: no tile for it." in page.locator("#ground").inner_text()
    ticks = page.locator("figure", has=page.locator("h3", has_text="error against layer"))
    ticks.scroll_into_view_if_needed()
    ticks.locator(".ytick text").first.wait_for()
    assert results.NASTY in ticks.locator(".ytick text").all_text_contents()


def test_the_exact_configuration_is_folded(page):
    details = page.locator("#ground details").filter(has_text="Configuration").first
    assert not details.locator("pre").is_visible()
    details.locator("summary").click()
    assert '"type": "AnalogConfig"' in details.locator("pre").inner_text()


def test_it_fits_a_narrow_screen_and_a_dark_one(browser, report, tmp_path):
    size = {"width": 360, "height": 700}
    with opened(browser, report, tmp_path / "narrow.html", viewport=size, color_scheme="dark") as page:
        page.evaluate("[...waiting.keys()].forEach(drawNow)")
        assert page.locator(".main-svg").count() >= 8
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(map(int, dark[4:-1].split(","))) < 60
        ink = "(text) => getComputedStyle(text).fill"
        assert min(map(int, page.locator(".xtitle").first.evaluate(ink)[4:-1].split(","))) > 150
        page.emulate_media(color_scheme="light")
        page.wait_for_timeout(100)
        assert max(map(int, page.locator(".xtitle").first.evaluate(ink)[4:-1].split(","))) < 100
