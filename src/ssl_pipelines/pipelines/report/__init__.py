"""metrics.json and report.html."""
