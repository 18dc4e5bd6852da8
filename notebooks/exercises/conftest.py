"""What nbgrader makes here is not part of the course: `pytest --nbval` runs the sources alone."""

collect_ignore = ["release", "submitted", "autograded", "feedback"]
