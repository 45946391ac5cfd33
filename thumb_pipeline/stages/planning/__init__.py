"""What must be made, and what nothing expects: policy, applied to what exists and to what is recorded."""
