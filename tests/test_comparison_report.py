"""The report of a comparison: complete, escaped, self-contained, and with the very numbers of results.csv."""

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from made_study import made_history, made_study
from page_reader import HOSTILE, Reader

from caer.comparison.contrasts import Pair
from caer.comparison.study import Claim, find
from caer.report.comparison import claims, curves, head, marks
from caer.report.comparison.markdown import report_markdown
from caer.report.comparison.page import study_page, write_study
from caer.report.comparison.results import results_csv
from preprocessing.errors import UserError


@pytest.fixture(scope="module")
def study():
    return made_study(5)


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    """The findings and the folder with the three files."""
    folder = tmp_path_factory.mktemp("report")
    return write_study(study, folder), folder


@pytest.fixture(scope="module")
def page(written):
    return (written[1] / "report.html").read_text()


def rows_of(folder) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "results.csv").read_text())))


def test_the_page_is_well_formed_and_needs_nothing_from_outside(page):
    reader = Reader(page)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in reader.tags}
    assert all(a["src"].startswith("data:image/png") and a["alt"] for tag, a in reader.tags if tag == "img")
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r'src="data:[^"]*"', "", page))


def test_the_page_shows_the_numbers_of_results_csv(study, written, page):
    rows = rows_of(written[1])
    assert len(rows) == 4 * 5
    words = " ".join(Reader(page).words)
    for variant, label in study.labels.items():
        own = [row for row in rows if row["variant"] == variant]
        for name in ("accuracy", "macro_f1", "balanced_accuracy", "ece"):
            values = np.array([float(row[name]) for row in own])
            assert f"{100 * values.mean():.1f}" in words, (label, name)
            assert f"± {100 * values.std(ddof=1):.1f}" in words, (label, name)
            assert all(f"{100 * value:.1f}" in words for value in values)
        assert all(row["run"] in words for row in own)


def test_results_csv_says_where_each_number_is_from(written):
    row = rows_of(written[1])[-1]
    assert (row["variant"], row["label"], row["seed"], row["task"], row["split"]) == ("gating", "gated", "21", "emotion", "test")
    assert (row["protocol_hash"], row["commit"], row["weights_sha256"]) == ("p" * 64, "c" * 40, "w" * 64)
    assert (row["rows"], row["groups"], row["epochs"], row["shared_stages"]) == ("240", "120", "24", "1 2")
    assert float(row["temperature"]) == 1.3


def test_claims_stand_on_top_with_verdict_margin_and_data(written, page):
    findings, _ = written
    assert [str(verdict) for verdict in findings.verdicts] == ["supported", "contradicted", "contradicted"]
    words = " ".join(Reader(page).words)
    assert words.index("Context adds to the face") < words.index("Mean ± SD over seeds")
    for said in ("Claim 2 of the article", "made for V4-like", "judged here on drawn scenes", "margin: more than 2.0 points"):
        assert said in words
    assert "90% interval; margin: within ±1.0 points" in words
    assert "screening" not in page.split("</style>")[1].lower()


def test_contrasts_show_p_holm_and_what_could_be_detected(written, page):
    words = " ".join(Reader(page).words)
    for contrast in written[0].contrasts:
        assert marks.gap_text(contrast.differences["accuracy"]).split()[0] in words
        assert f"{100 * contrast.smallest_detectable:.1f}" in words
        assert marks.p_text(contrast.holm) in words
    assert all(contrast.holm >= contrast.p for contrast in written[0].contrasts)


def test_markdown_has_the_same_tables(study, written):
    text = (written[1] / "report.md").read_text()
    gated = written[0].scores["emotion"]["gating"]
    accuracy, interval = marks.mean_text(gated.mean["accuracy"], gated.sd["accuracy"]), gated.intervals["accuracy"]
    assert f"| gated | 5 | {accuracy} [{100 * interval.low:.1f}, {100 * interval.high:.1f}] |" in text
    assert "| Context adds to the face (Claim 2 of the article · made for V4-like" in text
    assert "**supported**" in text
    assert "gate against face: gated − face only, emotion" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def test_hostile_names_stay_text_everywhere():
    study = made_study(
        {"face": 1, "gating": 1},
        labels={"face": HOSTILE, "gating": "a|b$x$"},
        classes=[HOSTILE, "sad", "an*gry"],
        rows=60,
        name=HOSTILE,
        data=HOSTILE,
        claims=[Claim(HOSTILE, Pair("", "gating", "face", "emotion"), made_for=HOSTILE)],
        pairs=[Pair(HOSTILE, "gating", "face", "emotion")],
        failures={("face", 3): HOSTILE},
        provenance=[(HOSTILE, HOSTILE)],
        config={HOSTILE: HOSTILE},
    )
    findings = find(study)
    reader = Reader(study_page(study, findings))
    assert not any(attributes.get("src") == "x" for _, attributes in reader.tags)
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    assert any(HOSTILE in words for words in reader.words)
    text = report_markdown(study, findings)
    assert not re.search(r"(?<!\\)<", text)
    assert "a\\|b" in text
    assert next(csv.DictReader(io.StringIO(results_csv(study, findings))))["label"] == HOSTILE


