"""What the interventions and sweeps are called, on the page and in the console."""

CHANGES = {
    "context_of_another": "context of another sample",
    "context_of_same_class": "context of the same class",
    "context_of_other_class": "context of another class",
    "context_blank": "context blank",
    "face_blank": "face blank",
}
EXPLAINED = {
    "context_of_another": "each face stands in the scene of a random other sample",
    "context_of_same_class": "the scene of a random other sample with the same annotation",
    "context_of_other_class": "the scene of a random sample with another annotation",
    "context_blank": "black but for the face, which only the gate sees",
    "face_blank": "a black crop, and a photo in which the face is masked",
}
SWEEPS = {
    "face_cover": ("Face covered", "share of the face's box that is covered"),
    "face_blur": ("Face blurred", "sigma of the blur as a share of the box's side"),
    "misleading_context": ("Misleading context", "share of a scene of another class in the mix"),
}
REGIONS = {"mask": "the mask itself", "around": "around the mask", "elsewhere": "elsewhere"}
CONTROLS = {"permuted": "gates of other samples", "mean": "the mean gates for all", "sum": "sum of the branches' logits"}
