"""Drawings found, the CSV read strictly and written so that it comes back, approvals that a crash cannot corrupt."""

import math
import os
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import goldmar.golden.store
from goldmar.errors import ConfigError, GoldenError
from goldmar.files import read_whole
from goldmar.golden import (
    approve,
    find_drawings,
    read_golden,
    read_provenance,
    read_values,
    values_of,
    write_obtained,
    write_partial,
    write_provenance,
    write_values,
)
from goldmar.golden.csv_file import to_csv
from goldmar.records import Prediction, Provenance, Values

HEADER = "drawing_id,name,pred\n"
PROVENANCE = Provenance(
    model="thickness",
    version="1.0",
    archive_digest="sha256:00",
    backend="local",
    url="",
    obtained_at=datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC),
    python="3.11.7",
    packages={"torch": "2.13.0", "odd = name": 'quote " and \\ and \n'},
)


# ---- drawings -------------------------------------------------------------------------------------------------------


def test_drawings_are_found_with_id_and_content_type(tmp_path):
    for name in ("b.PNG", "a/c.tiff", "a/d.e.pdf", "図面/一.jpg", "plain", "x.json", "y.dwg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in (".hidden.png", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [(drawing.id, drawing.content_type) for drawing in find_drawings(tmp_path)] == [
        ("a/c", "image/tiff"),
        ("a/d.e", "application/pdf"),
        ("b", "image/png"),
        ("plain", "application/octet-stream"),
        ("x", "application/json"),
        ("y", "application/octet-stream"),
        ("図面/一", "image/jpeg"),
    ]
    assert find_drawings(tmp_path)[0].path == tmp_path / "a/c.tiff"


def test_two_drawings_with_one_id_are_refused(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "a.tif").touch()
    with pytest.raises(GoldenError, match="Two drawings have the id 'a'"):
        find_drawings(tmp_path)


def test_a_folder_that_is_not_there_is_no_empty_one(tmp_path):
    with pytest.raises(GoldenError, match="is not there"):
        find_drawings(tmp_path / "drawings")


def test_links_are_followed_and_a_loop_ends(tmp_path):
    (tmp_path / "drawings").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.png").touch()
    (tmp_path / "drawings/more").symlink_to("../elsewhere")
    (tmp_path / "elsewhere/back").symlink_to("../drawings")
    assert [drawing.id for drawing in find_drawings(tmp_path / "drawings")] == ["more/a"]


def test_a_folder_that_is_there_twice_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.png").touch()
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(GoldenError, match="whose drawings are there already"):
        find_drawings(tmp_path)


def socket_at(path):
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def link_to(target):
    return lambda path: path.symlink_to(target)


