"""Formats: an audit for a terminal and for CI: `render` as SARIF, JUnit, GitLab, Markdown, GitHub annotations."""
