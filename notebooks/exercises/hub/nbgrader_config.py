"""Where nbgrader hands out and collects on the hub, for students and for the teacher."""

from pathlib import Path

c = get_config()  # noqa: F821 (nbgrader runs this file with it)

c.CourseDirectory.course_id = "nomination"
c.ExchangeSubmit.strict = True  # a notebook with another name is refused
c.Exchange.root = str(Path(__file__).resolve().parents[1] / "exchange")
# Three folders below the chapters, so that an exercise's links to its chapter hold.
fetched = Path.home() / "notebooks" / "exercises" / "release"
if fetched.is_dir():
    c.Exchange.assignment_dir = str(fetched)
