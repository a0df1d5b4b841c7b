"""When a generator stopped making different images: read off the curve of a run."""

from __future__ import annotations

from sagan.store.records import Json

# The pixels' deviation over that of real images. On MNIST one image with a little noise has 0.03, an untrained
# generator 0.2 and more, images of one digit of the ten 0.5 to 0.9.
DIVERSITY_BELOW = 0.1
# Share of real images that generated ones reach. On MNIST, 1 to 30 images over and over with noise reach less than
# 0.001, images of one digit 0.1 to 0.2. Trainings that end well begin near 0 too, so it counts after 0.1 alone.
RECALL_BELOW, RECALL_ONCE = 0.01, 0.1


def collapse(curve: list[Json]) -> Json:
    """From which step on, to the end of the curve, the images had almost no variance or reached almost nothing real.

    Args:
        curve: points with "step", "diversity" and "recall", in order; a value is None where it is not known.

    Returns:
        "began" (a step, None where the last point is sound), "why" at that step, and the thresholds.
    """
    began, why, highest = None, None, 0.0
    for point in curve:
        found = _defect(point, highest)
        if found is None:
            began, why = None, None
        elif began is None:
            began, why = point["step"], found
        highest = max(highest, point["recall"] or 0.0)
    thresholds = {"diversity_below": DIVERSITY_BELOW, "recall_below": RECALL_BELOW, "recall_once": RECALL_ONCE}
    return {"began": began, "why": why, **thresholds}


def _defect(point: Json, highest_recall: float) -> str | None:
    if point["diversity"] is not None and point["diversity"] < DIVERSITY_BELOW:
        return "almost no variance"
    if point["recall"] is not None and point["recall"] < RECALL_BELOW and highest_recall >= RECALL_ONCE:
        return "recall near 0"
    return None
