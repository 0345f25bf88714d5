"""Whether the kernel killed a process for want of memory: what it counted before and after, not a guess."""

from pathlib import Path

__all__ = ["for_want_of_memory", "oom_kills"]

_EVENTS = "memory.events"


def oom_kills(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Processes that the kernel has killed so: in our cgroup where it tells, else on this machine; None where neither.

    Formats: `oom_kill` of memory.events (kernel documentation, cgroup-v2) and of /proc/vmstat.
    """
    group = next((line[3:] for line in _lines(proc / "self" / "cgroup") if line.startswith("0::")), "").lstrip("/")
    for path in (cgroups / group / _EVENTS, cgroups / _EVENTS, proc / "vmstat"):
        for line in _lines(path):
            key, _, count = line.partition(" ")
            if key == "oom_kill" and count.strip().isdecimal():
                return int(count)
    return None


def for_want_of_memory(before: int | None, now: int | None) -> str:
    """Who killed it, as far as the counts tell."""
    if before is None or now is None:
        return "by somebody, or by the system for want of memory"
    if now > before:
        return "by the system, for want of memory"
    return "by somebody: the kernel has killed nothing for want of memory meanwhile"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
