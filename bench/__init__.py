"""What is claimed about sight, speed and cost, as scripts that anyone can run. README.md says what each of them measures."""
