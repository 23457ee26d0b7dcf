"""Tab *Predict*: a photo in, boxes, bars, gates and attention out, and what would be said with a part of it hidden."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from caer.predict import FacePrediction, Predictor
from caer.predict.annotate import mark
from caer.report.galleries import overlay
from caer.tasks import Task
from caer.web.cards import CSS, answer_card
from caer.web.fetch import fetch
from caer.web.run_list import Stamps, find_stages
from caer.web.served import Served
from caer.web.upload import MAX_BYTES, read_upload
from caer.web.what_if import Imagined, Way, what_if
from caer.web.wording import plain
from preprocessing.errors import UserError


@dataclass(frozen=True)
class Answer:
    """A photo with everything the tab shows of it."""

    image: np.ndarray
    faces: list[FacePrediction]
    imagined: dict[int, dict[Way, Imagined]]
    tasks: dict[str, Task]
    calibrated: bool


def show(served: Served) -> None:
    """Draw the tab."""
    stages = [stage for stage in find_stages(served.runs) if stage.finished]
    if not stages:
        st.info(f"There is no finished run in {plain(served.runs)}; train one, for example with `bash scripts/quickstart.sh`.")
        return
    by_name = {stage.name: stage for stage in stages}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Run", list(by_name), index=len(by_name) - 1, width=320)
        hiding = st.toggle("What if a part were hidden", value=True)
    try:
        content = _photo(served)
        if content is None:
            return
        stage = by_name[name]
        answer = _answer(stage.folder, stage.stamps, content)
    except UserError as error:
        st.error(plain(error))
        return
    _show(answer, hiding)


def _photo(served: Served) -> bytes | None:
    """The bytes of the photo that the user gives; None before."""
    upload = st.file_uploader(f"Photo, at most {MAX_BYTES // 2**20} MB", max_upload_size=MAX_BYTES // 2**20)
    if upload is not None:
        return upload.getvalue()
    if not served.allow_urls:
        return None
    url = st.text_input("or its public address", placeholder="https://example.org/photo.jpg", max_chars=2048)
    return _fetched(url) if url else None


@st.cache_resource(max_entries=4, ttl=600, show_spinner="Fetching the photo")
def _fetched(url: str) -> bytes:
    return fetch(url)


@st.cache_resource(max_entries=2, show_spinner="Loading the run")
def _predictor(folder: Path, stamps: Stamps) -> Predictor:
    return Predictor(folder)


@st.cache_resource(max_entries=8, show_spinner="Looking at the photo")
def _answer(folder: Path, stamps: Stamps, content: bytes) -> Answer:
    image = read_upload(content)
    predictor = _predictor(folder, stamps)
    faces, imagined = predictor.predict(image), what_if(predictor, image)
    return Answer(image, faces, imagined, predictor.tasks, bool(predictor.temperatures))


def _show(answer: Answer, hiding: bool) -> None:
    st.html(CSS)
    photo, cards = st.columns([3, 2])
    with photo:
        st.image(np.asarray(mark(answer.image, answer.faces)[0]), width="stretch", alt="photo with numbered boxes")
    with cards:
        for face in answer.faces:
            imagined = answer.imagined.get(face.rank) if hiding else None
            with st.container(border=True):
                st.html(answer_card(face, answer.tasks, imagined))
                if face.attention is not None:
                    with st.expander("Where the context branch looks"):
                        st.image(overlay(answer.image, face.attention), width="stretch", alt="attention over the photo")
    if not answer.calibrated:
        st.caption("Probabilities are as trained: `python -m caer evaluate RUN` on val lets them be calibrated.")
