"""Stopping runs whose services are gone."""

import json
from pathlib import Path

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.runs.control import stop_run
from thumb_pipeline_tests.stages.archives import Archive

pytestmark = pytest.mark.quick


def test_a_run_whose_code_server_is_gone_before_it_had_a_process_can_be_stopped(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    library = Archive(tmp_path / "library").library
    job = build_definitions(library=library.root).resolve_job_def("generate")
    gone = json.dumps({"host": "localhost", "socket": str(tmp_path / "gone.sock")})
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING, tags={".dagster/grpc_info": gone})
    stop_run(library, instance, run.run_id)
    stopping = instance.get_run_by_id(run.run_id)
    assert stopping is not None
    assert stopping.status == dg.DagsterRunStatus.CANCELING
