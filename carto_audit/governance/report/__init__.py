"""The report of the governance loop: words, pictures, page (`render_redteam`) and terminal summary, from `redteam.json` alone."""
