"""Whether an archive has what its handler loads, as far as the source shows; no code of it runs.

What BaseHandler loads, and by which suffix, follows `ts.torch_handler.base_handler` of TorchServe 0.12.
"""

import ast
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from goldmar.archive.recipe import Recipe
from goldmar.errors import ArchiveError
from goldmar.layout import COMMON, HANDLER, MODEL, RECIPE, WEIGHTS

# Modules of ts.torch_handler whose class loads a network in `initialize`; the others (vllm, distributed) do not.
_LOADERS = frozenset(
    f"ts.torch_handler.{name}"
    for name in (
        *("base_handler", "vision_handler", "text_handler", "dali_handler", "image_classifier", "image_segmenter"),
        *("object_detector", "text_classifier", "dali_image_classifier"),
    )
)
# What `BaseHandler.initialize` loads where there is no model file, by suffix, and the method that loads it.
_WITHOUT_MODEL_FILE = {".pt": "_load_torchscript_model", ".onnx": "", ".so": ""}


def check_loading(recipe: Recipe, modules: Mapping[str, ast.Module]) -> None:
    """Compare the files of an archive with what its handler loads.

    Args:
        modules: the parsed modules of the archive, by the name that they have in it.

    Raises ArchiveError for a handler that leaves loading to BaseHandler without anything to load; that reads a key
    missing from the manifest; that names a file of its folder, or imports a module of handlers/, which is not archived.
    """
    _check_manifest_keys(recipe, modules)
    _check_named_files(recipe, modules)
    _check_imports(recipe, modules)
    methods = _methods_before_torchserve(modules)
    if methods is not None:
        _check_base_handler(recipe, methods)


def _check_base_handler(recipe: Recipe, methods: frozenset[str]) -> None:
    loader = f"{recipe.folder / HANDLER} leaves loading to BaseHandler"
    otherwise = f"or write an `initialize` into {HANDLER} that does without super().initialize"
    if recipe.serialized_file is None:
        # A network without weights has to be declared: a forgotten file is far more common.
        if recipe.model_file is None or not recipe.without_weights or "_load_pickled_model" in methods:
            raise ArchiveError(f"{recipe.folder} has no {WEIGHTS}, and {loader}.", fix=_how_to_get(recipe, otherwise))
        return
    if recipe.model_file is not None:
        return
    suffix = Path(recipe.serialized_file).suffix
    if suffix not in _WITHOUT_MODEL_FILE:
        raise ArchiveError(
            f"{loader}, which cannot load {recipe.serialized_file} without a {MODEL}.",
            fix=f"Add {MODEL} with one nn.Module, {otherwise}",
        )
    weights = recipe.files[recipe.serialized_file]
    if suffix == ".pt" and _WITHOUT_MODEL_FILE[suffix] not in methods and not _is_torchscript(weights):
        raise ArchiveError(
            f"{recipe.folder} has no {MODEL}, and {weights.name} is no TorchScript that could do without.",
            fix=f"Add {MODEL} with one nn.Module, {otherwise}",
        )


def _check_manifest_keys(recipe: Recipe, modules: Mapping[str, ast.Module]) -> None:
    missing = {}  # key of the manifest -> key of archive.toml, the usual file
    if recipe.serialized_file is None:
        missing["serializedFile"] = "serialized_file", WEIGHTS
    if recipe.model_file is None:
        missing["modelFile"] = "model_file", MODEL
    for name, tree in sorted(modules.items()):
        for node in ast.walk(tree):
            # manifest["model"]["serializedFile"] raises KeyError; a .get() may accept None.
            if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant):
                continue
            if (key := node.slice.value) in missing:
                setting, usual = missing[key]
                raise ArchiveError(
                    f"{recipe.files[name]}:{node.lineno} reads {key} of the manifest, "
                    f"and {recipe.folder} has no {usual}.",
                    fix=f'Add it, or name another file: {setting} = "..." in {recipe.folder / RECIPE}',
                )


