"""The Dagster side: definitions, and what they need to call the stages."""
