-- Times every event of a script: `time_events()` behind the script's own functions wraps them.
--
-- At its end each thread writes the file times/ID, a line for each event: when it ended (seconds since 1970) and how long
-- it took (milliseconds). What of it counts is decided by who reads it. Nothing is written while the load runs.

local ffi = require("ffi")

require("logins")

ffi.cdef([[
typedef struct { long seconds; long nanoseconds; } forebay_time;
int clock_gettime(int clock, forebay_time *time);
]])

local REALTIME = 0
local EVENTS_PER_CHUNK = 4096

local time = ffi.new("forebay_time")
local chunks = {}
local used = EVENTS_PER_CHUNK

local function now()
   ffi.C.clock_gettime(REALTIME, time)
   return tonumber(time.seconds) + tonumber(time.nanoseconds) * 1e-9
end

local function note(began, ended)
   if used == EVENTS_PER_CHUNK then
      chunks[#chunks + 1] = ffi.new("double[?]", 2 * EVENTS_PER_CHUNK)
      used = 0
   end
   local chunk = chunks[#chunks]
   chunk[2 * used] = ended
   chunk[2 * used + 1] = (ended - began) * 1000
   used = used + 1
end

local function write()
   local file = assert(io.open("times/" .. sysbench.tid, "w"))
   for number, chunk in ipairs(chunks) do
      local last = number == #chunks and used or EVENTS_PER_CHUNK
      for at = 0, last - 1 do
         file:write(string.format("%.6f %.4f\n", chunk[2 * at], chunk[2 * at + 1]))
      end
   end
   assert(file:close())
end

function time_events()
   login_option(sysbench.cmdline.options)
   local enter, ask, leave = thread_init, event, thread_done
   function thread_init(thread)
      patiently(enter, thread)
   end
   function event(thread)
      local began = now()
      local stop = ask(thread)
      note(began, now())
      return stop
   end
   function thread_done(thread)
      if leave then
         leave(thread)
      end
      write()
   end
end