ODD = {
    "pipe": (os.mkfifo, "no ordinary file: a pipe"),
    "socket": (socket_at, "no ordinary file: a socket"),
    "device": (link_to("/dev/zero"), "no ordinary file: a device"),
    "terminal": (link_to("/dev/tty"), "no ordinary file: a device"),
    "pipe by a link": (lambda path: (os.mkfifo(path.parent / "p"), path.symlink_to("p")), "a pipe"),
    "nowhere": (link_to("not-there"), "a link that leads nowhere"),
    "itself": (link_to("x.png"), "a link that leads nowhere"),
    "large": (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 1001), "a drawing may have"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_drawing_is_refused(tmp_path, kind):
    make, words = ODD[kind]
    (tmp_path / "ok.png").touch()
    make(tmp_path / "x.png")
    with pytest.raises(GoldenError, match=words) as caught:
        find_drawings(tmp_path, at_most=1000)
    assert caught.value.fix


def test_a_drawing_of_just_the_size_is_taken(tmp_path):
    (tmp_path / "x.png").write_bytes(bytes(1000))
    assert find_drawings(tmp_path, at_most=1000)[0].size == 1000


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    """Of a mode that root does not mind, or a drive that is gone."""
    (tmp_path / "more").mkdir()
    scandir = os.scandir

    def failing(path):
        if Path(path).name == "more":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(GoldenError, match="more cannot be read: Permission denied"):
        find_drawings(tmp_path)


@pytest.mark.parametrize("link", ["../a.png", "../../project2/a.png", "/etc/hostname", "more/../../../a.png"])
def test_a_link_out_of_the_project_is_refused(tmp_path, link):
    project = tmp_path / "project"
    folder = project / "drawings"
    (folder / "more").mkdir(parents=True)
    (tmp_path / "project2").mkdir()
    for secret in (tmp_path / "a.png", tmp_path / "project2/a.png", project / "inside.png"):
        secret.write_text("s")
    (folder / "in.png").symlink_to("../inside.png")
    assert len(find_drawings(folder, within=[project])) == 1
    (folder / "x.png").symlink_to(link if link.startswith(("/", "more")) else f"../{link}")
    with pytest.raises(GoldenError, match="out of the project"):
        find_drawings(folder, within=[project])


@pytest.mark.parametrize("name", ["a.png", ".hidden"])
@pytest.mark.parametrize("out", ["drawings", "drawings/more"])
def test_a_folder_out_of_the_project_is_refused(tmp_path, out, name):
    """At once: it may be the whole disk."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / name).touch()
    link = tmp_path / "project" / out
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GoldenError, match="out of the project"):
        find_drawings(tmp_path / "project/drawings", within=[tmp_path / "project"])


def test_a_drawing_that_becomes_something_else_is_not_sent(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(b"12345")
    assert read_whole(path, 5) == b"12345"
    with pytest.raises(OSError, match="has grown"):
        read_whole(path, 4)
    path.unlink()
    os.mkfifo(path)
    began = time.monotonic()
    with pytest.raises(OSError, match="no ordinary file"):
        read_whole(path)
    assert time.monotonic() - began < 5


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(GoldenError, match="closed cannot be read: Permission denied"):
        find_drawings(tmp_path)


# ---- the CSV --------------------------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(),
    st.text(alphabet=st.sampled_from(list("\",\n\r\0 '1.eE-+\x85\u2028\ud800nulltrefasi図")), max_size=12),
    st.sampled_from(
        ["1", "1.0", "true", "null", "nan", "inf", "-inf", "", " x ", '"', '"x"', "007", "-0", "1e5", "1_0"]
    ),
)
VALUES = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.none(), TEXTS)


@pytest.mark.parametrize("turned", ["\u202e", "\u2066", "\u061c", "\u200b"])
def test_no_text_turns_the_direction_of_a_diff(turned):
    text = to_csv(Values([f"d{turned}"], [f"n{turned}"], [f"v{turned}"]))
    assert all(line.isprintable() for line in text.splitlines())


def same(left, right):
    if isinstance(left, float) and isinstance(right, float):
        return math.copysign(1, left) == math.copysign(1, right) and (
            left == right or (left != left and right != right)
        )
    return type(left) is type(right) and left == right


@given(table=st.dictionaries(st.tuples(TEXTS, TEXTS), VALUES, max_size=20))
def test_what_is_written_is_read(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("cells") / "a.csv"
    write_values(path, Values([key[0] for key in table], [key[1] for key in table], list(table.values())))
    read = read_values(path)
    assert list(zip(read.drawing_ids, read.names, strict=True)) == sorted(table)
    for drawing, name, value in zip(read.drawing_ids, read.names, read.values, strict=True):
        # NaN keeps no sign: there is one spelling for it.
        want = table[drawing, name]
        assert same(value, want) or (want != want and value != value)
    # One value a line, whatever is in it: that is what makes a diff readable.
    assert path.read_bytes().count(b"\n") == len(table) + 1
    assert b"\r" not in path.read_bytes()


@given(table=st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), st.floats(), min_size=1))
def test_the_quick_way_and_the_csv_module_read_the_same(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("cells")
    write_values(folder / "plain.csv", Values([k[0] for k in table], [k[1] for k in table], list(table.values())))
    text = (folder / "plain.csv").read_text()
    (folder / "quoted.csv").write_text(text.replace("\na,", '\n"a",').replace("drawing_id", '"drawing_id"'))
    plain, quoted = read_values(folder / "plain.csv"), read_values(folder / "quoted.csv")
    assert list(plain.drawing_ids) == list(quoted.drawing_ids)
    assert list(plain.names) == list(quoted.names)
    assert list(map(repr, plain.values)) == list(map(repr, quoted.values))


def test_the_file_as_it_looks(tmp_path):
    cells = Values(
        ["b", "a", "a", "a", "a", "a", "a"],
        ["x", "z", "y", "n", "t", "s", "q"],
        [9.607873916625977, 3, "flange", None, True, "3", 'a,"b"\n'],
    )
    write_values(tmp_path / "a.csv", cells)
    assert (tmp_path / "a.csv").read_text() == (
        'drawing_id,name,pred\na,n,null\na,q,"""a,\\""b\\""\\n"""\na,s,"""3"""\na,t,true\na,y,flange\na,z,3\n'
        "b,x,9.607873916625977\n"
    )


def test_blocks_do_not_cut_rows(tmp_path):
    """Larger than the block that is read at once, with characters of several bytes across its edge."""
    ids = [f"図面{number:06}" for number in range(120_000)]
    cells = Values(ids, ["厚さ"] * len(ids), [number + 0.5 for number in range(len(ids))])
    write_values(tmp_path / "a.csv", cells)
    assert (tmp_path / "a.csv").stat().st_size > 2**21
    read = read_values(tmp_path / "a.csv")
    assert list(read.drawing_ids) == ids
    assert list(read.values) == cells.values
    with (tmp_path / "a.csv").open("a") as stream:
        stream.write("z,x,flange\nz,y,1.0\n")
    read = read_values(tmp_path / "a.csv")
    assert list(read.values) == [*cells.values, "flange", 1.0]


def test_one_value_under_a_key_is_written(tmp_path):
    with pytest.raises(GoldenError, match="Two values for drawing 'a', name 'x'"):
        write_values(tmp_path / "a.csv", Values(["a", "a"], ["x", "x"], [1.0, 1.0]))
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: it has not even a header"),
        (b"drawing_id,name,pred\na,x,1.0", "line 2: truncated"),
        (b"drawing_id,name,pr", "line 1: truncated"),
        (b"drawing_id,name,value\na,x,1.0\n", "the header is 'drawing_id,name,value', not 'drawing_id,name,pred'"),
        (b"drawing_id,name,pred,pred\n", "the header is"),
        (b"drawing_id,name\n", "the header is"),
        (b"\n", "the header is ''"),
        (b"drawing_id,name,pred\na,x,1.0\nb,x\n", "line 3: has 2 fields, not 3"),
        (b"drawing_id,name,pred\na,x,1.0\nb,x,1.0,2.0\n", "line 3: has 4 fields, not 3"),
        (b"drawing_id,name,pred\na,x\nb,x,1.0,2.0\n", "line 2: has 2 fields, not 3"),
        (b"drawing_id,name,pred\na,x,1.0\n\nb,x,1.0\n", "line 3: is empty"),
        (b'drawing_id,name,pred\n"a",x,1.0\n\n', "line 3: is empty"),
        (b'drawing_id,name,pred\n"a",x,1.0\nb,x\n', "line 3: has 2 fields, not 3"),
        (
            b"drawing_id,name,pred\na,x,1.0\nb,x,1.0\na,x,2.0\n",
            "line 4: has drawing 'a', name 'x' again, as line 2 has",
        ),
        (b'drawing_id,name,pred\na,x,1.0\n"""a""",x,2.0\n', "line 3: has drawing 'a', name 'x' again, as line 2 has"),
        (b'drawing_id,name,pred\n"a\nb",x,1.0\nb,x,1.0\nb,x,2.0\n', "line 5: has drawing 'b'.* as line 4 has"),
        (b"drawing_id,name,pred\na,x,1.0\nb,x,1\x00\n", "line 3: a NUL character"),
        ("drawing_id,name,pred\n".encode("utf-16"), "NUL character"),
        (b"drawing_id,name,pred\na,x,1.0\nb\xff,x,1.0\n", "line 3: not UTF-8"),
        (b'drawing_id,name,pred\n"a",x,1.0\nb\xff,x,1.0\n', "line 3: not UTF-8"),
        (b"drawing_id,name,pred\na,x,1.0\n,x,1.0\n", "line 3: has an empty drawing_id"),
        (b"drawing_id,name,pred\na,x,1.0\nb,,1.0\n", "line 3: has an empty name"),
        (b"drawing_id,name,pred\na,x,1.0\nb,x,\n", "line 3: has an empty pred"),
        (b'drawing_id,name,pred\na,x,1.0\nb,x,"""half"\n', "line 3: has a pred that starts with a double quote"),
        (b'drawing_id,name,pred\na,x,1.0\n"""half",x,1.0\n', "line 3: has a drawing_id that starts with a double"),
        (b'drawing_id,name,pred\na,x,"1.0\n', "no CSV"),
        (b'drawing_id,name,pred\na,x,"1"0\n', "no CSV"),
    ],
)
def test_a_csv_that_is_wrong_is_refused_with_its_line(tmp_path, content, said):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(GoldenError, match=said) as caught:
        read_values(tmp_path / "a.csv")
    assert str(tmp_path / "a.csv") in caught.value.what
    assert caught.value.fix


