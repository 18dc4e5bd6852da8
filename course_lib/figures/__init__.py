"""Every figure of the course: one function each, in colours that survive colour blindness and
greyscale.
"""

from course_lib.figures.comparisons import (
    differences,
    differences_by,
    differences_grouped,
    dumbbells,
    exchanges,
    gains,
    parts_of,
    share_bars,
    shifts,
    with_and_without,
)
from course_lib.figures.day import dashboard, day_line, shard_notes
from course_lib.figures.log import (
    bright,
    head_effect,
    hours_against_day,
    item_map,
    log_days,
    newcomers,
    strips,
)
from course_lib.figures.matrices import heat, loss_matrix, mixed_columns, verdicts
from course_lib.figures.model import (
    curves,
    estimates,
    grown,
    nominated_scores,
    pipeline,
    slice_bars,
    towers,
    turning,
)
from course_lib.figures.production import (
    alias_in_time,
    capacity,
    divided_tables,
    forecasts,
    offset_in_time,
    parts_and_copies,
    wedge,
)
from course_lib.figures.search import aged, circles, codes, cost, dials, frontier, memory, read_off
from course_lib.figures.style import arms, fingerprint, panels, show, tag
from course_lib.figures.trades import trade_path
from course_lib.figures.updates import (
    beside_diagonal,
    copied_and_split,
    delta_rows,
    embedding_rows,
    marked_days,
    matched_and_mixed,
    night_line,
    over,
    shares,
)
from course_lib.figures.views import (
    contrast,
    map_and_match,
    masks,
    matches,
    relations,
    tiles,
    views_map,
    views_maps,
)
