"""The worker processes that open pictures: their tasks and answers, their limits, and what a crash means."""
