"""Curation: a batch divided as its audit decided, `curate`, and the weights by which a trainer draws rows: `sampler`."""