def _check_named_files(recipe: Recipe, modules: Mapping[str, ast.Module]) -> None:
    """A file that the handler names is one that it opens: it has to be in the archive."""
    left_behind = {
        path.name
        for path in recipe.folder.iterdir()
        if path.is_file() and path.name not in recipe.files and path.name != RECIPE
    }
    if WEIGHTS not in recipe.files:
        left_behind.add(WEIGHTS)
    for name, tree in sorted(modules.items()):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in left_behind:
                there = (recipe.folder / node.value).is_file()
                raise ArchiveError(
                    f"{recipe.files[name]}:{node.lineno} names {node.value}, "
                    + ("which does not go into the archive." if there else f"and {recipe.folder} has no {node.value}."),
                    fix=f'serialized_file = "{node.value}", or extra = ["{node.value}"], in {recipe.folder / RECIPE}'
                    if there
                    else _how_to_get(recipe, "or name the file that it is"),
                )


def _check_imports(recipe: Recipe, modules: Mapping[str, ast.Module]) -> None:
    """A package in the handler's folder, or an unlisted module of handlers/common, is not in the archive."""
    common = recipe.folder.resolve().parent / COMMON
    for name, tree in sorted(modules.items()):
        for module, line in _imports(tree):
            if module in sys.stdlib_module_names or f"{module}.py" in recipe.files:
                continue
            package, shared = recipe.folder / module, common / f"{module}.py"
            if shared.is_file():
                what, fix = f"{shared}, which {RECIPE} does not list", f'common = ["{shared.name}"], in {RECIPE}'
            elif package.is_dir() and any(package.glob("*.py")):
                fix = f"Move its modules to {recipe.folder}, and import each by its bare name"
                what = f"the folder {package}, and an archive has no folders"
            else:
                continue
            raise ArchiveError(f"{recipe.files[name]}:{line} imports {module}: that is {what}.", fix=fix)


def _imports(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Top-level modules and lines; not imports under `if` or `try`, which may be missing."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name.split(".")[0], child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module.split(".")[0], child.lineno
        elif not isinstance(child, ast.If | ast.Try | ast.TryStar):
            yield from _imports(child)


def _how_to_get(recipe: Recipe, otherwise: str) -> str:
    weights = recipe.folder / WEIGHTS
    named = f'serialized_file = "..." in {recipe.folder / RECIPE} names another file'
    return f"Train it, or copy the state_dict to {weights} (a link may not lead outside); {named}; {otherwise}"


# ---- which class loads ----------------------------------------------------------------------------------------------


def _methods_before_torchserve(modules: Mapping[str, ast.Module]) -> frozenset[str] | None:
    """The methods that the handler's own classes define, if TorchServe's `initialize` runs.

    None where it does not, or where that cannot be known.
    """
    first = next((node for node in ast.walk(modules[HANDLER]) if isinstance(node, ast.ClassDef)), None)
    if first is None:
        return None
    methods: set[str] = set()
    for each in _ancestry(HANDLER, first, modules, set()):
        if each is None:
            return frozenset(methods)
        own = {node.name: node for node in each.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        if "initialize" in own and not _calls_the_next(own["initialize"]):
            return None
        methods |= own.keys()
    return None


def _ancestry(
    file: str, each: ast.ClassDef, modules: Mapping[str, ast.Module], seen: set[str]
) -> Iterator[ast.ClassDef | None]:
    """The class in `file` and its bases, depth first; None stands for a class of TorchServe that loads."""
    yield each
    origins = dict(_origins(modules[file]))
    for base in each.bases:
        head, _, rest = ast.unparse(base).partition(".")
        dotted = ".".join(filter(None, (origins.get(head, head), rest)))
        if dotted in seen:
            continue
        seen.add(dotted)
        module, _, name = dotted.rpartition(".")
        if module in _LOADERS:
            yield None
        home = f"{module}.py" if module else file
        for node in modules[home].body if home in modules else ():
            if isinstance(node, ast.ClassDef) and node.name == name:
                yield from _ancestry(home, node, modules, seen)


def _origins(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Name in a module -> dotted name of what it was imported from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.split(".")[0]
                yield alias.asname or head, alias.name if alias.asname else head


def _calls_the_next(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether `initialize` calls that of a base: super().initialize(context), BaseHandler.initialize(self, context)."""
    itself = method.args.args[0].arg if method.args.args else ""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == method.name
        and (
            ast.unparse(node.func.value).startswith("super(")
            or (node.args and isinstance(node.args[0], ast.Name) and node.args[0].id == itself)
        )
        for node in ast.walk(method)
    )


def _is_torchscript(weights: Path) -> bool:
    try:
        with zipfile.ZipFile(weights) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
