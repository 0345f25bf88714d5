from goldmar.affected import MOST_JOBS
from goldmar.config import Project, load_project
from goldmar.files import written
from goldmar.gate import judge
from goldmar.golden import OPTIONS, check_option
from goldmar.init import Kind, scaffold
from goldmar.pipeline.affected import Reached, find_affected
from goldmar.pipeline.approval import Accepted, Proposal, accept_all, propose, recorded
from goldmar.pipeline.archives import archives_for, build_archives, refuse_unmet, verify_archive
from goldmar.pipeline.bisect import bisect, write_kept
from goldmar.pipeline.environments import environment_of
from goldmar.pipeline.goldens import Golden, by_drawing, read_model
from goldmar.pipeline.jobs import (
    CHECK,
    RECORD,
    Job,
    Opener,
    check,
    hold,
    record,
    recording,
    refuse_unused_patterns,
    told_apart,
)
from goldmar.pipeline.project import Ci, Fate, Prepared, lock_models, prepare
from goldmar.pipeline.reports import (
    bisection_to_json,
    show,
    show_bisection,
    show_proposal,
    to_json,
    write_bisection,
    write_reports,
)
from goldmar.pipeline.selection import (
    built_elsewhere,
    model_names,
    not_compared,
    select_handlers,
    select_models,
    select_recorded,
)
from goldmar.pipeline.servers import (
    compose_opener,
    local_opener,
    remote_opener,
    serve,
    token_file,
    wait_while_alive,
    worker_opener,
)
from goldmar.pipeline.watch import Watch
from goldmar.predict import predict

__all__ = [
    "CHECK",
    "MOST_JOBS",
    "OPTIONS",
    "RECORD",
    "Accepted",
    "Ci",
    "Fate",
    "Golden",
    "Job",
    "Kind",
    "Opener",
    "Prepared",
    "Project",
    "Proposal",
    "Reached",
    "Watch",
    "accept_all",
    "archives_for",
    "bisect",
    "bisection_to_json",
    "build_archives",
    "built_elsewhere",
    "by_drawing",
    "check",
    "check_option",
    "compose_opener",
    "environment_of",
    "find_affected",
    "hold",
    "judge",
    "load_project",
    "local_opener",
    "lock_models",
    "model_names",
    "not_compared",
    "predict",
    "prepare",
    "propose",
    "read_model",
    "record",
    "recorded",
    "recording",
    "refuse_unmet",
    "refuse_unused_patterns",
    "remote_opener",
    "scaffold",
    "select_handlers",
    "select_models",
    "select_recorded",
    "serve",
    "show",
    "show_bisection",
    "show_proposal",
    "to_json",
    "token_file",
    "told_apart",
    "verify_archive",
    "wait_while_alive",
    "worker_opener",
    "write_bisection",
    "write_kept",
    "write_reports",
    "written",
]