def test_few_seeds_and_unequal_seeds_and_failures_are_said():
    study = made_study({"face": 3, "context": 2, "gating": 3}, rows=60, failures={("context", 19): "out of memory"})
    said = " ".join(head.warnings(study))
    assert "Screening: some variants have only 2 seeds" in said
    assert "context only: 17, 18" in said
    assert "A run has failed" in said
    findings = find(study)
    assert findings.verdicts[1].seeds == [17, 18]
    assert str(findings.verdicts[0]).endswith("(screening)")


def test_a_variant_without_runs_leaves_its_claims_unjudged():
    study = made_study({"face": 2, "context": 0, "gating": 2}, rows=60)
    findings = find(study)
    assert findings.verdicts[1] == "context only has no finished run"
    assert findings.unjudged == {"fusions": "adaptive fusion has no finished run"}
    card = claims.claims_section(study, findings)
    assert "not judged" in card
    assert "context only has no finished run" in card
    assert "1<span" in head.header(study, findings)
    with pytest.raises(UserError, match="unknown variant 'sum'; known: adaptive, context, face"):
        find(replace(study, pairs=[Pair("x", "sum", "face", "emotion")]))


def test_equal_time_is_measured_not_assumed():
    pair = Pair("", "gating", "adaptive", "emotion")
    claim = Claim("SAM", pair, compare="equal_time")
    assert claims.fairness(claim, (12, 600.0), (24, 580.0)) == "time 1.03 : 1"
    assert claims.fairness(claim, (12, 900.0), (24, 600.0)) == "time 1.50 : 1, not equal"
    assert claims.fairness(replace(claim, compare="equal_epochs"), (12, 900.0), (24, 600.0)) == "epochs 0.50 : 1, not equal"
    assert claims.fairness(claim, (12, None), (24, 600.0)) == "not known"


def test_spent_is_the_mean_over_the_common_seeds(study):
    epochs, seconds = claims.spent(study, "gating", [17, 18])
    assert (epochs, seconds) == (24, 24 * 62.0)
    assert "epochs 0.33 : 1, not equal" in claims.cost_section(study, find(replace(study, pairs=[], gates={})))


def test_variants_that_share_a_stage_share_its_line(study):
    shared = [(variants, len(histories)) for variants, histories in curves.by_history(study, 1)]
    assert shared == [(["face", "adaptive", "gating"], 5)]
    other = {17: replace(study.runs["gating"][17], curves={1: made_history(99, 3, 10.0, 0.5)})}
    apart = replace(study, runs={**study.runs, "gating": other})
    assert [variants for variants, _ in curves.by_history(apart, 1)] == [["face", "adaptive"], ["gating"]]
    assert curves.curves_section(replace(study, runs={"face": {17: replace(study.runs["face"][17], curves={})}})) == ""


def test_numbers_as_written():
    assert [marks.count(n) for n in (2_390_028, 812_000, 27_500_000, 950, 1_234_000_000)] == [
        "2.39 M",
        "812 k",
        "27.5 M",
        "950",
        "1,234 M",
    ]
    assert marks.mean_text(0.7816, 0.0123) == "78.2 ± 1.2"
    assert marks.mean_text(0.7816, float("nan")) == "78.2"
    assert marks.mean_text(float("nan"), float("nan")) == "–"
    assert (marks.signed(-0.0451, "nll"), marks.signed(0.0, "nll"), marks.signed(-0.0451)) == ("−0.045", "0.000", "−4.5")
    assert (marks.p_text(0.0004), marks.p_text(0.0123)) == ("< 0.001", "0.012")