def test_a_csv_that_is_not_there_or_a_folder(tmp_path):
    with pytest.raises(GoldenError, match="does not exist"):
        read_values(tmp_path / "a.csv")
    with pytest.raises(GoldenError, match="cannot be read: Is a directory"):
        read_values(tmp_path)


@pytest.mark.parametrize(
    ("pred", "value"),
    [
        ("9.0", 9.0),
        ("-0.0", -0.0),
        ("1e-05", 1e-05),
        ("1E5", 1e5),
        ("nan", math.nan),
        ("-inf", -math.inf),
        ("12", 12),
        ("-0", 0),
        ("123456789012345678901", 123456789012345678901),
        ("true", True),
        ("null", None),
        ("True", "True"),
        ("007", "007"),
        ("+1.0", "+1.0"),
        ("1.", "1."),
        (".5", ".5"),
        (" 1.0", " 1.0"),
        ("1_0.0", "1_0.0"),
        ("infinity", "infinity"),
        ("１.５", "１.５"),
        ('"1.0,2.0"', "1.0,2.0"),
    ],
)
def test_what_a_pred_is_read_as(tmp_path, pred, value):
    for rows in (f"a,x,{pred}\n", f"a,x,{pred}\nb,x,1.5\n", f"b,x,1.5\na,x,{pred}\n"):
        (tmp_path / "a.csv").write_text(HEADER + rows)
        read = read_values(tmp_path / "a.csv")
        found = dict(zip(read.drawing_ids, read.values, strict=True))["a"]
        assert same(found, value)


