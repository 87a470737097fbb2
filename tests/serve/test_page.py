"""The page in a real browser; where the service's answers matter, they are given here."""

import ast
import json
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from spacy_openner.serve.app import POLICY
from tests.support.http_calls import TEXT

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

PAGE = Path(__file__).parents[2] / "spacy_openner" / "serve" / "page" / "index.html"
URL = "http://localhost:8000/"
SETTINGS = {"labels": ["person", "city"], "threshold": 0.5, "overlap": "flat", "boundaries": [], "needs_key": False}
# A directory for pictures to look at.
PICTURES = os.environ.get("SPACY_OPENNER_PICTURES")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def wait_for_status(page, is_wanted):
    """Wait for a status line. Playwright's own waiting evaluates strings, which the page's policy forbids."""
    for _ in range(1200):
        if is_wanted(page.inner_text("#status")):
            return
        page.wait_for_timeout(100)
    raise AssertionError(page.inner_text("#status"))


class Visit:
    """The page, with a service that finds the given parts of any text."""

    def __init__(self, context, parts=(), status=200, detail=None):
        self.parts, self.status, self.detail = parts, status, detail
        self.asked = []
        self.page = context.new_page()
        self.page.route("**/*", self.serve)
        self.page.goto(URL)

    def serve(self, route):
        path = urlsplit(route.request.url).path
        if path == "/":
            headers = {"Content-Type": "text/html", "Content-Security-Policy": POLICY}
            route.fulfill(body=PAGE.read_text(encoding="utf8"), headers=headers)
        elif path == "/pipeline":
            route.fulfill(json=SETTINGS if self.status == 200 else {"detail": "no"}, status=self.status)
        elif path == "/entities" and self.status is None:
            route.abort()
        elif path == "/entities":
            body = json.loads(route.request.post_data)
            self.asked.append(body)
            answer = {"entities": [self.find(body["texts"][0])]} if self.status == 200 else {"detail": self.detail}
            route.fulfill(json=answer, status=self.status)
        else:
            route.fulfill(status=404)

    def find(self, text):
        found = []
        for part, label, score in self.parts:
            start = text.find(part)
            while start >= 0:
                end = start + len(part)
                found.append({"start": start, "end": end, "text": part, "label": label, "score": score})
                start = text.find(part, end)
        return sorted(found, key=lambda e: (e["start"], -e["end"]))

    def type(self, text, labels=None):
        if labels is not None:
            self.page.fill("#labels", labels)
        self.page.fill("#text", text)
        self.settle()

    def settle(self):
        """Wait until nothing is under way."""
        self.page.wait_for_timeout(350)
        wait_for_status(self.page, lambda text: text not in ("", "Looking ..."))

    @property
    def status_line(self):
        return self.page.inner_text("#status")

    def marks(self):
        """Return the type and the text of each mark, its own children's names left out."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll('#result mark')].map((mark) => {
                const copy = mark.cloneNode(true);
                const name = copy.lastChild.textContent;
                copy.querySelectorAll('small').forEach((small) => small.remove());
                return [copy.textContent, name];
            })"""
        )

    def picture(self, name):
        if PICTURES:
            self.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


