"""Dagster's daemon as tests need it: what it does every 30 or 5 seconds, it does every second or two.

Python runs this at its start, because the tests put this folder on the path of the `up` that they start. What it does
is unchanged; only the waiting, most of the time that tests of it took, is shorter. `true_speed` leaves it as it is.
"""

import os
import sys

if any(argument.endswith(("thumb_pipeline.cli.dagster.daemon", "dagster-daemon")) for argument in sys.orig_argv):
    os.environ["DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS"] = "1"  # asks for retries of failed runs
    os.environ["DAGSTER_DAEMON_CORE_LOOP_EXCEPTION_SLEEP_INTERVAL"] = "1"

    from dagster._core.instance.methods import settings_methods
    from dagster._daemon import controller, sensor

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2  # backfills; each turn of one computes for up to a second
    sensor.MIN_INTERVAL_LOOP_TIME = 1
    settings_methods.SettingsMethods.run_monitoring_poll_interval_seconds = property(lambda _: 1)  # finds lost runs

if sys.orig_argv[1:5] == ["-m", "dagster", "api", "grpc"]:
    from thumb_pipeline.defs import sensors

    sensors._TICK_S = 3.0  # a code server ends with its tick, and `up` waits for that as long as it waits for anything
