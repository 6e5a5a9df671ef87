-- Logins of which some fail through no fault of the client: `--login-tries` says how often each is tried.

function login_option(options)
   options.login_tries = {"How often a login is tried before it counts as failed", 1}
   return options
end

function patiently(log_in, ...)
   for _ = 2, sysbench.opt.login_tries do
      local done, result = pcall(log_in, ...)
      if done then
         return result
      end
   end
   return log_in(...)
end
