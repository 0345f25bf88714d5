"""Reading TorchServe's log: lines that a real 0.12 wrote, shortened."""

from pathlib import Path

from goldmar.serve.log import Entry, LogReader, fix_of, last_traceback, parse, passings, tail

PRIVATE = "/tmp/goldmar-x/tmp/models/b19624b40b7e47ba9f200f5caf25b1eb"


def line(thread: str, logger: str, message: str, level: str = "INFO") -> str:
    return f"2026-11-21T03:58:34,246\t{level}\t{thread}\t{logger}\t{message}\n"


def said(*messages: str, worker: str = "W-9000-part_class_1.0", stream: str = "stdout") -> str:
    return "".join(line(f"{worker}-{stream}", "MODEL_LOG", message) for message in messages)


def closed(worker: str = "W-9000-part_class_1.0") -> str:
    return "".join(
        line(f"{worker}-{stream}", "WorkerLifeCycle", f"Stopped Scanner - {worker}-{stream}")
        for stream in ("stdout", "stderr")
    )


def retry(worker: str = "W-9000-part_class_1.0") -> str:
    return line(worker, "WorkerThread", "Retry worker: 9000 in 1 seconds.")


def test_a_java_stack_trace_belongs_to_its_message() -> None:
    text = (
        line("W-9000-a_1.0", "WorkerThread", "Backend worker error", "ERROR") + "x.y.Exception: gone\n\tat a.b(C:1)\n"
    )
    assert parse(text) == [
        Entry("ERROR", "W-9000-a_1.0", "WorkerThread", "Backend worker error\nx.y.Exception: gone\n\tat a.b(C:1)")
    ]


def test_a_tab_in_a_message_stays_and_a_line_without_a_beginning_is_dropped() -> None:
    assert [entry.message for entry in parse("half a line\n" + said("a\tb"))] == ["a\tb"]


def test_a_worker_that_lives_has_not_passed() -> None:
    assert passings(parse(said("Torch worker started."))) == []


def test_last_words_may_come_before_or_after_the_retry() -> None:
    before = passings(parse(said("one", "two") + closed() + retry()))
    after = passings(parse(said("one") + retry() + said("two") + closed()))
    assert [(gone.worker, gone.said, gone.complete) for gone in before] == [
        ("W-9000-part_class_1.0", ("one", "two"), True)
    ]
    assert before == after
    (half,) = passings(parse(said("one") + retry()))
    assert not half.complete


def test_each_life_of_a_worker_has_its_own_words() -> None:
    gone = passings(parse(said("first") + retry() + closed() + said("second") + retry() + closed() + said("third")))
    assert [one.said for one in gone] == [("first",), ("second",)]


def test_workers_are_told_apart_and_belong_to_their_models() -> None:
    text = said("a", worker="W-9000-part_1.0") + said("b", worker="W-9001-part_class_2.0")
    (gone,) = passings(parse(text + retry("W-9001-part_class_2.0") + closed("W-9001-part_class_2.0")))
    assert gone.said == ("b",)
    assert gone.of("part_class")
    assert gone.of("part_class", "2.0")
    assert not gone.of("thickness")


def test_the_traceback_is_the_handlers_own() -> None:
    lines = [
        "model_name: a, batchSize: 1",
        "Backend worker process died.",
        "Traceback (most recent call last):",
        '  File "/site-packages/ts/model_loader.py", line 108, in load',
        "    module, function_name = self._load_handler_file(handler)",
        f'  File "{PRIVATE}/handler.py", line 1, in <module>',
        "    import no_such_thing",
        "ModuleNotFoundError: No module named 'no_such_thing'",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        '  File "/site-packages/ts/model_service_worker.py", line 301, in <module>',
        "    worker.run_server()",
        "ModuleNotFoundError: No module named 'ts.torch_handler.handler'",
    ]
    assert last_traceback(lines) == (
        "Traceback (most recent call last):\n"
        '  File "handler.py", line 1, in <module>\n'
        "    import no_such_thing\n"
        "ModuleNotFoundError: No module named 'no_such_thing'"
    )


def test_a_traceback_through_no_file_of_the_archive_is_shown_whole() -> None:
    lines = ["Traceback (most recent call last):", '  File "/ts/util.py", line 14, in <module>', "ImportError: no yaml"]
    assert last_traceback(["hello", *lines]) == "\n".join(lines)


def test_an_empty_line_in_source_does_not_end_a_traceback() -> None:
    lines = ["Traceback (most recent call last):", "", f'  File "{PRIVATE}/h.py", line 1, in f', "ValueError: x"]
    assert (last_traceback(lines) or "").endswith("ValueError: x")


def test_no_traceback_is_none() -> None:
    assert last_traceback(["all is well"]) is None


def test_the_reader_takes_whole_lines_once_and_begins_a_rolled_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    reader = LogReader(path)
    assert not reader.read_new()
    path.write_text(said("one") + "2026-11-21T03:58:34,246\tIN")
    assert reader.read_new()
    assert not reader.read_new()
    with path.open("a") as file:
        file.write("FO\tmain\tModelServer\ttwo\n")
    assert reader.read_new()
    assert [entry.message for entry in reader.entries] == ["one", "two"]
    reader.forget()
    path.write_text(said("three"))
    assert reader.read_new()
    assert [entry.message for entry in reader.entries] == ["three"]


def test_tail(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    assert tail(path) == ""
    path.write_text("".join(f"{number}\n" for number in range(100)))
    assert tail(path, 2) == "98\n99"


def test_what_to_do_about_a_worker_that_died() -> None:
    """Whose it was may not be known: the command is then for all models."""
    assert fix_of("KeyError: 'scale'", None) == "Mend the handler, then: goldmar archive"
    assert fix_of("KeyError: 'scale'", "gear") == "Mend the handler, then: goldmar archive gear"
    missing = fix_of("ModuleNotFoundError: No module named 'cv2.x'", "gear")
    assert missing.startswith("Install the package that provides 'cv2' ")
    assert missing.endswith("or do without it: goldmar archive gear")
