"""Who killed a worker: only what the kernel has counted is put down to a want of memory."""

from pathlib import Path

import pytest

from goldmar.process.memory import for_want_of_memory, oom_kills


def test_the_counter_of_our_cgroup_comes_first(tmp_path: Path) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (cgroups / "a/b").mkdir(parents=True)
    assert oom_kills(proc, cgroups) is None
    (proc / "vmstat").write_text("pgfault 7\noom_kill 5\n")
    assert oom_kills(proc, cgroups) == 5
    (cgroups / "memory.events").write_text("oom_kill\noom_kill many\n")
    assert oom_kills(proc, cgroups) == 5
    (cgroups / "memory.events").write_text("oom 9\noom_kill 3\noom_group_kill 8\n")
    assert oom_kills(proc, cgroups) == 3
    (proc / "self/cgroup").write_text("4:memory:/x\n0::/a/b\n")
    assert oom_kills(proc, cgroups) == 3
    (cgroups / "a/b/memory.events").write_text("low 0\noom_kill 1\n")
    assert oom_kills(proc, cgroups) == 1


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (1, 2, "by the system, for want of memory"),
        (1, 1, "by somebody: the kernel has killed nothing"),
        (None, 1, "by somebody, or"),
        (1, None, "by somebody, or"),
    ],
)
def test_only_what_was_counted_is_said(before: int | None, now: int | None, words: str) -> None:
    assert for_want_of_memory(before, now).startswith(words)
