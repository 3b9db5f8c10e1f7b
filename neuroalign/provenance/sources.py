"""What made a result: a digest of a stage's own sources, and the versions of the libraries.

The digest follows the imports of the package statically, so that the workflow can tell, without
importing anything heavy, which stages a change of the code concerns.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = "neuroalign"
ROOT = Path(__file__).parents[1]

# The settings reach a stage's digest by value, an error message is no result, and what wires the
# stages together would tie every stage to every other.
NOT_FOLLOWED = frozenset(
    f"{PACKAGE}.{name}" for name in ("settings.config", "settings.configfile", "errors", "cli", "stages")
)

LIBRARIES = (
    "neuroalign",
    "numpy",
    "scipy",
    "pandas",
    "xarray",
    "zarr",
    "h5netcdf",
    "nibabel",
    "nilearn",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "matplotlib",
    "snakemake",
)
"""The libraries whose versions are written beside results."""


def versions(libraries: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Installed versions by distribution name, without importing the libraries.

    Parameters
    ----------
    libraries : iterable of str
        Distribution names; those that are not installed are left out.

    Returns
    -------
    dict of str
    """
    found = {}
    for library in libraries:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def stage_digest(modules: Iterable[str], files: Iterable[str] = ()) -> str:
    """A short hash of some modules and of every module of the package that they import.

    Comments, docstrings and layout do not count: they cannot change a result.

    Parameters
    ----------
    modules : iterable of str
        Names such as ``neuroalign.alignment.evaluation.evaluate``.
    files : iterable of str
        Patterns of further files that the stage reads, relative to the package, such as
        ``report/templates/*``.

    Returns
    -------
    str
        Twelve hexadecimal digits.

    Raises
    ------
    ModuleNotFoundError
        A module named here is not part of the package.
    """
    digest = hashlib.sha256()
    for module in sorted(closure(modules)):
        digest.update(f"{module}\n{_essence(module)}\n".encode())
    for pattern in files:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\n" + path.read_bytes())
    return digest.hexdigest()[:12]


def closure(modules: Iterable[str]) -> set[str]:
    """The modules named and every module of the package that they import, at any depth.

    Parameters
    ----------
    modules : iterable of str

    Returns
    -------
    set of str
        Without package roots (``__init__``), without those in `NOT_FOLLOWED` and without what is in these.

    Raises
    ------
    ModuleNotFoundError
        A module named here is not part of the package.
    """
    waiting = list(modules)
    for module in waiting:
        if _source(module) is None:
            raise ModuleNotFoundError(f"{module}: no such module in {ROOT}", name=module)
    found: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in found or _source(module) is None or NOT_FOLLOWED & set(_with_parents(module)):
            continue
        found.add(module)
        waiting.extend(_imports(module))
    return found


def _with_parents(module: str) -> list[str]:
    """A module and the packages that it is in."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _source(module: str) -> Path | None:
    """The file of a module of this package; None for package roots and for anything else."""
    package, *parts = module.split(".")
    path = ROOT.joinpath(*parts).with_suffix(".py")
    inside = package == PACKAGE and parts and parts[-1] != "__init__"
    return path if inside and path.is_file() else None


@cache
def _tree(module: str) -> ast.Module:
    path = _source(module)
    assert path is not None
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def _essence(module: str) -> str:
    """The source without comments and docstrings, in one canonical layout."""
    tree = _tree(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules that may be imported anywhere in `module`, inside functions too; once for all stages."""
    return tuple(dict.fromkeys(_imported(module)))


def _imported(module: str) -> Iterator[str]:
    parents = module.split(".")[:-1]
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            for alias in node.names:
                name = f"{base}.{alias.name}"
                # A package that hands out a name itself may take it from any of its modules.
                yield from [name] if _is_module(name) else _modules_within(base)


def _is_module(name: str) -> bool:
    return _source(name) is not None or _folder(name) is not None


def _folder(package: str) -> Path | None:
    """The folder of a package below this one; None for this one and for anything else."""
    root, *parts = package.split(".")
    folder = ROOT.joinpath(*parts)
    return folder if root == PACKAGE and parts and folder.is_dir() else None


def _modules_within(package: str) -> list[str]:
    folder = _folder(package)
    return [] if folder is None else [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py"))]
