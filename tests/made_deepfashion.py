"""DeepFashion's folder as published, coarse and fine annotations, with drawn photos."""

import cv2
import numpy as np


def image(i):
    """Path of a photo: two of one product, then two of the other, and so on."""
    return f"img/{('Sheer_Blouse', 'Maxi_Dress')[i // 2 % 2]}/img_{i // 4 * 2 + i % 2 + 1:08d}.jpg"


IMAGES = [image(i) for i in range(4)]
COARSE_TAGS = [("a-line", 3), ("abstract chevron print", 1), ("floral", 1), ("chiffon", 2), ("boho", 5), ("collar", 4)]
FINE_TYPES = [
    ["floral", "graphic", "striped", "embroidered", "pleated", "solid", "lattice"],
    ["long_sleeve", "short_sleeve", "sleeveless"],
    ["maxi_length", "mini_length", "no_dress"],
    ["crew_neckline", "v_neckline", "square_neckline", "no_neckline"],
    ["denim", "chiffon", "cotton", "leather", "faux", "knit"],
    ["tight", "loose", "conventional"],
]
"""All tags of the fine annotations by type, in their order; a photo has one of each type."""
STATES = [[1, -1, 1, -1, 1, 0], [-1, 1, 1, 1, -1, -1], [1, -1, -1, -1, -1, 1], [-1, -1, -1, 1, -1, -1]]
BOXES = ["072 079 232 273", "067 059 155 161", "065 065 156 200", "051 062 167 182"]
CATEGORIES = [1, 1, 3, 2]


def lists(path, header, entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{left:<70} {right}" for left, right in entries]
    path.write_text("\n".join([str(len(entries)), header, *lines]) + "\n")


def tree(root, folder="Anno_coarse", photos="img"):
    """The set's folder: the coarse annotations with `Eval/`, and drawn photos."""
    anno = root / folder
    names(anno, COARSE_TAGS)
    lists(anno / "list_category_img.txt", "image_name  category_label", list(zip(IMAGES, CATEGORIES, strict=True)))
    cells = ["  ".join(f"{value:2d}" for value in row) for row in STATES]
    lists(anno / "list_attr_img.txt", "image_name  attribute_labels", list(zip(IMAGES, cells, strict=True)))
    lists(anno / "list_bbox.txt", "image_name  x_1  y_1  x_2  y_2", list(zip(IMAGES, BOXES, strict=True)))
    parts = ["train", "val", "train", "test"]
    lists(root / "Eval/list_eval_partition.txt", "image_name  evaluation_status", list(zip(IMAGES, parts, strict=True)))
    return draw(root, photos, IMAGES)


def fine_tree(root, train=2, val=1, test=1):
    """The same with the fine annotations: files of each split that go line by line with its list of photos."""
    anno = root / "Anno_fine"
    names(anno, [(tag, kind) for kind, tags in enumerate(FINE_TYPES, 1) for tag in tags])
    first = 0
    for split, count in (("train", train), ("val", val), ("test", test)):
        part = range(first, first + count)
        first += count
        columns = {
            "": [image(i) for i in part],
            "_cate": [CATEGORIES[i % 4] for i in part],
            "_attr": [" ".join(str(int(tags[i % len(tags)] == tag)) for tags in FINE_TYPES for tag in tags) for i in part],
            "_bbox": [BOXES[i % 4] for i in part],
        }
        for end, values in columns.items():
            (anno / f"{split}{end}.txt").write_text("\n".join(map(str, values)) + "\n")
    return draw(root, "img", [image(i) for i in range(first)])


def names(anno, tags):
    lists(anno / "list_category_cloth.txt", "category_name  category_type", [("Blouse", 1), ("Jeans", 2), ("Dress", 3)])
    lists(anno / "list_attr_cloth.txt", "attribute_name  attribute_type", tags)


def draw(root, photos, images):
    for name in images:
        path = root / photos.removesuffix("img") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((300, 240, 3), 90, np.uint8))
    return root
