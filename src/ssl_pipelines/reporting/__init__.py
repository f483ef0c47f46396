"""Numbers in, pictures out: tables, figures and self-contained HTML pages. Knows no torch."""
