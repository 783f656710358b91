"""Proxies: the small models that are trained on a batch, and what they say of it: `find_kin`, `cross_fit`, `load_proxy`."""
