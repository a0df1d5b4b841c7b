"""What of a key is not in params.yaml: the code that a result uses, and the names that results have on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagan.code import fingerprint
from sagan.code.extensions import Sources, check_extension
from sagan.errors import UserError, first_line
from sagan.params.run import RunConfig
from sagan.store.paths import Paths
from sagan.store.records import digest

_RUN_KEY = re.compile(r".+-(s\d+-[0-9a-f]{10})")


def names_on_disk(paths: Paths) -> Iterator[tuple[str, str]]:
    """Of results that are there: what identifies the run, and its key. The last one counts: finished, if any is."""
    for evaluation in sorted(paths.evaluation("-").parent.glob("*.*")):
        if found := _RUN_KEY.fullmatch(evaluation.name.rpartition(".")[0]):
            yield found[1], found[0]
    for run in sorted(paths.run("-").parent.glob("*-s*"), key=lambda run: ((run / "run.json").exists(), run)):
        if found := _RUN_KEY.fullmatch(run.name):
            yield found[1], found[0]


def run_code(config: RunConfig, paths: Paths, place: str) -> tuple[str, Sources | None]:
    """The hash of the code that a run uses, its own file among it.

    Args:
        place: where params.yaml names that file.

    Returns:
        With the file as it was read.

    Raises:
        UserError: there is something wrong with that file.
    """
    extension = config.variant.extension
    code = fingerprint.code_of(*fingerprint.RUN, tokens=config.tokens())
    if extension is None:
        return code, None
    file = paths.root / extension.file
    sources, defined = check_extension(file, place)
    networks = defined & {"build_generator", "build_discriminator"}
    if networks and config.variant.condition is not None:
        raise UserError(f"{place} = {extension.file!r}: own networks are not told of classes; say condition: null")
    if "build_discriminator" in networks and config.variant.regularisers.feature_matching:
        problem = "of an own discriminator the features before its head are not known; say feature_matching: 0"
        raise UserError(f"{place} = {extension.file!r}: {problem}")
    try:
        own = fingerprint.extension_code(sources)
    except LookupError as error:
        raise UserError(f"{place} = {extension.file!r}: {first_line(error)}") from None
    return digest([code, own]), sources
