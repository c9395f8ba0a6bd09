"""The example for a browser, in Chromium, from a page whose origin the service allows."""

import functools
import http.server
import shutil
import subprocess
import threading

import pytest
from playwright.sync_api import sync_playwright
from service import Service, binary
from test_examples import LINES, ROOT, audit, blocks, section

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
# How long a page may take on a busy machine: most of its calls wait for the quota of the tenant.
TIMEOUT_MS = 120_000


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def origin():
    """The origin of the example, built by the commands of the page."""
    (commands,) = blocks(section("Browser"), "sh")
    script = ["bash", "-euo", "pipefail", "-c", commands]
    subprocess.run(script, cwd=ROOT, stdin=subprocess.DEVNULL, check=True)
    handler = functools.partial(Handler, directory=ROOT / "examples" / "typescript")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def page(origin):
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = chromium.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(origin)
        yield page
        chromium.close()


def submit(page, service, caller):
    page.fill("[name=server]", f"http://{service.address}")
    page.fill("[name=token]", service.token(caller))
    page.click("button")


def lines(page):
    return page.locator("#lines").inner_text().splitlines()


def test_a_page_sets_all_keys_with_a_bulk_job_and_shows_refusals(origin, page, monkeypatch):
    monkeypatch.setenv("LOGKEY__SERVER__CORS__ALLOWED_ORIGINS", f'["{origin}"]')
    with Service(binary()) as service:
        submit(page, service, "examples")
        page.get_by_text("log groups changed").wait_for()
        assert lines(page) == LINES
        assert page.locator("#progress").inner_text() == "6 of 7"
        assert [entry["operation"] for entry in service.journal()].count("AssociateKmsKey") == 6
        page.reload()
        submit(page, service, "reader")
        page.get_by_text("SCOPE_MISSING").wait_for()


def test_a_page_whose_origin_is_not_allowed_reaches_no_method(page):
    with Service(binary()) as service:
        submit(page, service, "examples")
        page.get_by_text("Failed to fetch").wait_for()
        assert len(lines(page)) == 1
        # A refused call would be recorded too.
        assert audit(service, "--action", "GetCaller") == 0
