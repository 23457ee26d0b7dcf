"""The tab Review in a browser: keys decide, nothing acknowledged is ever lost, only what is visible is loaded."""

import json
import time

import pytest
from made_manifest import edit_manifest, made_manifest
from page_browser import TIMEOUT, Server, Watched, choose, chromium, settled

from caer.web.samples import PAGE_SIZE
from preprocessing.decisions import FILE, read_decisions
from preprocessing.manifest import read_manifest

SAMPLES = 120


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviewed")
    path = made_manifest(folder, {"train": 90, "val": 30}, no_face_every=10)

    def hostile(row):
        if row["image"] == "train/001.jpg":
            row |= {"image": "<img src=x onerror=alert(1)>.jpg", "label_emotion": "<b>bold</b>"}
        if row["image"] == "train/002.jpg":
            row |= {"all_boxes": [*row["all_boxes"], 120, 60, 180, 120, 0.95], "n_faces": 2}
        return row

    edit_manifest(path, hostile)
    return folder


@pytest.fixture(scope="module")
def server(out, browser):
    started = Server("--data", str(out))
    yield started
    started.kill()


@pytest.fixture
def watched(server, browser, out):
    (out / FILE).unlink(missing_ok=True)
    tab = Watched(browser)
    tab.open(server.url)
    tab.page.locator(".cell.here").wait_for()
    yield tab
    assert tab.errors == []
    assert tab.hosts == {f"127.0.0.1:{server.port}"}, "nothing but the page's own server is asked"
    tab.page.close()


def asked_for_pictures(watched):
    """The addresses of pictures that the browser has loaded; waits for the first."""
    until = time.monotonic() + TIMEOUT / 1000
    while not (found := {url for url in watched.asked if "/review/" in url}):
        assert time.monotonic() < until, "no picture is loaded"
        watched.page.wait_for_timeout(50)  # the browser's news arrive meanwhile
    return found


def saved(page):
    page.locator(".saving", has_text="all saved").first.wait_for()


def lines(out):
    return [json.loads(line) for line in (out / FILE).read_text().splitlines()] if (out / FILE).exists() else []


def names(page):
    return page.locator(".cell").evaluate_all("cells => cells.map(cell => cell.title)")


def test_keys_accept_reject_relabel_and_undo(watched, out):
    page = watched.page
    for key in ("a", "x", "2", "ArrowRight", "0"):
        page.keyboard.press(key)
    saved(page)
    ids = page.locator(".cell").evaluate_all("cells => cells.map(cell => cell.dataset.id)")
    written = [(line["sample_id"], line["action"]) for line in lines(out)]
    assert written == [(ids[0], "accept"), (ids[1], "reject"), (ids[2], "relabel"), (ids[4], "relabel")]
    held = read_decisions(out)
    assert list(held.rejected) == [ids[1]]
    assert held.labels[ids[4]] == {"emotion": None}
    assert page.locator(".cell").nth(1).get_attribute("class") == "cell rejected"
    assert page.locator(".count").inner_text().startswith(f"4 of {SAMPLES} reviewed")
    for _ in range(4):
        page.keyboard.press("z")
    saved(page)
    assert read_decisions(out).samples() == set()
    assert page.locator(".count").inner_text().startswith(f"0 of {SAMPLES} reviewed")
    assert page.locator(".cell.rejected").count() == 0
    (out / FILE).write_text("nonsense\n")
    page.keyboard.press("x")
    page.locator(".problem", has_text="Not saved").first.wait_for()
    assert "line 1" in page.locator(".problem").inner_text()
    assert page.locator(".cell.rejected").count() == 0, "what was refused is not shown as done"
    assert page.locator(".count").inner_text().startswith(f"0 of {SAMPLES} reviewed")
    assert (out / FILE).read_text() == "nonsense\n"


def test_names_and_labels_are_text_and_another_face_is_chosen_by_key_and_by_click(watched, out):
    page = watched.page
    page.locator(".cell").nth(1).click()
    assert "<img src=x onerror=alert(1)>.jpg" in page.locator(".more").inner_text()
    assert page.locator(".label").inner_text() == "emotion: <b>bold</b>"
    assert page.locator(".sheet b, .facts img, .more img").count() == 0
    page.locator(".cell").nth(2).click()
    page.locator(".boxes button").nth(1).wait_for()
    page.keyboard.press("f")
    saved(page)
    assert next(iter(read_decisions(out).boxes.values())) == (120, 60, 180, 120)
    assert page.locator(".boxes button").nth(1).get_attribute("class") == "chosen"
    page.locator(".boxes button").nth(0).click()
    saved(page)
    assert next(iter(read_decisions(out).boxes.values()))[:2] == (34, 20)


