"""Questions: rows that ask and answer, told by their form, and which are known by rote: `find_question`, `ask_questions`."""
