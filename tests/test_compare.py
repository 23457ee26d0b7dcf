"""The referee: anybody's files are checked against a protocol, line by line, before a single score is computed."""

import csv
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_predictions import made_predictions

from caer.commands.compare import run as compare
from caer.comparison.protocol import read_protocol
from caer.comparison.referee import parse_entries, referee
from caer.comparison.study import find
from caer.evaluation.predictions import write_predictions
from preprocessing.errors import UserError
from preprocessing.manifest import write_manifest

CLASSES = ["angry", "sad", "smile"]
LABELS = ["sad", "smile", "angry", "smile", "sad", "smile", "angry", "sad"]


def manifest_row(number: int, split: str, label: str | None, status: str = "ok", group: str = "") -> dict:
    sample = f"{split}{number:02d}"
    row = {"sample_id": sample, "source": "made", "image": f"{sample}.jpg", "split": split, "group": group, "rank": 0}
    return {**row, "n_faces": 1, "status": status, "label_emotion": label, "label_age": 31.0}


@pytest.fixture
def protocol(tmp_path):
    """A manifest: eight labelled rows of test, one unlabelled, one rejected, two of train; ages are no classes."""
    rows = [manifest_row(i, "test", label) for i, label in enumerate(LABELS)]
    rows += [manifest_row(8, "test", None), manifest_row(9, "test", "sad", "rejected")]
    rows += [manifest_row(i, "train", "sad") for i in range(2)]
    write_manifest(tmp_path, [rows], {"emotion": "string", "age": "double"}, {})
    return tmp_path / "manifest.parquet"


def answer(wrong: int = 0, confidence: float = 0.8) -> pd.DataFrame:
    """A file's content, in another order than the protocol's; the first `wrong` answers are not right."""
    chosen = [CLASSES[(CLASSES.index(label) + (i < wrong)) % 3] for i, label in enumerate(LABELS)]
    rest = (1 - confidence) / 2
    columns = {f"prob_{name}": [confidence if c == name else rest for c in chosen] for name in CLASSES}
    return pd.DataFrame({"sample_id": [f"test{i:02d}" for i in range(8)], "target": LABELS, **columns}).iloc[::-1]


def write(folder, name: str, table: pd.DataFrame):
    path = folder / name
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path


def judged(protocol, *files):
    return referee(parse_entries([str(file) for file in files]), read_protocol(protocol), "test")


def test_two_files_are_aligned_and_compared(tmp_path, protocol):
    study = judged(protocol, write(tmp_path, "a.csv", answer()), write(tmp_path, "b.parquet", answer(wrong=4)))
    findings = find(study)
    assert study.answers["emotion"].classes == CLASSES
    assert [findings.scores["emotion"][name].mean["accuracy"] for name in "ab"] == [1.0, 0.5]
    (contrast,) = findings.contrasts
    assert contrast.differences["accuracy"].value == 0.5
    assert contrast.p == contrast.holm == pytest.approx(2 / 2**4)  # four rows differ, all to one side
    assert contrast.mcnemar[1] == pytest.approx(2 / 2**4)


def test_classes_without_probabilities_are_refereed_too(tmp_path, protocol):
    bare = pd.DataFrame({"image": [f"test{i:02d}.jpg" for i in range(8)], "predicted": ["sad"] * 8})
    study = judged(protocol, write(tmp_path, "a.csv", answer()), write(tmp_path, "bare.csv", bare))
    scored = find(study).scores["emotion"]["bare"]
    assert scored.mean["accuracy"] == pytest.approx(3 / 8)
    assert np.isnan(scored.mean["nll"])


def test_our_own_predictions_are_read_by_the_names_of_their_classes(tmp_path, protocol):
    order = ["smile", "sad", "angry"]  # not the alphabetical order of the manifest
    targets = [order.index(label) for label in LABELS]
    own = made_predictions(targets, [targets[0], *[0] * 7], classes=order)
    rows = own.rows.assign(sample_id=[f"test{i:02d}" for i in range(8)])
    write_predictions(replace(own, rows=rows), tmp_path / "own.parquet")
    study = judged(protocol, tmp_path / "own.parquet", write(tmp_path, "a.csv", answer()))
    assert find(study).scores["emotion"]["own"].mean["accuracy"] == pytest.approx((3 + 1) / 8)


