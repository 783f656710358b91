"""Governance: does acting on the map help? `run_redteam` plants, treats, retrains and attacks; `redteam_facts` picks the knee."""
