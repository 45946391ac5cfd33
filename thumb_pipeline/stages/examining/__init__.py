"""Looks into files, in worker processes: what may be adopted, what is damaged, what nobody claims."""
