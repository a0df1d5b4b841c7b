"""Does the discriminator learn the training images by heart? Its scores of them, beside those of held-out images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def score_gaps(log: Iterable[tuple[int, Mapping[str, float | None]]]) -> list[tuple[int, float]]:
    """(step, mean logit of training images minus that of held-out ones) over a run's training, in the log's order.

    Near 0 where the discriminator tells real from generated; it grows where it tells training images from others
    (Brock et al. 2019, section 4.2; Karras et al. 2020, figure 1).

    Args:
        log: each line's step and scalars. Lines without both scores, which only snapshots have, and scores that were
            not finite (None) give no point.
    """
    scores = ((step, line.get("score_train"), line.get("score_held_out")) for step, line in log)
    return [(step, train - held_out) for step, train, held_out in scores if train is not None and held_out is not None]
