"""The report of the governance loop: its words, pictures, page and terminal summary, from `redteam.json` alone."""
