"""What code a result depends on, as a hash over the definitions that it uses.

A result names where its arithmetic begins. From there the hash follows every name to the function, class or constant
that it stands for, and takes in that definition's syntax tree. So a key moves when something that the result uses is
edited, and never because a module was moved, a message reworded or an ingredient added that it does not have.
`docs/keys.md` says the same with examples.

How definitions are found and written as text: `sagan.code.definitions`. Pure Python: planning must not wait for torch.
"""

import ast
import hashlib
from collections.abc import Collection
from functools import cache
from pathlib import Path

from sagan.code.definitions import CodeBase, Definition, code_base
from sagan.code.extensions import Sources

PACKAGE = Path(__file__).parent.parent

# Annotates a module's dictionary of ingredients: of such a table a result depends on the entries that it uses, which
# are those whose key is among its tokens (every name and text of its configuration that is not off).
Table = dict

# Where the arithmetic of each kind of result begins.
RUN = ("sagan.training.engine:Session", "sagan.data.prepared:class_labels", "sagan.data.prepared:PreparedDataset")
REFERENCE = (
    *(f"sagan.metrics.reference:{name}" for name in ("measure_real", "as_if_generated", "TRAINED")),
    *("sagan.metrics.extractors:Extractor", "sagan.metrics.features:features_of_images"),
    "sagan.data.prepared:PreparedDataset",
)
EVALUATION = ("sagan.metrics.figures:Figures", "sagan.metrics.figures:collapse")

# Definitions that no byte of a result depends on, though its making runs through them: the hash does not follow them.
# They carry work out, write it down or tell of it. tests/plan/test_keys.py alters their arithmetic to show it.
# Each is (module, name): a user's own definition of such a name counts like any other.
_HARMLESS = {
    # checks of input, and how mistakes are told
    "params.run": "RunConfig",
    "errors": "UserError first_line",
    # how work is carried out
    "progress": "progress",
    "store.locks": "exclusive",
    "store.paths": "Paths",
    "training.devices": "device_for",
    "training.graphs": "GraphedStep cuda_capture",
    "training.processes": "Processes ALONE joined",
    "metrics.parts": "FeatureParts in_memory",
    # a loaded network is the one that was saved (tests/generators/test_sampling.py); its code is in its run's key
    "nn.files": "load_generator load_discriminator",
    # files
    "store.records": "read_json write_json file_digest",
    "store.tensors": "save_tensors",
    "data.prepared": "load",
    "code.extensions": "load_extension",
    "metrics.reference": "make_reference reference_record load_reference",
    "metrics.evaluate": "evaluate evaluation_record measurable_run",
    # what is told of a result
    "training.provenance": "provenance",
}
HARMLESS = frozenset((f"sagan.{module}", name) for module, names in _HARMLESS.items() for name in names.split())


def code_of(*places: str, tokens: Collection[str | int] = (), package: Path = PACKAGE) -> str:
    """sha256 (hex) of all definitions that `places` ("module:definition") use; of tables the entries of `tokens` count.

    A `LookupError` where a place, or a name that it uses, is not in the package.
    """
    return _code(places, frozenset(tokens), code_base(package))


def extension_code(sources: Sources, package: Path = PACKAGE, tokens: Collection[str | int] = ()) -> str:
    """sha256 (hex) of own code: all that its file and the modules beside it define, with what they use of the package.

    Of the package's tables the entries of `tokens` count, and those that the files name. A `LookupError` where it uses
    a name of the package that is not there.
    """
    files = {sources.file.stem: sources.main} | sources.beside
    base = CodeBase(package, files)
    for name in files:  # statements that bind no name belong to every definition of their file: to one at least
        base.module(name).define("-", ast.Pass())
    places = tuple(f"{name}:{of}" for name in files for of in base.module(name).definitions)
    nodes = (node for content in files.values() for node in ast.walk(ast.parse(content)))
    named = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str | int)}
    return _code(places, frozenset({*tokens, *named}), base)


@cache
def _code(places: tuple[str, ...], tokens: frozenset[str | int], base: CodeBase) -> str:
    lines = set()
    for found in _closure(places, tokens, base):
        # Of a harmless one that is named nothing counts but its name; others are told apart by their text.
        owns = ((u.name, u.name if u.place in HARMLESS else u.own_digest(tokens)) for u in found.read(tokens)[1])
        names = sorted(f"{name}@{own}" for name, own in owns)
        lines.add(f"{found.name}@{found.own_digest(tokens)} {' '.join(names)}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _closure(places: tuple[str, ...], tokens: frozenset[str | int], base: CodeBase) -> set[Definition]:
    todo = [base.definition(*place.split(":")) for place in places]
    found: set[Definition] = set()
    while todo:
        definition = todo.pop()
        if definition in found or definition.place in HARMLESS:
            continue
        found.add(definition)
        todo += definition.read(tokens)[1]
    return found
