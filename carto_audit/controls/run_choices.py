"""Run choices: what may be asked of controls in a real run. Loads nothing, so that a command's help costs nothing."""

TOKEN_SHARE = 0.01
"""Of the tokens of a real run, what controls may take."""

DOSES = (1, 4, 16)
"""Planted besides the dose that the policy asks about."""

MOST_DOSE = 256

PACKINGS = ("none", "bfd", "bfd_split", "wrapped")
"""How a run puts samples into sequences: each by itself or several whole ones, both cut at the longest length; several, where
what is too long is split; or one stream of tokens, cut anywhere."""

MOST_SHARE = 0.5
