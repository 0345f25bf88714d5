"""Which models a command is about: all of them or those named, and nothing that exists is passed over."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from goldmar import archive
from goldmar.config import load_project
from goldmar.errors import ArchiveError, ConfigError, GoldmarError, UsageError
from goldmar.golden import read_golden, read_kept_stages
from goldmar.pipeline.archives import archives_for
from goldmar.pipeline.goldens import read_model
from goldmar.pipeline.selection import (
    built_elsewhere,
    not_compared,
    select_handlers,
    select_models,
    select_recorded,
    select_served,
    so_far,
)


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """gear and rim with handler, archive and golden; pin, whose archive somebody else built."""
    for model in ("gear", "rim"):
        put(tmp_path / f"handlers/{model}/handler.py")
    for model in ("gear", "rim", "pin"):
        put(tmp_path / f"golden/{model}/expected.csv")
        put(tmp_path / f"model_store/{model}.mar")
    return tmp_path


def declare(root: Path, **models: str) -> None:
    lines = "".join(f'"{model}" = "{reason}"\n' for model, reason in models.items())
    put(root / "pyproject.toml", f"[tool.goldmar.no_golden]\n{lines}")


def dangling(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to("nowhere")


def as_text(path: Path) -> None:
    shutil.rmtree(path)
    put(path, f"../elsewhere/{path.name}")


def empty(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def test_all_of_them(root: Path) -> None:
    project = load_project(root)
    assert select_models(project) == ("gear", "pin", "rim") == select_recorded(project) == select_served(project)
    assert select_handlers(project) == (root / "handlers/gear", root / "handlers/rim")
    assert not_compared(project, ["gear", "pin", "rim"]) == {}


def test_those_named_in_their_order_and_once(root: Path) -> None:
    project = load_project(root)
    assert select_models(project, ["rim", "gear", "rim"]) == ("rim", "gear")
    assert not_compared(project, ["rim", "gear"]) == {"pin": ""}


HOLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a dangling link": (lambda root: dangling(root / "golden/rim"), "golden/rim is a link that leads nowhere"),
    "a link as text": (lambda root: as_text(root / "golden/rim"), "golden/rim is a file, and a folder should be there"),
    "an empty folder": (lambda root: empty(root / "golden/rim"), "golden/rim/expected.csv is missing"),
    "no folder, a handler": (
        lambda root: (shutil.rmtree(root / "golden/rim"), (root / "model_store/rim.mar").unlink()),
        "rim has no golden: there is ",
    ),
    "no folder, an archive": (
        lambda root: (shutil.rmtree(root / "golden/rim"), shutil.rmtree(root / "handlers/rim")),
        "rim has no golden: there is ",
    ),
    "a new handler": (lambda root: put(root / "handlers/axle/handler.py"), "handlers/axle, and no "),
    "a new folder of handlers/": (lambda root: (root / "handlers/axle").mkdir(), "axle has no golden"),
    "a new archive": (lambda root: put(root / "model_store/obtained.v2.mar"), "obtained.v2 has no golden"),
    "a handler as text": (lambda root: as_text(root / "handlers/rim"), "handlers/rim is a file, and a folder"),
    "a name that is none": (lambda root: put(root / "golden/größe/expected.csv"), "'größe' is no name for a model"),
    "golden/common": (lambda root: put(root / "golden/common/expected.csv"), "'common' is no name for a model"),
    "a parked model": (lambda root: put(root / "golden/_rim/expected.csv"), "'_rim' is no name for a model"),
    "a hidden model": (lambda root: put(root / "golden/.rim/expected.csv"), "'.rim' is no name for a model"),
    "twins": (lambda root: put(root / "golden/Rim/expected.csv"), "Rim and rim differ in nothing but capital letters"),
    "two handlers": (
        lambda root: put(root / "handlers/rim_v2/archive.toml", 'model = "rim"'),
        "handlers/rim_v2 both make the model rim",
    ),
    "a golden without its link": (lambda root: dangling(root / "golden"), "golden cannot be listed"),
    "an archive without its link": (lambda root: dangling(root / "model_store/pin.mar"), "pin.mar is a link"),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_run_over_all_fails_and_names_what_it_cannot_compare(name: str, root: Path) -> None:
    change, said = HOLES[name]
    change(root)
    with pytest.raises(GoldmarError) as caught:
        select_models(load_project(root))
    assert caught.value.exit_code == 2
    assert said in caught.value.what
    assert caught.value.fix


def test_every_hole_is_named(root: Path) -> None:
    dangling(root / "golden/gear")
    empty(root / "golden/rim")
    with pytest.raises(GoldmarError, match="golden/gear is a link") as caught:
        select_models(load_project(root))
    assert (caught.value.detail or "").startswith("and: rim has no golden: ")
    assert "\n" not in (caught.value.detail or "")  # one line a model


def test_of_each_model_the_first_hole_is_named_and_of_what_is_none_each(root: Path) -> None:
    as_text(root / "handlers/rim")
    shutil.rmtree(root / "golden/rim")
    with pytest.raises(GoldmarError, match="handlers/rim is a file") as caught:
        select_models(load_project(root))
    assert caught.value.detail is None
    for name in ("größe", "_rim"):
        put(root / f"golden/{name}/expected.csv")
    with pytest.raises(GoldmarError) as caught:
        select_models(load_project(root))
    said = f"{caught.value.what}{caught.value.detail}"
    assert all(f"{name!r} is no name" in said for name in ("größe", "_rim"))


def test_a_recording_needs_drawings_and_no_golden_yet(root: Path) -> None:
    put(root / "handlers/axle/handler.py")
    with pytest.raises(GoldmarError, match="axle has no golden: there is"):
        select_recorded(load_project(root))
    put(root / "golden/axle/drawings/a.png")
    assert select_recorded(load_project(root)) == ("axle", "gear", "pin", "rim")
    dangling(root / "golden/rim")
    with pytest.raises(GoldmarError, match="golden/rim is a link"):
        select_recorded(load_project(root))


def test_where_there_is_nothing(tmp_path: Path) -> None:
    selects: list[tuple[Callable[..., object], str]] = [
        (select_models, "No model was named and"),
        (select_recorded, "No model was named and"),
        (select_handlers, "No model was named and"),
        (select_served, "holds no archive"),
    ]
    (tmp_path / "golden").mkdir()
    for select, said in selects:
        with pytest.raises(UsageError, match=said):
            select(load_project(tmp_path))
    put(tmp_path / "golden/größe/expected.csv")
    with pytest.raises(GoldmarError, match="'größe' is no name"):
        select_models(load_project(tmp_path))


def test_a_hole_elsewhere_does_not_stop_the_model_that_is_named(root: Path) -> None:
    dangling(root / "golden/rim")
    put(root / "golden/größe/expected.csv")
    assert select_models(load_project(root), ["gear"]) == ("gear",)
    with pytest.raises(GoldmarError, match="golden/rim is a link"):
        select_models(load_project(root), ["gear", "rim"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gaer", "There is no model gaer here. Did you mean gear?"),
        ("größe", "'größe' is no name"),
        ("common", "common"),
    ],
)
@pytest.mark.parametrize("select", [select_models, select_recorded, select_handlers, select_served])
def test_a_name_that_is_not_there(select: Callable[..., object], name: str, said: str, root: Path) -> None:
    with pytest.raises(GoldmarError) as caught:
        select(load_project(root), [name])
    assert said in caught.value.what
    assert caught.value.exit_code == 2


def test_how_far_a_job_over_several_got() -> None:
    assert so_far("asked", ["gear"], 0) == ""
    assert so_far("asked", ["gear", "rim"], 0) == "asked: none; not asked: gear, rim"
    assert so_far("asked", ["gear", "rim", "pin"], 1) == "asked: gear; not asked: rim, pin"


# ---- without golden on purpose --------------------------------------------------------------------------------------


def test_a_model_without_golden_on_purpose(root: Path) -> None:
    shutil.rmtree(root / "golden/rim")
    declare(root, rim="served to nobody yet")
    project = load_project(root)
    assert select_models(project) == ("gear", "pin") == select_recorded(project)
    assert select_served(project) == ("gear", "pin", "rim")
    assert not_compared(project, ["gear", "pin"]) == {"rim": "served to nobody yet"}
    with pytest.raises(GoldmarError, match=r"no golden on purpose \(served to nobody yet\)"):
        select_models(project, ["gear", "rim"])
    put(root / "golden/rim/drawings/canary.json")  # drawings alone are no golden
    assert select_models(project) == ("gear", "pin")


@pytest.mark.parametrize("select", [select_models, select_recorded])
def test_what_is_declared_to_have_none_gets_none(root: Path, select: Callable[..., object]) -> None:
    """An approved golden would be in contradiction to the declaration the next moment."""
    (root / "golden/rim/expected.csv").unlink()
    declare(root, rim="none yet")
    with pytest.raises(UsageError, match=r"rim has no golden on purpose \(none yet\)") as caught:
        select(load_project(root), ["gear", "rim"])
    assert "take rim out of [tool.goldmar.no_golden]" in (caught.value.fix or "")


def test_a_declaration_of_what_is_not_there(root: Path) -> None:
    declare(root, rmi="gone")
    for named in ([], ["gear"]):
        with pytest.raises(ConfigError, match=r"'rmi', and there is no such model. Did you mean rim"):
            select_models(load_project(root), named)


def test_a_declaration_of_a_model_that_has_one(root: Path) -> None:
    declare(root, rim="none yet")
    with pytest.raises(ConfigError, match="lists rim, and it has a golden"):
        select_models(load_project(root))


def test_a_declaration_of_every_model(root: Path) -> None:
    shutil.rmtree(root / "golden")
    declare(root, gear="a", rim="b", pin="c")
    with pytest.raises(GoldmarError, match="lists every model there is"):
        select_models(load_project(root))


@pytest.mark.parametrize("table", ["rim = ''", "rim = '  '", "rim = true", "a.b = 'dotted'", "rim = ['x']"])
def test_a_declaration_without_a_reason(root: Path, table: str) -> None:
    put(root / "pyproject.toml", f"[tool.goldmar.no_golden]\n{table}\n")
    with pytest.raises(ConfigError, match=r"in \[tool.goldmar.no_golden\] is") as caught:
        load_project(root)
    assert "in quotes" in (caught.value.fix or "")


def test_what_is_declared_does_not_hide_what_is_broken(root: Path) -> None:
    as_text(root / "golden/rim")
    declare(root, rim="none yet")
    with pytest.raises(GoldmarError, match="golden/rim is a file"):
        select_models(load_project(root))


# ---- archives -------------------------------------------------------------------------------------------------------


def handler(folder: Path, recipe: str = 'version = "1.0"\n') -> Path:
    put(folder / "archive.toml", recipe)
    put(folder / "handler.py", "class Handler:\n    def handle(self, data, context): ...\n")
    put(folder / "weights.pt", "w")
    keys = ("startupTimeout", "responseTimeout", "maxBatchDelay", "batchSize", "minWorkers", "maxWorkers")
    put(folder / "model-config.yaml", "".join(f"{key}: 1\n" for key in keys))
    return folder


@pytest.mark.parametrize("change", ["handler.py", "archive.toml"])
def test_an_archive_is_held_against_the_handler_that_makes_the_model(tmp_path: Path, change: str) -> None:
    folder = handler(tmp_path / "handlers/gear_v2", 'version = "1.0"\nmodel = "gear"\n')
    put(tmp_path / "golden/gear/expected.csv")
    project = load_project(tmp_path)
    (found,) = select_handlers(project, ["gear"])
    assert archive.build(found, project.model_store).path.name == "gear.mar"
    assert [each.path for each in archives_for(project, ["gear"])] == [tmp_path / "model_store/gear.mar"]
    text = (folder / change).read_text()
    put(folder / change, text.replace("1.0", "1.1") if change == "archive.toml" else f"{text}# one more line\n")
    with pytest.raises(ArchiveError) as caught:
        archives_for(project, ["gear"])
    assert "gear.mar was not built from" in caught.value.what


def test_the_archive_of_a_model_that_was_renamed_is_compared_with_nothing(root: Path) -> None:
    """Its golden would hold for ever, whatever becomes of the handler."""
    put(root / "handlers/gear/archive.toml", 'model = "cog"')
    for moved in (False, True):
        if moved:
            (root / "golden/gear").rename(root / "golden/cog")
        with pytest.raises(ArchiveError, match=r"gear\.mar is left over: .*handlers/gear makes cog now") as caught:
            select_models(load_project(root))
        assert f"rm '{root}/model_store/gear.mar'" in (caught.value.fix or "")
        assert (f"mv '{root}/golden/gear'" in (caught.value.fix or "")) is not moved
    (root / "model_store/gear.mar").unlink()
    assert select_models(load_project(root)) == ("cog", "pin", "rim")
    assert built_elsewhere(load_project(root)) == ["pin"]
    assert built_elsewhere(load_project(root), ["rim"]) == []


def test_a_folder_is_no_name_for_what_it_makes(tmp_path: Path) -> None:
    handler(tmp_path / "handlers/gear_v2", 'version = "1.0"\nmodel = "gear"\n')
    with pytest.raises(GoldmarError, match="gear_v2 makes gear") as caught:
        select_handlers(load_project(tmp_path), ["gear_v2"])
    assert caught.value.fix == "goldmar archive gear"


def test_an_archive_whose_handler_cannot_be_told_is_not_fresh(root: Path) -> None:
    put(root / "handlers/pin_v2/archive.toml", 'model = "pin')
    with pytest.raises(ArchiveError, match="is not TOML"):
        archives_for(load_project(root), ["pin"])


def test_what_somebody_else_built_needs_no_handler(root: Path) -> None:
    dangling(root / "golden/rim")  # which is nothing to whoever serves
    put(root / "golden/cog/expected.csv")  # neither a handler nor an archive
    project = load_project(root)
    assert select_served(project) == ("cog", "gear", "pin", "rim")
    assert select_handlers(project, ["pin", "gear"]) == (root / "handlers/gear",)
    with pytest.raises(UsageError, match=r"There is no handler in .* that makes cog"):
        select_handlers(project, ["cog"])
    assert built_elsewhere(project) == built_elsewhere(project, ["pin", "rim"]) == ["pin"]
    shutil.rmtree(root / "handlers")
    project = load_project(root)
    with pytest.raises(UsageError, match="No model was named and"):
        select_handlers(project)
    dangling(root / "model_store/gear.mar")
    assert built_elsewhere(project) == ["pin"]  # of rim and gear nothing can be said


def test_of_two_handlers_of_one_model_none_is_fresh(root: Path) -> None:
    put(root / "handlers/rim_v2/archive.toml", 'model = "rim"')
    for ask in (archives_for, select_handlers, select_served):
        with pytest.raises(ArchiveError, match="both make the model rim"):
            ask(load_project(root), ["rim"])


def test_a_model_without_archive_is_not_served_around(root: Path) -> None:
    (root / "model_store/pin.mar").unlink()
    project = load_project(root)
    with pytest.raises(ArchiveError, match=r"no archive .*pin\.mar") as caught:
        archives_for(project, [name for name in select_served(project) if name == "pin"])
    assert "copy" in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: put(root / "handlers/axle"), "handlers/axle is a file"),
        (lambda root: dangling(root / "handlers/rim"), "handlers/rim is a link that leads nowhere"),
        (lambda root: put(root / "handlers/größe/handler.py"), "'größe' is no name"),
    ],
)
def test_an_archive_run_does_not_pass_over_a_handler(root: Path, change: Callable[[Path], object], said: str) -> None:
    change(root)
    with pytest.raises(ArchiveError) as caught:
        select_handlers(load_project(root))
    assert said in caught.value.what


def test_an_archive_run_needs_no_golden(root: Path) -> None:
    dangling(root / "golden/rim")
    (root / "model_store/rim.mar").unlink()
    assert len(select_handlers(load_project(root))) == 2


# ---- files that are none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["expected.csv", "tolerance.toml", "provenance.toml", "request.toml", "stages.jsonl", "archive.toml"]
)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(root: Path, soon: None, name: str) -> None:
    put(root / "golden/gear/expected.csv", "drawing_id,name,pred\na,b,1\n")
    put(root / "golden/gear/drawings/a.json")
    place = root / ("handlers" if name == "archive.toml" else "golden") / "gear" / name
    place.unlink(missing_ok=True)
    os.mkfifo(place)

    def read() -> None:
        select_models(load_project(root))
        read_model(load_project(root), "gear", with_expected=True)
        read_kept_stages(root / "golden/gear")

    with pytest.raises(GoldmarError, match="no ordinary file"):
        read()


def test_a_provenance_that_leads_nowhere_is_not_the_lack_of_one(root: Path) -> None:
    """Without it a golden was written by hand, and neither its content nor the version served is held."""
    put(root / "golden/gear/expected.csv", "drawing_id,name,pred\na,b,1\n")
    dangling(root / "golden/gear/provenance.toml")
    with pytest.raises(ConfigError, match=r"provenance\.toml is a link that leads nowhere"):
        read_golden(root / "golden/gear")


@pytest.mark.parametrize("reason", ["", " ", "\u200b", "-", "..."])
def test_a_reason_that_says_nothing_is_none(root: Path, reason: str) -> None:
    declare(root, gear=reason)
    with pytest.raises(ConfigError, match=r"gear in \[tool\.goldmar\.no_golden\]"):
        load_project(root)