def test_keys_pressed_in_a_row_reach_their_own_samples(watched, out):
    """Faster than the server answers, across a page's end; until then nothing of the other pages is loaded."""
    page = watched.page
    assert len(asked_for_pictures(watched)) <= PAGE_SIZE + 2 < SAMPLES
    ids = page.locator(".cell").evaluate_all("cells => cells.map(cell => cell.dataset.id)")
    for i in range(PAGE_SIZE):
        page.keyboard.press("ax"[i % 2])
    page.locator(".where", has_text="2 / 3").first.wait_for()
    saved(page)
    assert [(line["sample_id"], line["action"]) for line in lines(out)] == [
        (identity, ("accept", "reject")[i % 2]) for i, identity in enumerate(ids)
    ]


def test_filters_leave_what_they_name(watched):
    page = watched.page
    page.get_by_text("Filters", exact=True).click()
    choose(page, "Status", "no_face")
    page.locator(".count", has_text="12 here").first.wait_for()
    assert names(page) == [f"train/{i:03d}.jpg" for i in range(0, 90, 10)] + [f"val/{i:03d}.jpg" for i in range(0, 30, 10)]


def test_reviewed_samples_stay_on_the_page_until_the_filter_is_applied_again(watched):
    page = watched.page
    page.keyboard.press("a")
    saved(page)
    page.get_by_text("Filters", exact=True).click()
    page.get_by_role("radio", name="no", exact=True).click()
    page.locator(".count", has_text=f"{SAMPLES - 1} here").first.wait_for()
    settled(page)
    before = names(page)
    page.locator(".cell").nth(0).click()
    page.keyboard.press("a")
    page.keyboard.press("x")
    saved(page)
    assert names(page) == before
    page.get_by_role("button", name="Apply again").click()
    page.locator(".count", has_text=f"{SAMPLES - 3} here").first.wait_for()
    assert names(page)[:46] == before[2:]


def test_two_browsers_see_each_others_decisions_and_lose_none(watched, server, browser, out):
    other = Watched(browser)
    other.open(server.url)
    other.page.locator(".cell.here").wait_for()
    for _ in range(5):
        watched.page.keyboard.press("x")
        other.page.keyboard.press("a")
    saved(watched.page)
    saved(other.page)
    assert len(lines(out)) == 10
    other.page.reload()
    other.page.locator(".count", has_text=f"5 of {SAMPLES} reviewed").first.wait_for()
    other.page.close()


def test_a_killed_server_loses_no_decision(watched, server, out):
    page = watched.page
    for _ in range(6):
        page.keyboard.press("x")
    saved(page)
    assert len(read_decisions(out).rejected) == 6, "what is shown as saved is on disk"
    server.kill()
    for _ in range(6):
        page.keyboard.press("x")
    page.locator(".saving", has_text="6 not saved yet").first.wait_for()
    page.locator(".problem", has_text="does not answer").first.wait_for()
    server.start()
    saved(page)
    written = lines(out)
    assert len(read_decisions(out).rejected) == len(written) == 12
    watched.errors.clear()  # the lost connection is told by Streamlit, too


def test_a_phone_shows_it_without_scrolling_sideways(server, browser, out):
    (out / FILE).unlink(missing_ok=True)
    tab = Watched(browser, 390, 844)
    tab.open(server.url)
    tab.page.locator(".cell.here").wait_for()
    tab.fits()
    tab.page.locator("[data-act=reject]").click()
    saved(tab.page)
    assert len(read_decisions(out).rejected) == 1
    tab.page.close()


def test_decisions_come_from_the_page_alone(server, out):
    (out / FILE).unlink(missing_ok=True)
    identity = read_manifest(out).rows["sample_id"][0]
    body = json.dumps({"sample_id": identity, "action": "reject"}).encode()
    own = {"Content_Type": "application/json", "X_CAER_Page": "review"}
    assert server.request("/review/decisions", body, **(own | {"Content_Type": "text/plain"}))[0] == 403
    assert server.request("/review/decisions", body, Content_Type="application/json")[0] == 403
    assert server.request("/review/decisions", body, **own, Sec_Fetch_Site="cross-site")[0] == 403
    assert server.request("/review/decisions", body, **own, Host="evil.example")[0] == 400
    assert server.request("/review/decisions", b"[" * 5000, **own)[0] == 400
    assert server.request("/review/decisions", b"[]", **own)[0] == 400
    assert lines(out) == []
    assert server.request("/review/decisions", body, **own)[0] == 200
    assert len(lines(out)) == 1


@pytest.mark.parametrize("path", ["/review/face/..%2f..%2fmanifest.jpg", "/review/manifest/x.jpg", "/review/face/0.jpg"])
def test_no_address_holds_a_path(server, path):
    status, body, _ = server.request(path)
    assert status in (400, 404) or b"<!doctype html>" in body.lower(), "at most Streamlit's own page"
    assert b"PAR1" not in body


def test_answers_forbid_foreign_sources_and_frames(server):
    policy = server.request("/")[2]["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
