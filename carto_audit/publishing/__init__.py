"""Publishing: what of an audit may be public: the dataset card, Croissant, a pull request on the hub: `open_pull_request`."""
