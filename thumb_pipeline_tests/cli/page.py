"""What the UI asks Dagster's page and orders there, asked and ordered by tests over the same GraphQL."""

import json
import urllib.request
from typing import Any

LOCATION = {"repositoryLocationName": "thumb_pipeline", "repositoryName": "__repository__"}
FORCE = {"ops": {"thumbnails": {"ops": {"cut_plan": {"config": {"force": True}}}}}}
"""Config of a backfill that makes everything anew."""

_LAUNCH = """mutation($run: ExecutionParams!) { launchRun(executionParams: $run) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_LAUNCH_BACKFILL = """mutation($backfill: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $backfill) {
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_RUNS = """query($filter: RunsFilter!) { runsOrError(filter: $filter, limit: 1000) {
  ... on Runs { results { runId jobName status tags { key value } } } } }"""
_PARTITIONS = '{ assetNodeOrError(assetKey: {path: ["thumbnails"]}) { ... on AssetNode { partitionKeys } } }'
_BACKFILL = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
_TERMINATE = "mutation($ids: [String!]!) { terminateRuns(runIds: $ids) { __typename } }"


def answered(url: str, query: str, **variables: Any) -> dict[str, Any]:
    """The page's whole answer to a query: its `data`, and `errors` where it has any."""
    body, kind = json.dumps({"query": query, "variables": variables}).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/graphql", body, kind), timeout=60) as answer:
        return dict(json.load(answer))


def asked(url: str, query: str, **variables: Any) -> Any:
    """What a query names first, from an answer without errors."""
    answer = answered(url, query, **variables)
    assert "errors" not in answer, answer
    return next(iter(answer["data"].values()))


def partitions(url: str) -> list[str]:
    """The timelapses that Dagster knows; none before it has loaded the code."""
    return list(asked(url, _PARTITIONS).get("partitionKeys", []))


def launch(url: str, job: str, ops: dict[str, Any] | None = None, **metadata: Any) -> str:
    """Starts a run of a job with a config for its ops, as the page's button does; the run's id."""
    run_id = try_launch(url, job, ops, **metadata)
    assert run_id is not None, f"{job} was not launched"
    return run_id


def try_launch(url: str, job: str, ops: dict[str, Any] | None = None, **metadata: Any) -> str | None:
    """The same; None where Dagster itself takes no such config or metadata."""
    config = {"ops": {name: {"config": values} for name, values in (ops or {}).items()}}
    run = {"selector": {**LOCATION, "jobName": job}, "runConfigData": config, "executionMetadata": metadata}
    launched = (answered(url, _LAUNCH, run=run).get("data") or {}).get("launchRun") or {}
    return str(launched["run"]["runId"]) if "run" in launched else None


def launch_backfill(url: str, keys: list[str], config: dict[str, Any] | None = None) -> str:
    """Starts a backfill of the thumbnails of some timelapses; its id."""
    backfill = {"assetSelection": [{"path": ["thumbnails"]}], "partitionNames": keys, "runConfigData": config or {}}
    return str(asked(url, _LAUNCH_BACKFILL, backfill=backfill)["backfillId"])


def backfill_status(url: str, backfill_id: str) -> str:
    return str(asked(url, _BACKFILL, id=backfill_id)["status"])


def runs(url: str, *statuses: str, job: str | None = None, backfill: str | None = None) -> list[dict[str, Any]]:
    """Runs, the newest first: `runId`, `jobName`, `status` and `tags`, each with `key` and `value`."""
    wanted: dict[str, Any] = {} if job is None else {"pipelineName": job}
    wanted |= {"statuses": list(statuses)} if statuses else {}
    wanted |= {} if backfill is None else {"tags": [{"key": "dagster/backfill", "value": backfill}]}
    return list(asked(url, _RUNS, filter=wanted)["results"])


def statuses(url: str, *, job: str | None = None, backfill: str | None = None) -> list[str]:
    """The statuses of runs, the newest first."""
    return [run["status"] for run in runs(url, job=job, backfill=backfill)]


def status(url: str, run_id: str) -> str:
    [run] = [run for run in runs(url) if run["runId"] == run_id]
    return str(run["status"])


def terminate(url: str, *run_ids: str) -> None:
    asked(url, _TERMINATE, ids=list(run_ids))
