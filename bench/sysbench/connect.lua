-- A new connection for each question; what is timed is all three, to connect, to ask and to disconnect.

require("timing")

sysbench.cmdline.options = {
   table_size = {"Rows of the table", 1}
}

function thread_init()
   driver = sysbench.sql.driver()
end

function event()
   local connection = driver:connect()
   connection:query_row("SELECT c FROM sbtest1 WHERE id = " .. sysbench.rand.uniform(1, sysbench.opt.table_size))
   connection:disconnect()
end

time_events()