def test_a_byte_order_mark_and_crlf_are_accepted(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfdrawing_id,name,pred\r\na,x,1.0\r\n")
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbfdrawing_id,name,pred\na,x,1.0\n")
    for name in ("a.csv", "b.csv"):
        read = read_values(tmp_path / name)
        assert (list(read.drawing_ids), list(read.names), list(read.values)) == (["a"], ["x"], [1.0])


def test_other_headers_in_another_order(tmp_path):
    (tmp_path / "a.csv").write_text("図面_id,pred,name\n図1,1.5,厚さ\n", encoding="utf-8")
    read = read_values(tmp_path / "a.csv", {"drawing_id": "図面_id"})
    assert (list(read.drawing_ids), list(read.names), list(read.values)) == (["図1"], ["厚さ"], [1.5])
    # After an approval the file has the usual headers, and the table is still there.
    write_values(tmp_path / "a.csv", read)
    assert list(read_values(tmp_path / "a.csv", {"drawing_id": "図面_id"}).names) == ["厚さ"]


def test_a_golden_without_rows_can_be_read(tmp_path):
    (tmp_path / "a.csv").write_text(HEADER)
    assert len(read_values(tmp_path / "a.csv")) == 0


def test_cells_of_predictions():
    cells = values_of(
        [
            Prediction("b", {"x": 1.0, "y": 2.0}, 200, 0.1),
            Prediction("c", {}, 503, 0.1, problem="failed"),
            Prediction("a", {"x": "flange"}, 200, 0.1),
        ]
    )
    assert list(cells.drawing_ids) == ["b", "b", "a"]
    assert list(cells.names) == ["x", "y", "x"]
    assert list(cells.values) == [1.0, 2.0, "flange"]


# ---- provenance -----------------------------------------------------------------------------------------------------


@given(
    text=st.text(),
    packages=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text()),
    minutes=st.integers(-600, 600),
)
def test_provenance_comes_back(tmp_path_factory, text, packages, minutes):
    path = tmp_path_factory.mktemp("provenance") / "a.toml"
    at = datetime(2026, 11, 21, 3, 4, 5, tzinfo=timezone(timedelta(minutes=minutes)))
    text, packages = (
        text.encode("utf-8", "replace").decode(),
        {key: value.encode("utf-8", "replace").decode() for key, value in packages.items()},
    )
    written = replace(PROVENANCE, reason=text, approved_by=text, approved_at=at, packages=packages)
    write_provenance(path, written)
    assert read_provenance(path) == written


