"""Proxies: the small models that are trained on a batch, and who is kin: `choose_proxy`, `find_kin`, `cross_fit`."""
