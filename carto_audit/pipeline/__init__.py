"""Pipeline: the order of the stages, from a batch to a verdict and its files: `run_audit`, `report_facts`, `write_outputs`."""
