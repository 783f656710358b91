"""Curation: a batch divided as its audit decided, and the weights by which a trainer draws its rows."""
