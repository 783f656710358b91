"""Policy: what a team allows, in YAML: `load_policy`, `diff_policies`, `explain`, the list of metrics."""
