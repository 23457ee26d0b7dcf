"""Tab *Library*: who is in the photos of an indexed folder, by filters and as a grid."""

from pathlib import Path
from typing import Any

import streamlit as st

from caer.library.results import face_picture
from caer.web.photo_store import Choices, PhotoStore
from caer.web.samples import pages
from caer.web.served import Served
from caer.web.wording import plain
from preprocessing.errors import UserError

PAGE_SIZE = 24


def show(served: Served) -> None:
    """Draw the tab."""
    if served.library is None:
        st.info("Start the page with `--library F.parquet`, a file that `python -m caer index` wrote, to search its photos.")
        return
    try:
        status = served.library.stat()
        store = _store(served.library, (status.st_mtime_ns, status.st_size))
        _search(store)
    except (UserError, OSError) as error:
        st.error(plain(error))


@st.cache_resource(max_entries=2, show_spinner="Opening the library")
def _store(path: Path, stamp: tuple[int, int]) -> PhotoStore:
    return PhotoStore(path)


def _search(store: PhotoStore) -> None:
    where = store.where(_choices(store))
    found = store.count(where)
    st.caption(f"{found:,} faces and photos without a face")
    count = pages(found, PAGE_SIZE)
    number = st.pagination(count, key="library_page") if count > 1 else 1
    with st.grid(min_column_width=150):
        for row in store.page(where, min(number, count) - 1, PAGE_SIZE):
            with st.container(border=True):
                _card(store, row)


def _choices(store: PhotoStore) -> Choices:
    with st.container(horizontal=True):
        answers = {task: tuple(st.multiselect(task, known, width=240)) for task, known in store.answers.items() if known}
        faces = st.segmented_control("Face found", ["any", "yes", "no"], default="any", required=True)
        confidence = st.slider("Confidence at least", 0.0, 1.0, 0.0, 0.05, width=240)
    condition = st.text_input("Condition", placeholder="emotion = 'smile' and score > 0.99", max_chars=2000)
    return Choices(answers, confidence, faces or "any", condition)


def _card(store: PhotoStore, row: dict[str, Any]) -> None:
    file = store.file(row)
    box = None if row["box"] is None else tuple(row["box"])
    picture = None if file is None else _picture(file, file.stat().st_mtime_ns, box)
    if picture is None:
        st.caption("the photo is no longer there, or cannot be read")
    else:
        st.image(picture, width="stretch", alt=str(row["path"]))
    st.text(store.headline(row))
    st.caption(plain(row["path"]))


@st.cache_resource(max_entries=500, show_spinner=False)
def _picture(file: Path, changed: int, box: tuple[float, ...] | None) -> bytes | None:
    return face_picture(file, box)
