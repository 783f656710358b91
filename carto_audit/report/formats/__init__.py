"""Formats: an audit for a terminal and for CI: SARIF, JUnit, GitLab, Markdown, GitHub annotations."""
