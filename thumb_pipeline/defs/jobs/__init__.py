"""The jobs with their ops, one module for each job or kind of jobs. `schedules` says when they run by themselves."""
