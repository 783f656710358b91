"""Policy: what a team allows, in YAML: `load_policy`, `diff_policies`, `explain_policy`, and all that can be limited."""
