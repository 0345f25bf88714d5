"""What TorchServe reports only when a worker dies, checked before the archive is built. No code of the model runs.

The rules follow `ts.model_loader`, `ts.torch_handler.base_handler` and `ModelConfig` of TorchServe 0.12.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from goldmar.errors import ArchiveError, MissingExtraError

# Calls that make a class without a class statement; TorchServe counts these as well.
_CLASS_FACTORIES = frozenset({"namedtuple", "NamedTuple", "TypedDict", "Enum", "IntEnum", "StrEnum", "make_dataclass"})

# Each key with its smallest value. A .mar that sets one of them resets the others to TorchServe's own defaults: 120 s
# for the two timeouts, 0 workers, no batch.
_CONFIG_KEYS = {
    "startupTimeout": (1, "seconds a worker may take to load"),
    "responseTimeout": (1, "seconds one batch may take"),
    "maxBatchDelay": (0, "milliseconds to wait for a full batch"),
    "batchSize": (1, "drawings in a batch"),
    "minWorkers": (1, "workers to start with"),
    "maxWorkers": (1, "workers at most"),
}


def check_module(path: Path) -> ast.Module:
    """Parse one included module. Refused: syntax errors, relative imports, imports of the harness.

    Raises ArchiveError, naming the line.
    """
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise ArchiveError(
            f"{path}{f':{line}' if line else ''} is not Python: {getattr(error, 'msg', error)}.",
            fix="Correct that line",
        ) from error
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}.", fix=f"ls -l '{path}'") from error
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            name = node.module or node.names[0].name
            raise ArchiveError(
                f"{path}:{node.lineno} imports {'.' * node.level}{node.module or ''} relatively; "
                "in an archive the files are no package.",
                fix=f"from {node.module} import ..." if node.module else f"import {name}",
            )
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        if any(name.split(".")[0] == "goldmar" for name in names):
            raise ArchiveError(
                f"{path}:{node.lineno} imports goldmar, which is not installed where models are served.",
                fix="Copy what is needed to handlers/common and list it in archive.toml",
            )
    return tree


def check_handler(path: Path) -> ast.Module:
    """Parse `handler.py`: exactly one class, and no `handle` that TorchServe would call instead of it."""
    tree = check_module(path)
    _one_class(path, tree, "TorchServe takes the one class it finds there as the handler")
    for name, line in _bound(tree.body):
        if name == "handle":
            raise ArchiveError(
                f"{path}:{line} defines `handle` beside the class; TorchServe would call it instead of the class.",
                fix="Rename it, or make it a method",
            )
    return tree


def check_model(path: Path) -> ast.Module:
    """Parse the model file: exactly one class."""
    tree = check_module(path)
    otherwise = f', or model_file = "" in archive.toml, where {path.name} is no network but a module like the others'
    _one_class(path, tree, "BaseHandler takes the one class it finds there as the network", otherwise)
    return tree


def check_config(path: Path) -> None:
    """`model-config.yaml` must be YAML and set both timeouts, the batch and the workers, all as integers.

    Raises ArchiveError, or MissingExtraError where PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("pyyaml", "serve", "Building an archive") from error
    try:
        config = yaml.load(path.read_bytes(), Loader=_loader_without_duplicates(yaml))  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        raise ArchiveError(
            f"{path} is not YAML: {' '.join(str(error).split())}.", fix="Correct the line it names"
        ) from error
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}.", fix=f"ls -l '{path}'") from error
    if not isinstance(config, dict):
        raise ArchiveError(
            f"{path} is not a table of keys and values.", fix="responseTimeout: 60, and so on, a line each"
        )
    for key, (least, meaning) in _CONFIG_KEYS.items():
        _check_key(path, config, key, least, meaning)
    if config["maxWorkers"] < config["minWorkers"]:
        raise ArchiveError(f"{path}: maxWorkers is below minWorkers.", fix=f"maxWorkers: {config['minWorkers']}")


def _check_key(path: Path, config: Mapping[str, Any], key: str, least: int, meaning: str) -> None:
    fix = f"{key}: {max(least, 1) if 'Timeout' not in key else 60}  # {meaning}"
    if key not in config:
        raise ArchiveError(
            f"{path} does not set {key}; TorchServe would fall back to its own default instead of config.properties.",
            fix=f"Add {fix}",
        )
    value = config[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArchiveError(f"{path}: {key} is {value!r}; it must be a whole number of at least {least}.", fix=fix)


def _loader_without_duplicates(yaml: Any) -> Any:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """PyYAML silently keeps the last of two equal keys; TorchServe's parser refuses the file."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [
                self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"
            ]
            for at, key in enumerate(keys):
                if key in keys[:at]:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} is there twice", node.start_mark
                    )
            return super().construct_mapping(node, deep)

    return Loader


def _one_class(path: Path, tree: ast.Module, why: str, otherwise: str = "") -> None:
    classes = dict(_classes(tree.body))
    if not classes:
        raise ArchiveError(f"{path} defines no class; {why}.", fix=f"Define one class in {path.name}{otherwise}")
    if len(classes) > 1:
        (_, _), (second, line), *_ = classes.items()
        raise ArchiveError(
            f"{path}:{line} defines a second class, {second}; {why}.",
            fix=f"Move it to a module of its own beside it; every .py there goes into the archive{otherwise}",
        )


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported, those under if, try, with, for and while included."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for field in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from _statements(handler.body)


def _classes(body: list[ast.stmt]) -> Iterator[tuple[str, int]]:
    for node in _statements(body):
        if isinstance(node, ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            called = node.value.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            # type(x) asks for a class, type(name, bases, body) makes one.
            if name in _CLASS_FACTORIES or (name == "type" and len(node.value.args) == 3):
                yield from ((target.id, node.lineno) for target in node.targets if isinstance(target, ast.Name))


def _bound(body: list[ast.stmt]) -> Iterator[tuple[str, int]]:
    for node in _statements(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from ((target.id, node.lineno) for target in node.targets if isinstance(target, ast.Name))