def test_provenance_holds_no_password(tmp_path):
    write_provenance(tmp_path / "a.toml", replace(PROVENANCE, url="https://me:secret@models.example:8443/a"))
    assert read_provenance(tmp_path / "a.toml").url == "https://models.example:8443/a"
    assert "secret" not in (tmp_path / "a.toml").read_text()


def test_bytes_that_are_no_text_do_not_stop_provenance(tmp_path):
    write_provenance(tmp_path / "a.toml", replace(PROVENANCE, reason="caf\udce9"))
    assert read_provenance(tmp_path / "a.toml").reason == "caf?"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("model =", "modell ="), "unknown key 'modell'"),
        (('model = "thickness"\n', ""), "has no model"),
        (('version = "1.0"', "version = 1.0"), "version is 1.0"),
        (("2026-11-21 03:04:05+00:00", "2026-11-21 03:04:05"), "obtained_at"),
        (('torch = "2.13.0"', "torch = 2"), "packages"),
        (("[packages]", "[[packages]]"), "packages is "),
        (("obtained_at = 2026-11-21 03:04:05+00:00", "obtained_at = 'soon'"), "obtained_at is 'soon'"),
        (("[packages]", "[packages"), "is not TOML"),
    ],
)
def test_provenance_that_is_wrong(tmp_path, change, said):
    path = tmp_path / "a.toml"
    write_provenance(path, PROVENANCE)
    before = path.read_text()
    assert change[0] in before
    path.write_text(before.replace(*change))
    with pytest.raises(ConfigError, match=said) as caught:
        read_provenance(path)
    assert str(path) in caught.value.what
    assert caught.value.fix


# ---- from obtained to golden ----------------------------------------------------------------------------------------

CELLS = Values(["a", "b"], ["x", "x"], [1.0, 2.0])


def folder_with_obtained(tmp_path, cells=CELLS):
    folder = tmp_path / "thickness"
    write_obtained(folder, cells, PROVENANCE)
    return folder


def approved(folder, reason="first"):
    return replace(read_provenance(folder / "obtained.toml"), approved_by="a person", reason=reason)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_obtained_becomes_golden_and_is_gone(tmp_path):
    folder = folder_with_obtained(tmp_path)
    assert names(folder) == ["obtained.csv", "obtained.toml"]
    assert approve(folder, approved(folder)) == folder / "expected.csv"
    assert names(folder) == ["expected.csv", "provenance.toml"]
    assert list(read_golden(folder).values) == [1.0, 2.0]
    assert read_provenance(folder / "provenance.toml").reason == "first"


def test_a_run_that_ended_early_is_beside_the_complete_one_until_the_next(tmp_path):
    folder = folder_with_obtained(tmp_path)
    path = write_partial(folder, Values(["a"], ["x"], [5.0]))
    assert path == folder / "obtained.partial.csv"
    assert list(read_values(folder / "obtained.csv").values) == [1.0, 2.0]
    write_obtained(folder, CELLS, PROVENANCE)
    assert names(folder) == ["obtained.csv", "obtained.toml"]


def test_nothing_partial_is_approved(tmp_path):
    folder = tmp_path / "thickness"
    write_partial(folder, CELLS)
    with pytest.raises(GoldenError, match="Nothing to approve"):
        approve(folder, PROVENANCE)


def test_a_golden_written_by_hand_needs_no_provenance(tmp_path):
    write_values(tmp_path / "expected.csv", CELLS)
    assert list(read_golden(tmp_path).values) == [1.0, 2.0]


@pytest.mark.parametrize("edit", [lambda text: text.replace("2.0", "2.5"), lambda text: text[: text.index("b,x")]])
def test_a_golden_edited_or_cut_after_its_approval_is_refused(tmp_path, edit):
    folder = folder_with_obtained(tmp_path)
    approve(folder, approved(folder))
    path = folder / "expected.csv"
    path.write_text(edit(path.read_text()))
    with pytest.raises(GoldenError, match="is not the file that was approved") as caught:
        read_golden(folder)
    assert "git checkout" in caught.value.fix