@pytest.fixture
def visit(browser):
    contexts = []

    def make(parts=(), status=200, detail=None, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(120_000)
        contexts.append(context)
        return Visit(context, parts, status, detail)

    yield make
    for context in contexts:
        context.close()


PARTS = [("Marie Curie", "person", 0.97), ("Paris", "city", 0.881)]


def test_a_short_text(visit):
    seen = visit(PARTS)
    seen.type(TEXT)
    assert seen.marks() == [["Marie Curie", "person 0.97"], ["Paris", "city 0.88"]]
    assert seen.status_line == "2 entities."
    rows = seen.page.eval_on_selector_all("#table tbody tr", "rows => rows.map(row => row.innerText.split('\\t'))")
    assert rows == [["Marie Curie", "person", "0.970", "0-11"], ["Paris", "city", "0.881", "21-26"]]
    seen.picture("short")


def test_a_visitor_begins_with_the_settings_of_the_pipeline(visit):
    seen = visit(PARTS)
    seen.settle()
    assert seen.page.input_value("#labels") == "person\ncity"
    assert seen.asked[-1] == {
        "texts": [seen.page.input_value("#text")],
        "labels": ["person", "city"],
        "threshold": 0.5,
        "overlap": "flat",
    }


def test_no_text_and_no_types(visit):
    seen = visit(PARTS)
    seen.settle()
    before = len(seen.asked)
    seen.type("  ")
    assert seen.status_line == "Type a text."
    assert seen.page.inner_text("#result").strip() == ""
    assert seen.page.is_hidden("#table")
    seen.picture("empty")
    seen.type(TEXT, labels=" \n")
    assert seen.status_line == "Name a type to look for."
    assert len(seen.asked) == before


LONG = " ".join(f"In {1900 + i}, Marie Curie wrote letter {i} from Paris to the Academy." for i in range(30))


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_long_text_fits_the_window(visit, width, scheme):
    seen = visit(
        [*PARTS, ("Academy", "organization", 0.5)], viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    seen.type(LONG + " " + "x" * 300)
    assert len(seen.marks()) == 90
    sizes = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert sizes[0] <= sizes[1]
    seen.picture(f"long_{width}_{scheme}")


def test_text_from_right_to_left(visit):
    text = "ماري كوري عاشت في باريس."
    seen = visit([("ماري كوري", "person", 0.9), ("باريس", "مدينة", 0.8)])
    seen.type(text)
    assert [mark[0] for mark in seen.marks()] == ["ماري كوري", "باريس"]
    assert seen.page.eval_on_selector("#result", "each => getComputedStyle(each).direction") == "rtl"
    seen.picture("right_to_left")


def test_entities_inside_entities_and_across(visit):
    seen = visit([("University of Paris", "organization", 0.9), ("Paris", "city", 0.8), ("Paris in", "oddity", 0.6)])
    seen.page.select_option("#overlap", "all")
    seen.type("The University of Paris in France.")
    assert seen.marks() == [["University of Paris", "organization 0.90"], ["Paris", "city 0.80"]]
    assert seen.page.locator("#result mark mark").count() == 1
    assert seen.page.inner_text("#crossing").startswith("1 of them crosses")
    assert seen.page.locator("#table tbody tr").count() == 3
    assert seen.asked[-1]["overlap"] == "all"
    seen.picture("nested")


def test_offsets_count_characters_beyond_the_basic_plane(visit):
    seen = visit(PARTS)
    seen.type("\N{GRINNING FACE}\N{GRINNING FACE} Marie Curie!")
    assert seen.marks() == [["Marie Curie", "person 0.97"]]


def test_nothing_of_a_text_or_a_type_runs(visit):
    bad = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    seen = visit([("Marie", bad, 0.9), (bad, "</mark><b>", 0.8)])
    seen.type(f"{bad} Marie", labels=f"{bad}\n__proto__: a b\n</mark><b>")
    assert seen.marks() == [[bad, "</mark><b> 0.80"], ["Marie", f"{bad} 0.90"]]
    assert seen.asked[-1]["labels"] == {bad: bad, "__proto__": "a b", "</mark><b>": "</mark><b>"}
    assert seen.page.evaluate("window.hacked") is None
    inside = "document.querySelectorAll('#result img, #result script, #result b, #table img, #table script').length"
    assert seen.page.evaluate(inside) == 0
    seen.picture("markup")


@pytest.mark.parametrize(
    ("status", "detail", "shown"),
    [
        (422, [{"loc": ["body", "texts"], "msg": "too long", "type": "x"}], "422: texts: too long"),
        (503, "the model was busy", "503: the model was busy"),
        (None, None, "The service does not answer"),
    ],
)
def test_failures_are_told(visit, status, detail, shown):
    seen = visit(PARTS, status, detail)
    seen.type(TEXT)
    assert seen.status_line.startswith(shown)
    assert seen.page.get_attribute("#status", "class") == "bad"
    assert seen.page.get_attribute("#status", "role") == "status"
    assert seen.page.inner_text("#result") == TEXT
    assert seen.marks() == []
    seen.picture(f"error_{status}")


def test_a_key_can_be_given_where_one_is_asked_for(visit):
    seen = visit(PARTS, 401, "send the key")
    seen.settle()
    assert seen.page.is_visible("#key")
    seen.picture("key")
    seen.status = 200
    with seen.page.expect_request("**/entities") as sent:
        seen.page.fill("#key", "correct horse")
    assert sent.value.headers["authorization"] == "Bearer correct horse"


def test_all_of_it_works_from_the_keyboard(visit):
    seen = visit(PARTS)
    seen.settle()
    page, order = seen.page, []
    page.evaluate("document.activeElement.blur()")
    for _ in range(8):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    buttons = ["Find entities", "copy-json", "copy-python"]
    assert order == ["text", "labels", "threshold", "overlap", *buttons, "result"]
    assert page.eval_on_selector("#result", "each => getComputedStyle(each).outlineStyle") == "solid"
    page.focus("#threshold")
    page.keyboard.press("ArrowRight")
    seen.settle()
    assert page.inner_text("#shown") == "0.51"
    assert seen.asked[-1]["threshold"] == 0.51
    page.focus("button[type=submit]")
    with page.expect_request("**/entities"):
        page.keyboard.press("Enter")
    names = page.evaluate(
        "[...document.querySelectorAll('textarea, input:not(#key), select')].map((each) => each.labels.length)"
    )
    assert all(names)


def test_copies(visit):
    seen = visit(PARTS, permissions=["clipboard-read", "clipboard-write"])
    text = 'A "quoted" \\ text,\n\N{GRINNING FACE} Marie Curie\u2028'
    seen.type(text, labels='person: a "human" \N{GRINNING FACE}\ncity')
    seen.page.click("#copy-json")
    wait_for_status(seen.page, "Copied as JSON.".__eq__)
    copied = json.loads(seen.page.evaluate("navigator.clipboard.readText()"))
    assert copied["text"] == text
    assert [copied["text"][e["start"] : e["end"]] for e in copied["entities"]] == ["Marie Curie"]
    seen.page.click("#copy-python")
    wait_for_status(seen.page, "Copied as Python.".__eq__)
    program = ast.parse(seen.page.evaluate("navigator.clipboard.readText()"))
    values = {node.targets[0].id: node.value for node in program.body if isinstance(node, ast.Assign)}
    assert ast.literal_eval(values["config"]) == {
        "labels": {"person": 'a "human" \N{GRINNING FACE}', "city": "city"},
        "threshold": 0.5,
        "overlap": "flat",
    }
    assert ast.literal_eval(values["doc"].args[0]) == text


@pytest.mark.parametrize("works", [True, False])
def test_copies_without_a_clipboard_of_the_page(visit, works):
    """A page without TLS has none. What cannot be copied is not said to be, and the keyboard stays on the button."""
    seen = visit(PARTS, permissions=["clipboard-read"])
    seen.type(TEXT)
    refuse = "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }"
    seen.page.evaluate(refuse)
    if not works:
        seen.page.evaluate("() => { document.execCommand = () => false; }")
    seen.page.focus("#copy-json")
    seen.page.keyboard.press("Enter")
    told = "Copied as JSON." if works else "The browser does not let this page copy."
    wait_for_status(seen.page, told.__eq__)
    assert seen.page.evaluate("document.activeElement.id") == "copy-json"
    assert seen.page.locator("textarea").count() == 2
    if works:
        assert json.loads(seen.page.evaluate("navigator.clipboard.readText()"))["text"] == TEXT


def test_types_can_be_read_on_their_colours(visit):
    labels = [f"type {i}" for i in range(60)]
    seen = visit([(f"word{i:02d}", label, 0.9) for i, label in enumerate(labels)], color_scheme="dark")
    seen.type(" ".join(f"word{i:02d}" for i in range(60)))
    colours = seen.page.evaluate(
        """() => [...document.querySelectorAll('mark')].map((mark) => {
            const style = getComputedStyle(mark);
            return [style.color, style.backgroundColor].map((text) => text.match(/[0-9.]+/g).map(Number));
        })"""
    )
    assert len(colours) == 60
    assert min(contrast(*pair) for pair in colours) >= 4.5


def contrast(ink, paper):
    """The ratio of two colours' luminance, as WCAG 2 defines it."""
    light, dark = sorted(map(luminance, (ink, paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def test_the_page_of_a_real_service(browser, shared_url):
    page = browser.new_page()
    page.goto(shared_url)
    page.fill("#text", TEXT)
    wait_for_status(page, "2 entities.".__eq__)
    assert page.locator("#result mark").count() == 2
    assert page.input_value("#labels") == "person\ncity"
