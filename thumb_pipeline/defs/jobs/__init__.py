"""The jobs, one module a job or kind of jobs, with its ops. When they run by themselves is in `schedules`."""
