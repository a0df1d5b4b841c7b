"""What happens to images that cannot be used: `on_bad_image: fail | skip`."""

from __future__ import annotations

from pathlib import Path

from sagan.data.originals import warn
from sagan.errors import UserError
from sagan.records import Json

Refused = tuple[str, str]

LIST = "bad-images.txt"
_SHOWN = 100


def settle(refused: list[Refused], total: int, policy: str, work: Path) -> Json:
    """What the manifest says of refused images; under `skip` a warning names the first.

    All of them are listed in `bad-images.txt` in the dataset's folder, which `work` lies in.

    Raises:
        UserError: the policy is `fail`, and there are some; or every image is refused.
    """
    path = work.parent / LIST
    path.unlink(missing_ok=True)
    if not refused:
        return {"count": 0, "first": []}
    path.write_text("".join(f"{name}: {reason}\n" for name, reason in refused), encoding="utf-8")
    name, reason = refused[0]
    what = f"{len(refused):,} of {total:,} images cannot be used (all in {path}), first {name}: {reason}"
    if len(refused) == total:
        raise UserError(what)
    if policy == "fail":
        raise UserError(f"{what}; mend them, or set on_bad_image: skip to leave them out")
    warn(f"left out: {what}")
    return {"count": len(refused), "first": [list(entry) for entry in refused[:_SHOWN]]}
