"""`audit.html`: the findings with the photos that they are about. It holds its pictures and stays where the data are.

Enters: the content of `audit.json`, the manifest, suspected labels. Leaves: one HTML document.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import pandas as pd

from caer.audit.findings import Json
from caer.audit.pictures import Pictures
from caer.engine.provenance import machine_text
from caer.report import html
from preprocessing.images import decode_jpeg, encode_jpeg

SHOWN = 60
"""Cards of a section."""
IN_CARD = 6
"""Photos of a cluster's card."""
_SIDE, _QUALITY = 168, 80


def audit_page(findings: Json, pictures: Pictures, suspected: pd.DataFrame | None) -> str:
    """The document.

    Args:
        findings: content of `audit.json`.
        pictures: the manifest.
        suspected: table of `caer.audit.labels.suspects`.
    """
    photos = _Photos(pictures)
    leaks = [cluster for cluster in findings["clusters"] if cluster["straddles"]]
    disputed = [cluster for cluster in findings["clusters"] if cluster["contradicts"] and not cluster["straddles"]]
    name = findings["source"].get("name") or findings["source"].get("type", "")
    return html.page(
        f"Audit of {name} {findings['manifest']}",
        html.paragraph("Audit of a manifest", "eyebrow"),
        f"<h1>{html.text(name)} {html.text(findings['manifest'])}</h1>",
        html.paragraph(_lead(findings), "lead"),
        html.tiles(_tiles(findings)),
        _counts(findings),
        photos.section("Clusters that straddle splits", "Photos of one cluster show the same; train sees what is tested.", leaks),
        photos.section("One picture, two labels", "Copies and near duplicates within a split, annotated differently.", disputed),
        "" if suspected is None else photos.suspects(suspected),
        html.section("Made by", html.definitions(_origin(findings))),
    )


def _lead(findings: Json) -> str:
    said = f"{findings['rows']:,} rows, {findings['photos']:,} photos, compared whole as they are stored. "
    thresholds = findings["thresholds"]
    return said + (
        f"Copies are equal pixel for pixel. Near duplicates differ in at most {thresholds['phash_bits']} of 64 bits of their "
        f"perceptual hash, mirrored or not, and their details agree by at least {thresholds['agreement']} in every part."
    )


def _tiles(findings: Json) -> Iterable[tuple[str, str, str]]:
    copies, near, groups = (findings[kind] for kind in ("copies", "near_duplicates", "groups"))
    yield "Leaks", f"{findings['leaks']:,}", "clusters and groups across splits"
    yield "Copies", f"{copies['repeats']:,}", f"{copies['clusters']:,} clusters, {copies['straddling']:,} across splits"
    yield "Near duplicates", f"{near['repeats']:,}", f"{near['clusters']:,} clusters, {near['straddling']:,} across splits"
    yield "Groups", f"{groups['groups']:,}", f"{groups['straddling']:,} across splits"


def _counts(findings: Json) -> str:
    """Rows of each class in each split."""
    parts = []
    splits = findings["splits"]
    tasks = next(iter(splits.values()))["labels"] if splits else {}
    for task in tasks:
        classes = sorted({name for facts in splits.values() for name in facts["labels"][task]})
        head = [html.text(task), *(html.text(split or "no split") for split in splits)]
        rows = [[html.text(c), *(f"{facts['labels'][task].get(c, 0):,}" for facts in splits.values())] for c in classes]
        parts.append(html.table(head, rows))
    return html.section("Labels by split", *parts)


def _origin(findings: Json) -> Iterable[tuple[str, object]]:
    made = findings["made_by"]
    yield "Rows", findings["row_hash"]
    yield "Commit", made["commit"] or "unknown"
    yield "Machine", machine_text(made["machine"])


class _Photos:
    """Draws cards with photos of a manifest."""

    def __init__(self, pictures: Pictures) -> None:
        self.folder: Path = pictures.manifest.folder
        rows = pictures.rows[pictures.rows["image_file"] != ""].drop_duplicates("sample_id")
        self.rows = rows.set_index("sample_id")

    def section(self, title: str, said: str, clusters: Sequence[Json]) -> str:
        if not clusters:
            return html.section(title, html.paragraph("There are none."))
        cards = "".join(self._cluster(cluster) for cluster in clusters[:SHOWN])
        count = f" The first {SHOWN} of {len(clusters):,}." if len(clusters) > SHOWN else f" {len(clusters):,} in all."
        return html.section(title, html.paragraph(said + count), f'<div class="gallery">{cards}</div>')

    def suspects(self, suspected: pd.DataFrame) -> str:
        there = suspected[suspected["sample_id"].isin(self.rows.index)]
        cards = "".join(self._suspect(line) for line in there.head(SHOWN).to_dict("records"))
        said = (
            f"{len(suspected):,} labels that out-of-sample predictions contradict, the most doubtful first; suspected, not "
            f"proven. All are in suspects.csv."
        )
        return html.section("Suspected labels", html.paragraph(said), f'<div class="gallery">{cards}</div>')

    def _cluster(self, cluster: Json) -> str:
        photos = cluster["photos"]
        labels = [
            [f"{k.removeprefix('label_')} {v}" for k, v in p.items() if k.startswith("label_") and isinstance(v, str)]
            for p in photos
        ]
        lines = [" · ".join([p["split"] or "no split", *said, p["image"]]) for p, said in zip(photos, labels, strict=True)]
        kind = "Copies" if cluster["kind"] == "copies" else "Near duplicates"
        more = [f"and {len(photos) - IN_CARD:,} more"] if len(photos) > IN_CARD else []
        return self._card([p["sample_id"] for p in photos[:IN_CARD]], [kind, *lines[:IN_CARD], *more])

    def _suspect(self, line: Json) -> str:
        said = f"{line['task']}: {line['given']}, perhaps {line['suggested']}"
        return self._card([line["sample_id"]], [said, f"score {line['score']:.3f}", self.rows.loc[line["sample_id"], "image"]])

    def _card(self, samples: Sequence[str], lines: Sequence[str]) -> str:
        shots = "".join(html.image(self._picture(sample), self.rows.loc[sample, "image"]) for sample in samples)
        body = "".join(html.paragraph(html.text(line), "fine" if i else "") for i, line in enumerate(lines))
        return f'<div class="sample"><div class="shots">{shots}</div>{body}</div>'

    def _picture(self, sample: str) -> bytes:
        pixels = decode_jpeg((self.folder / self.rows.loc[sample, "image_file"]).read_bytes())
        factor = _SIDE / max(pixels.shape[:2])
        size = [max(1, round(side * factor)) for side in (pixels.shape[1], pixels.shape[0])]
        return encode_jpeg(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), _QUALITY)
