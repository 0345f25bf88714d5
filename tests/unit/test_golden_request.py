"""request.toml: what may stand in it, that nothing gets out of its place, and that options win."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldmar.errors import ConfigError, UsageError
from goldmar.golden import RequestSettings, check_options, read_request
from goldmar.records import Drawing, Origin, Reach

RUNNING = Origin("remote", "http://host", named=True)


def reach(**options: str) -> Reach:
    """By the keys of request.toml."""
    return Reach(**{"model_version" if key == "version" else key: value for key, value in options.items()})


def check_option(key: str, value: str) -> str:
    return check_options(reach(**{key: value}))[key]


GOOD = {
    "version": ["1", "2.1", "v2", "2026-10-01", "1.0-rc1", "x" * 64],
    "path": [
        "/invocations",
        "/predict/",
        "/v1/models/{model}:predict",
        "/a.b/~c/{model}.{version}",
        "/{model}/versions/{version}/infer",
        "/...",
        "/.hidden",
    ],
    "content_type": [
        "application/json",
        "application/vnd.acme+json",
        "text/csv; charset=utf-8",
        'text/csv;header="yes and no"',
    ],
    "field": ["data", "file", "files[]", "image_1", "a.b"],
}
BAD = {
    "version": ["", "..", ".", "1/2", "1 2", "1%2F", "1?x", "1#x", "1\r\n", "1\n", "é", "x" * 65, "-1"],
    "path": [
        "",
        "predict",
        "/",
        "//host/x",
        "/a//b",
        "/a/../b",
        "/..",
        "/../",
        "/.",
        "/a/./b",
        "/a?x=1",
        "/a#b",
        "/a b",
        "/a%2e%2e/b",
        "/a\\..\\b",
        "/a\r\nHost: x",
        "/a\n",
        "/a\x00",
        "/{name}",
        "/{model",
        "/{{model}}",
        "/größe",
        "http://host/a",
        "/" + "a" * 500,
    ],
    "content_type": [
        "",
        "json",
        "application/",
        "a/b/c",
        "application/json\r\nX: y",
        "application/json\n",
        "text/csv; charset",
        "text/csv;\ncharset=utf-8",
        "text/csv; charset=a\r\nb",
        'text/csv; header="a\r\nb"',
        "te xt/csv",
        "text/csv, text/plain",
        "multipart/form-data",
        "Multipart/Mixed; boundary=x",
        "text/" + "a" * 200,
        "text/é",
    ],
    "field": ["", "a b", 'a"', "a\r\n", "a\n", "a;b", "a=b", "é", "x" * 65, "../a"],
}


def toml(folder: Path, text: str) -> Path:
    (folder / "request.toml").write_text(text, encoding="utf-8")
    return folder


def version_too(key: str, value: str) -> dict[str, str]:
    return {key: value} | ({"version": "7"} if "{version}" in value else {})


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in GOOD for value in GOOD[key]])
def test_what_may_stand_in_it(tmp_path: Path, key: str, value: str) -> None:
    whole = version_too(key, value)
    toml(tmp_path, "".join(f"{name} = '{text}'\n" for name, text in whole.items()))
    assert getattr(read_request(tmp_path), key) == value
    assert check_option(key, value) == value
    assert getattr(RequestSettings().overridden(reach(**whole)), key) == value


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in BAD for value in BAD[key]])
def test_what_may_not(tmp_path: Path, key: str, value: str) -> None:
    escaped = "".join(f"\\u{ord(each):04x}" for each in value)
    with pytest.raises(ConfigError, match=f"request.toml: {key} is"):
        read_request(toml(tmp_path, f'{key} = "{escaped}"\n'))
    with pytest.raises(UsageError, match=f"--{key.replace('version', 'model-version').replace('_', '-')} is") as caught:
        check_option(key, value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("versoin = '1'\n", "Did you mean 'version'"),
        ("version = 1\n", "version is 1"),
        ("path = ['/a']\n", "path is"),
        ("[request]\npath = '/a'\n", "unknown key 'request'"),
        ("version\n", "is not TOML"),
        ("path = '/a/{version}'\n", "no version"),
        ("path = '/a'\nversion = '1'\n", "no place for it"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read_request(toml(tmp_path, text))
    assert caught.value.fix


def test_without_the_file_all_is_as_torchserve_has_it(tmp_path: Path) -> None:
    settings = read_request(tmp_path)
    assert settings == RequestSettings()
    assert (settings.at(RUNNING), settings.described(RUNNING)) == ({"version": "", "path": ""}, ())
    drawing = Drawing("a", tmp_path / "a.png", "image/png")
    assert settings.drawings([drawing]) == (drawing,)


def test_a_link_that_leads_nowhere_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "request.toml").symlink_to("gone.toml")
    with pytest.raises(ConfigError):
        read_request(tmp_path)


def test_options_win_and_both_are_told(tmp_path: Path) -> None:
    settings = read_request(toml(tmp_path, "version = '1'\nfield = 'data'\ncontent_type = 'text/csv'\n"))
    changed = settings.overridden(reach(version="2", path="/x/{version}", field="data"))
    assert changed.described(RUNNING) == (
        "--model-version 2 instead of 1 of request.toml",
        "--path /x/{version}",
        "content_type text/csv of request.toml",
        "field data of request.toml",
    )
    assert changed.at(RUNNING) == {"version": "2", "path": "/x/{version}"}
    assert changed.drawings([Drawing("a", tmp_path, "image/png")])[0].content_type == "text/csv"
    with pytest.raises(UsageError, match="no place for it"):
        settings.overridden(reach(path="/x"))


def test_a_server_that_goldmar_started_is_asked_as_torchserve_is(tmp_path: Path) -> None:
    settings = read_request(toml(tmp_path, "version = '1'\nfield = 'data'\n"))
    own = Origin("local", "http://127.0.0.1:1")
    assert settings.at(own) == {}
    assert settings.described(own) == ("field data of request.toml",)


HOSTILE = st.text(st.sampled_from("/.{}modelversion?#%\\ \r\n\t\"'@:;=&\x00\x85\u2028é1aA-_~"), max_size=30)


@given(HOSTILE)
def test_no_path_leaves_its_place(value: str) -> None:
    try:
        check_option("path", value)
    except UsageError:
        return
    parts = value.strip("/").split("/")
    assert value.startswith("/")
    assert value.isascii()
    assert value.isprintable()
    assert not {"", ".", ".."} & set(parts)
    assert not set('?#%\\ "') & set(value)


@given(HOSTILE)
def test_no_header_is_ended(value: str) -> None:
    for key in ("content_type", "field", "version"):
        try:
            check_option(key, f"a/b; {value}" if key == "content_type" else value)
        except UsageError:
            continue
        assert value.isascii()
        assert value.isprintable()
