"""Report: the page of an audit, `render_html`, and the words and pictures that every other form of it shares."""
