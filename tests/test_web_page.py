"""The tabs Predict, Library and Runs in a browser, each used for its purpose."""

import io

import pytest
from conftest import require
from made_manifest import DrawnFace, draw
from made_run import made_run
from page_browser import Server, Watched, choose, chromium, settled
from PIL import Image

from preprocessing.errors import UserError
from preprocessing.images import encode_png
from preprocessing.weights import retinaface_onnx


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):
    """A page over a run trained on drawn squares, a library of six of them, and two reports."""
    from caer.library.index import update_library
    from caer.predict import Predictor

    try:
        retinaface_onnx()
    except UserError as error:
        require("weights", False, str(error))
    folder = tmp_path_factory.mktemp("page")
    config = made_run(tmp_path_factory)
    for i in range(6):
        (folder / "photos").mkdir(exist_ok=True)
        (folder / "photos" / f"<b>{i}.png").write_bytes(encode_png(draw(f"{i}", i % 3, face=i != 4)))
    update_library("", folder / "photos", folder / "l.parquet", Predictor(config.run_folder, detector=DrawnFace()))
    (folder / "reports" / "study").mkdir(parents=True)
    (folder / "reports" / "study" / "report.html").write_text(
        "<!doctype html><h1>A study</h1><script>parent.document.title = 'taken'</script><img src=http://elsewhere.example/x.png>"
    )
    places = {"--runs": config.runs, "--reports": folder / "reports", "--library": folder / "l.parquet"}
    started = Server("--allow-urls", *(str(part) for pair in places.items() for part in pair))
    yield started
    started.kill()


@pytest.fixture(scope="module")
def watched(server, browser):
    tab = Watched(browser)
    yield tab
    assert tab.errors == []
    assert tab.hosts == {f"127.0.0.1:{server.port}"}, "nothing but the page's own server is asked"


@pytest.fixture
def open_tab(watched, server):
    def go(name):
        watched.open(f"{server.url}/?tab={name}")
        return watched.page

    return go


def upload(page, name, content):
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "image/jpeg", "buffer": content})


def test_a_photo_is_answered_and_hostile_files_are_told_from_photos(open_tab, astronaut):
    page = open_tab("Predict")
    picture = io.BytesIO()
    Image.fromarray(astronaut).save(picture, "JPEG")
    upload(page, "../../<b>photo</b>.jpg", picture.getvalue())
    card = page.locator(".caer")
    card.get_by_text("face gate").first.wait_for()
    settled(page)
    assert "Face 1" in card.inner_text()
    assert card.locator(".bars .context[title^='face hidden']").count() == 3
    page.get_by_text("What if a part were hidden").click()
    card.locator(".bars [title^='face hidden']").first.wait_for(state="detached")
    settled(page)
    page.get_by_text("Where the context branch looks").click()
    page.get_by_alt_text("attention over the photo").first.wait_for()
    settled(page)
    assert page.get_by_alt_text("photo with numbered boxes").count() == 1
    wide = io.BytesIO()
    Image.new("L", (20_000, 1)).save(wide, "PNG")
    for content, told in ((b"<svg onload=alert(1)></svg>", "no photo in a known format"), (wide.getvalue(), "20000 x 1 pixels")):
        settled(page)
        upload(page, "x.jpg", content)
        page.locator("[data-testid=stAlert]", has_text=told).first.wait_for()


def test_an_address_inside_is_refused(open_tab):
    page = open_tab("Predict")
    page.get_by_label("or its public address").fill("http://127.0.0.1/photo.jpg")
    page.get_by_label("or its public address").press("Enter")
    page.locator("[data-testid=stAlert]", has_text="no public address").first.wait_for()


def test_the_library_is_filtered_and_shown_as_a_grid(open_tab):
    page = open_tab("Library")
    page.get_by_text("6 faces and photos without a face").first.wait_for()
    page.get_by_text("<b>3.png").first.wait_for()
    settled(page)
    page.get_by_text("no", exact=True).click()
    page.get_by_text("1 faces and photos without a face").first.wait_for()
    page.get_by_text("<b>3.png").first.wait_for(state="detached")
    settled(page)
    assert page.get_by_text("<b>4.png").count() == 1
    page.get_by_label("Condition").fill("path = 'x'; DROP TABLE library")
    page.get_by_label("Condition").press("Enter")
    page.locator("[data-testid=stAlert]", has_text="--where").first.wait_for()


def test_runs_are_compared_and_a_report_is_shown_without_its_scripts(open_tab, watched, server):
    page = open_tab("Runs")
    page.get_by_text("val/emotion/accuracy").first.wait_for()
    page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").first.wait_for()
    choose(page, "Report", "reports/study/report.html")
    page.frame_locator("iframe").first.get_by_role("heading", name="A study").wait_for()
    settled(page)
    assert page.title() != "taken"
    address = page.locator("iframe").get_attribute("src")
    policy = server.request(address)[2]["content-security-policy"]
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert server.request("/reports/..%2F..%2Fl.parquet")[0] in (400, 404)


@pytest.mark.parametrize("tab", ["Predict", "Library", "Runs"])
def test_every_tab_fits_a_phone(server, browser, tab):
    phone = Watched(browser, 390, 844)
    phone.open(f"{server.url}/?tab={tab}")
    phone.page.get_by_role("tabpanel").locator(
        "[data-testid=stAlert], [data-testid=stFileUploader], [data-testid=stDataFrame], img"
    ).first.wait_for()
    phone.fits()
    phone.page.close()
