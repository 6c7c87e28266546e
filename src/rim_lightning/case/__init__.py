"""Records for case files: an answer with all that is needed to check it, and reports of it for people."""