def test_a_golden_edited_after_its_approval_is_no_approval_that_was_cut_off(tmp_path):
    """Even where there is a later recording."""
    folder = folder_with_obtained(tmp_path)
    approve(folder, approved(folder))
    (folder / "expected.csv").write_text(HEADER + "a,x,3.0\n")
    write_obtained(folder, Values(["a"], ["x"], [7.0]), PROVENANCE)
    with pytest.raises(GoldenError, match="is not the file that was approved"):
        read_golden(folder)


def test_what_cannot_be_read_is_not_approved(tmp_path):
    folder = folder_with_obtained(tmp_path)
    (folder / "obtained.csv").unlink()
    (folder / "obtained.csv").mkdir()
    with pytest.raises(GoldenError, match=r"obtained\.csv cannot be read"):
        approve(folder, PROVENANCE)


def test_provenance_that_names_no_file_is_refused(tmp_path):
    folder = folder_with_obtained(tmp_path)
    approve(folder, approved(folder))
    write_provenance(folder / "provenance.toml", PROVENANCE)
    with pytest.raises(GoldenError, match="is not the file that was approved"):
        read_golden(folder)


def test_edited_obtained_values_are_not_approved(tmp_path):
    folder = folder_with_obtained(tmp_path)
    (folder / "obtained.csv").write_text(HEADER + "a,x,3.0\n")
    with pytest.raises(GoldenError, match=r"does not belong to obtained\.toml"):
        approve(folder, PROVENANCE)
    assert "expected.csv" not in names(folder)


def test_values_that_changed_after_they_were_shown_are_not_approved(tmp_path):
    folder = folder_with_obtained(tmp_path)
    shown = approved(folder)
    write_obtained(folder, Values(["a"], ["x"], [7.0]), PROVENANCE)
    with pytest.raises(GoldenError, match="changed while its approval was under way"):
        approve(folder, shown)
    assert "expected.csv" not in names(folder)


def test_an_empty_golden_is_not_approved(tmp_path):
    folder = folder_with_obtained(tmp_path, Values([], [], []))
    with pytest.raises(GoldenError, match="holds no values"):
        approve(folder, approved(folder))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_an_approval_cut_off_anywhere_is_seen_and_can_be_finished(tmp_path, monkeypatch, first, writes):
    """Stopped before its first, second, ... change of a file: the golden is the old one, the new one, or refused."""
    folder = folder_with_obtained(tmp_path)
    if not first:
        approve(folder, approved(folder))
        write_obtained(folder, Values(["a"], ["x"], [9.0]), PROVENANCE)
    new = list(read_values(folder / "obtained.csv").values)
    with monkeypatch.context() as patch:
        left = [writes]

        def cut_off(function):
            def step(*args):
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1
                return function(*args)

            return step

        for name in ("write_provenance", "write_atomically", "remove"):
            patch.setattr(goldmar.golden.store, name, cut_off(getattr(goldmar.golden.store, name)))
        with pytest.raises(KeyboardInterrupt):
            approve(folder, approved(folder, "again"))
    if writes == 0:
        assert (folder / "provenance.toml").exists() is not first
        if not first:
            assert list(read_golden(folder).values) == [1.0, 2.0]
    elif writes == 1:
        with pytest.raises(GoldenError, match="does not exist" if first else "was cut off") as caught:
            read_golden(folder)
        assert caught.value.fix
    else:
        assert list(read_golden(folder).values) == new
    if (folder / "obtained.csv").exists():
        approve(folder, approved(folder, "again"))
    assert list(read_golden(folder).values) == new


def test_a_recording_cut_off_between_its_files_is_not_approved(tmp_path, monkeypatch):
    folder = folder_with_obtained(tmp_path)
    monkeypatch.setattr(
        goldmar.golden.recording, "write_provenance", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        write_obtained(folder, Values(["a"], ["x"], [7.0]), PROVENANCE)
    monkeypatch.undo()
    with pytest.raises(GoldenError, match=r"the last recording of thickness failed at .*: KeyboardInterrupt"):
        approve(folder, PROVENANCE)
