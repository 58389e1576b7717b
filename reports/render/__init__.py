"""LaTeX, the HTML page, BibTeX and macros: from blocks to files."""
