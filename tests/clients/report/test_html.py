"""The HTML report in a real browser: charts, sorting, filters, and nothing from the network or from names."""

import os
import pathlib
import shutil

import pytest
from playwright.sync_api import sync_playwright

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Counts the pixels of a chart that are not transparent.
DRAWN = """canvas => {
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return data.filter((value, index) => index % 4 === 3 && value > 0).length / (canvas.width * canvas.height);
}"""
# Where to keep the screenshots, to look at them.
SCREENSHOTS = os.environ.get("LOGKEY_SCREENSHOTS")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def file(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report("html"))
    return path


@pytest.fixture
def page(browser, file):
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.requests, page.errors = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    yield page
    assert not page.errors
    # The file itself, and the empty icon in it.
    assert [url for url in page.requests if not url.startswith("data:")] == [file.as_uri()]
    page.close()


def column(page, index):
    return page.locator(f"tbody tr td:nth-child({index})").all_inner_texts()


def screenshot(page, name):
    if SCREENSHOTS:
        page.screenshot(path=pathlib.Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def test_the_charts_are_drawn_and_the_numbers_are_right(page):
    for chart in ("history", "accounts", "keys"):
        assert page.locator(f"#{chart} canvas").evaluate(DRAWN) > 0.02
    assert page.locator(".tiles strong").all_inner_texts() == ["33 %", "2", "4", "0", "2"]
    assert page.locator("#incomplete").is_hidden()
    assert len(column(page, 1)) == 8
    screenshot(page, "light")


def test_rows_are_filtered(page):
    page.select_option("[name=status]", "non-compliant")
    assert sorted(column(page, 1)) == ["No key", "No key", "No key", "Other key"]
    page.select_option("[name=region]", "us-east-1")
    assert column(page, 2) == ["/fleet/app-3"]
    assert page.locator("[name=shown]").inner_text() == "1 of 8 resources"
    page.fill("[name=text]", "nothing has this name")
    assert page.locator("#empty").is_visible()
    page.click("[type=reset]")
    page.locator("tbody tr").nth(7).wait_for()
    page.fill("[name=text]", "keyed former")
    assert column(page, 2) == []
    page.fill("[name=text]", "KEYED eu-west")
    assert column(page, 2) == ["/fleet/keyed"]


def test_rows_are_sorted_by_each_column(page):
    assert column(page, 1)[0] in {"No key", "Other key"}
    button = page.locator("th button", has_text="Resource")
    button.click()
    names = column(page, 2)
    assert names == sorted(names)
    assert page.locator("th", has_text="Resource").get_attribute("aria-sort") == "ascending"
    button.click()
    assert column(page, 2) == sorted(names, reverse=True)
    page.locator("th button", has_text="Region").focus()
    page.keyboard.press("Enter")
    assert column(page, 4) == sorted(column(page, 4))


def test_details_show_the_finding_and_what_to_do(page):
    row = page.locator("tbody tr", has_text="/fleet/keyed")
    row.locator("summary").click()
    text = row.locator("dl").inner_text()
    assert "Required key" in text and "key/99999999-9999-4999-8999-999999999999" in text and "What to do" in text
    screenshot(page, "details")


def test_names_from_outside_stay_text(page):
    page.fill("[name=text]", "HYPERLINK")
    page.locator("tbody tr summary").first.click()
    assert '</script><script>window.attacked = 1</script><img src=x' in page.locator("tbody tr").first.inner_text()
    assert page.evaluate("window.attacked") is None
    assert page.locator("tbody img, tbody script").count() == 0


def test_the_page_runs_no_script_that_is_not_its_own(page):
    # What a name could do if it got into the page as markup.
    run = "() => { const it = document.createElement('script'); it.textContent = 'attacked = 1'; document.body.append(it); }"
    page.evaluate(run)
    assert page.evaluate("window.attacked") is None
    assert page.evaluate("fetch('http://127.0.0.1:1/').then(() => 'sent', () => 'refused')") == "refused"
    # The browser reports both, and the request was never made.
    assert len(page.errors) >= 2 and all("Content Security Policy" in it for it in page.errors)
    page.errors.clear()


def test_the_page_fits_dark_narrow_and_paper(page):
    light = page.locator("#accounts canvas").screenshot()
    page.emulate_media(color_scheme="dark")
    assert page.locator("#accounts canvas").screenshot() != light
    screenshot(page, "dark")
    page.set_viewport_size({"width": 380, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    screenshot(page, "narrow")
    page.set_viewport_size({"width": 1280, "height": 900})
    paper = page.pdf()
    assert paper.startswith(b"%PDF") and len(paper) > 20_000
    if SCREENSHOTS:
        (pathlib.Path(SCREENSHOTS) / "paper.pdf").write_bytes(paper)
