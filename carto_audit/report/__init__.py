"""Report: the page of an audit, and the words and pictures that every other form of it shares."""
