-- sysbench's own oltp_point_select, timed. `--db-ps-mode` says whether its statement is prepared or sent as text.

require("oltp_point_select")
require("timing")

time_events()
