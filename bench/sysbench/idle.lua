-- Clients that do nothing: each thread makes its share of the connections, one after the other, asks once on each, and
-- then says so and sleeps. They connect in an event: sysbench gives up on threads that take 30 seconds to get ready.

local ffi = require("ffi")

require("logins")

ffi.cdef([[
unsigned int sleep(unsigned int seconds);
]])

sysbench.cmdline.options = login_option({
   table_size = {"Rows of the table", 1},
   connections = {"Connections of all threads", 1}
})

function event()
   local driver = sysbench.sql.driver()
   local connections = {}
   for _ = sysbench.tid + 1, sysbench.opt.connections, sysbench.opt.threads do
      local connection = patiently(driver.connect, driver)
      connection:query_row("SELECT c FROM sbtest1 WHERE id = " .. sysbench.rand.uniform(1, sysbench.opt.table_size))
      connections[#connections + 1] = connection
   end
   io.stderr:write("all have asked\n")
   ffi.C.sleep(3600)
   for _, connection in ipairs(connections) do
      connection:disconnect()
   end
end
