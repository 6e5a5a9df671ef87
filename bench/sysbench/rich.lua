-- Clients with a session of their own: three settings, one of which servers report, a user variable, and 50 prepared
-- statements, of which each event runs one.

require("timing")

sysbench.cmdline.options = {
   table_size = {"Rows of the table", 1}
}

local STATEMENTS = 50

function thread_init()
   local client = sysbench.tid
   connection = sysbench.sql.driver():connect()
   connection:query(string.format(
      "SET SESSION time_zone = '+00:%02d', SESSION group_concat_max_len = %d, SESSION lock_wait_timeout = %d, @client = %d",
      client % 60, 2048 + client, 1000 + client, client))
   statements, numbers = {}, {}
   for at = 1, STATEMENTS do
      local text = string.format("SELECT c AS c%d FROM sbtest1 WHERE id = ?", at)
      statements[at] = connection:prepare(text)
      numbers[at] = statements[at]:bind_create(sysbench.sql.type.INT)
      statements[at]:bind_param(numbers[at])
   end
end

function event()
   local at = sysbench.rand.uniform(1, STATEMENTS)
   numbers[at]:set(sysbench.rand.uniform(1, sysbench.opt.table_size))
   statements[at]:execute()
end

function thread_done()
   for _, statement in ipairs(statements) do
      statement:close()
   end
   connection:disconnect()
end

time_events()
