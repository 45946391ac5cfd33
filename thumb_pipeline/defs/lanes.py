"""Which runs go first: the lanes, as tags of runs.

New captures are waited for, an operator's regeneration is watched, maintenance is neither. The tag orders Dagster's
queue of runs and preempts nothing: what runs goes on. Runs without it count as 0.
"""

PRIORITY = "dagster/priority"

CAPTURES = {PRIORITY: "10"}
REGENERATION = {PRIORITY: "0"}
MAINTENANCE = {PRIORITY: "-10"}