def test_seeds_are_grouped_by_name(tmp_path, protocol):
    paths = [write(tmp_path, f"a{wrong}.csv", answer(wrong=wrong)) for wrong in (0, 2, 4)]
    entries = [f"A={paths[0]},{paths[1]}", f"B={paths[2]}"]
    findings = find(referee(parse_entries(entries), read_protocol(protocol), "test"))
    assert findings.scores["emotion"]["A"].mean["accuracy"] == pytest.approx(0.875)
    assert (findings.contrasts[0].seeds, findings.contrasts[0].left_out) == ([1], [2])


def column(name: str, value, at: int = 0):
    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = table[name].astype(object).tolist()
        values[at] = value
        return table.assign(**{name: values})

    return change


WRONG = {
    r"1 rows of the protocol are missing; the first: test07": lambda t: t.iloc[1:],
    r"1 rows stand more than once in sample_id; the first: test00": lambda t: pd.concat([t, t.iloc[-1:]]),
    r"1 rows are not in the protocol's split \(the first is of split train\); the first: train00": column("sample_id", "train00"),
    r"1 rows are not in the protocol's split \(the first is unknown to it\); the first: x": column("sample_id", "x"),
    r"not in the protocol's split .*; the first: test09": column("sample_id", "test09"),
    r"1 rows have another target; the first: test07 is given 'smile', expected 'sad'": column("target", "smile"),
    r"1 rows have probabilities that do not sum up to 1 .*0\.9": column("prob_sad", 0.9),
    r"1 rows have probabilities that is no finite number": column("prob_sad", "nan"),
    r"1 rows have probabilities below 0 or above 1": column("prob_sad", -0.2),
    r"probabilities of the classes angry, happy, sad; expected angry, sad, smile": lambda t: t.rename(
        columns={"prob_smile": "prob_happy"}
    ),
    r"no answers; expected columns prob_angry, prob_sad, prob_smile, or predicted": lambda t: t[["sample_id", "target"]],
    r"have a predicted that is no class of angry, sad, smile; the first: happy": lambda t: t[["sample_id"]].assign(
        predicted="happy"
    ),
    r"no column sample_id \(or image\); found target": lambda t: t.drop(columns="sample_id"),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, protocol, message):
    good, bad = write(tmp_path, "good.csv", answer()), write(tmp_path, "bad.csv", WRONG[message](answer()))
    with pytest.raises(UserError, match=message) as raised:
        judged(protocol, good, bad)
    assert str(raised.value).startswith(str(bad))
    assert "\n" not in str(raised.value)


def test_wrong_arguments_and_files(tmp_path, protocol):
    good = write(tmp_path, "good.csv", answer())
    cases = {
        "at least two": [str(good)],
        "stands twice": [str(good), str(good)],
        "expected a file, or NAME=FILE": ["A=", str(good)],
    }
    for message, given in cases.items():
        with pytest.raises(UserError, match=message):
            parse_entries(given)
    (tmp_path / "noise.parquet").write_bytes(b"noise")
    (tmp_path / "noise.txt").write_bytes(b"noise")
    for message, path in {
        "no such file": tmp_path / "absent.csv",
        "cannot be read as a table": tmp_path / "noise.parquet",
        "ends in .csv or .parquet": tmp_path / "noise.txt",
    }.items():
        with pytest.raises(UserError, match=message):
            judged(protocol, good, path)
    entries = parse_entries([str(good), f"B={good}"])
    with pytest.raises(UserError, match=r"no row of split 'val' is labelled for emotion; expected a split of test \(9\), train"):
        referee(entries, read_protocol(protocol), "val")
    with pytest.raises(UserError, match=r"unknown task .* 'age'; known: emotion"):
        referee(entries, read_protocol(protocol), "test", "age")


def test_the_command_leaves_a_report_or_nothing(tmp_path, protocol, capsys):
    good, other = write(tmp_path, "good.csv", answer()), write(tmp_path, "other.csv", answer(wrong=2))
    out = tmp_path / "report"
    with pytest.raises(UserError):
        compare([str(good), str(write(tmp_path, "bad.csv", answer().iloc[1:]))], protocol, out=out)
    assert not out.exists()
    compare([str(good), str(other)], protocol, out=out)
    said = capsys.readouterr().out
    assert "good: emotion accuracy 100.0" in said
    assert re.search(r"good against other: accuracy \+25\.0 \[.*\] points, p 0\.500, with Holm 0\.500", said)
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.md", "results.csv"]
    rows = list(csv.DictReader((out / "results.csv").open()))
    assert [float(row["accuracy"]) for row in rows] == [1.0, 0.75]
    assert "Comparison of prediction files" in (out / "report.html").read_text()
