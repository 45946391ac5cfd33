"""The file that `init` writes: every default with a word about it. A test holds it against those of `toml_file`."""

DEFAULT_SETTINGS = """\
# thumbs.toml makes this folder a library of thumb_pipeline and says how its thumbnails are made.
# Sources are read from cameras/camera-{id}/timelapse-{id}/frames/ and never written, moved or deleted.
# Every line shows the default; a changed value holds from the next command on.

# The cameras' local time, as a name of the IANA time zone database. A camera or timelapse may have its own.
timezone = "UTC"

# What shows where a picture is transparent, and around it where fit = "pad".
background = "#ffffff"

# A new file is complete when it ends as its format says, or when its size and mtime were the same twice, this far
# apart (seconds).
settle_interval_s = 2.0

[storage]
# Where records, plans and the Dagster instance live. Relative to this folder, or absolute (another disk).
state = ".thumb_pipeline"
# Where the variant folders live: "." is beside each frames/ folder; another root gets the same tree.
variants = "."

[rendering]
# Pictures at once; 0 takes one for each core.
workers = 0
# Seconds one source may take, the megapixels it may have, and the memory (MB) a worker may use.
deadline_s = 60.0
max_megapixels = 200.0
max_memory_mb = 2048
# The moment (seconds) of a video that its variants show; left out, it is a tenth of the duration.
# frame_at_s = 3.0

[retries]
# Seconds from each vain try to read a source to the next; after the last one it stays failed until it changes.
delays_s = [30.0, 120.0, 300.0]

[brakes]
# A listing that lost more than this share of a timelapse's sources, and at least that many, is not believed until
# it is accepted with --accept-shrink. An empty one never is.
max_shrink_ratio = 0.10
min_shrink_sources = 5
# A sweep that would take more than this share of the variant files of a timelapse, or of the library, and at least
# this many, is refused until it is repeated with --force.
max_sweep_ratio_timelapse = 0.5
max_sweep_ratio_library = 0.1
min_sweep_variants = 20

[trash]
# Days for which what sweep and purge removed can be restored; older entries go at the next sweep or purge.
keep_days = 7.0

[verification]
# What one run of the rolling verification may read (bytes) and how long it may take (seconds); it opens the sources
# that were looked at longest ago and their variants, and goes on there the next time.
rolling_bytes = 10000000000
rolling_s = 1800.0

[checks]
# The share of variants that may be failed, and the hours that the oldest capture may wait for its variants, before the
# checks in the UI turn red.
max_failed_ratio = 0.01
max_wait_h = 24.0

[captures]
# The workers for new captures stay this long after the last one (seconds). With keep_warm their run stays without them
# and meets the next one within a second (190 MB of memory); without, it ends, and the next one waits for a start.
linger_s = 30.0
keep_warm = true

[batches]
# Seconds of work in one chunk of a large run, and in one batch of new captures: what a cancel or a crash may cost, and
# how long the newest frame may have to wait behind an import.
chunk_s = 60.0
captures_s = 3.0
# How many timelapses one run of a backfill takes; read when the services start.
timelapses_per_run = 250

[runs]
# Days for which Dagster keeps finished runs; each night older ones are forgotten, but for those that hold the latest
# news of a timelapse. 0 keeps all.
keep_days = 90.0

# Each variant: its folder beside frames/, its tag in file names, its box in pixels (leave one side out to keep it
# open), fit = "contain", "cover" (with gravity) or "pad", format = "jpeg", "png", "webp" or "avif".
[variants.thumbnail]
folder = "thumbnails"
tag = "thumb"
max_width_px = 200
max_height_px = 150
fit = "contain"
gravity = "center"
format = "jpeg"
quality = 85
progressive = false
enlarge = false

[variants.small]
folder = "smalls"
tag = "small"
max_width_px = 800
max_height_px = 600
fit = "contain"
gravity = "center"
format = "jpeg"
quality = 85
progressive = false
enlarge = false

# Which variants each source must have. Overridden below a camera, and below a timelapse. docs/policies.md has all keys.
[policy]
variants = ["thumbnail", "small"]
generate_thumbnails = true
small_generation_mode = "all"        # or "latest_only" or "none"
purge_smalls_on_completion = false   # true: a timelapse with status = "completed" needs no smalls

# [policy.retention.small]
# keep_days = 30
# then_every_s = 3600                # after 30 days one an hour; without this line none

# [cameras."camera-1"]
# timezone = "Europe/Berlin"
# [cameras."camera-1".policy]
# variants = ["thumbnail"]

# [timelapses."camera-1/timelapse-2"]
# start_date = 2025-04-22            # what day001 in its file names means
# status = "completed"
# [timelapses."camera-1/timelapse-2".policy]
# variants = ["thumbnail", "small"]
"""
