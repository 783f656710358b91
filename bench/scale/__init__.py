"""Scale: does another engine find the same, and what does it cost."""
