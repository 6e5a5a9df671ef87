//! What the kernel says a process used: processor time to the nanosecond, memory, open files.
//!
//! Processor time is the sum over the process's threads of the first number of `/proc/PID/task/TID/schedstat`
//! (proc(5): nanoseconds spent on the processor). A thread that ended takes its time with it, so readings must be
//! taken while the threads of interest live; proxies keep theirs.

use std::path::Path;

use anyhow::{Context, Result};

/// Nanoseconds all live threads of `pid` have run.
pub fn cpu_nanoseconds(pid: u32) -> Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let mut sum = 0;
    for task in
        std::fs::read_dir(&tasks).with_context(|| format!("process {pid} is gone ({tasks})"))?
    {
        // A thread may end between the listing and the reading.
        sum += first_number(&task?.path().join("schedstat")).unwrap_or(0);
    }
    Ok(sum)
}

/// Nanoseconds of a process, its live children, and the children it has already waited for.
pub fn family_cpu_nanoseconds(pid: u32) -> Result<u64> {
    let mut sum = cpu_nanoseconds(pid)? + waited_children_nanoseconds(pid)?;
    for child in children(pid) {
        sum += cpu_nanoseconds(child).unwrap_or(0);
    }
    Ok(sum)
}

/// Nanoseconds of a process, threads that have ended included: a server with a thread for each connection ends many.
pub fn process_cpu_nanoseconds(pid: u32) -> Result<u64> {
    let process = libc::pid_t::try_from(pid).context("no process id")?;
    let mut clock = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both are valid for the calls, which change nothing else.
    let read = unsafe {
        libc::clock_getcpuclockid(process, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    anyhow::ensure!(read, "process {pid} is gone (its clock cannot be read)");
    let nanoseconds = time.tv_sec * 1_000_000_000 + time.tv_nsec;
    Ok(u64::try_from(nanoseconds).unwrap_or(0))
}

/// Bytes of memory that `pid` has in RAM (`Rss` of smaps_rollup).
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kilobytes = text.lines().find_map(|line| {
        line.strip_prefix("Rss:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()
    });
    kilobytes
        .map(|count: u64| count * 1024)
        .with_context(|| format!("no Rss in {path}"))
}

/// How many files (sockets included) `pid` has open.
pub fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Raises this process's limit of open files as far as allowed, for us and our children; gives the limit.
pub fn raise_open_files(wanted: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for the calls; they change nothing but it and the limit of this process.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        if limit.rlim_cur < wanted {
            let hard = limit.rlim_max.max(wanted);
            // Beyond the hard limit only a privileged process may go; else take what there is.
            if libc::setrlimit(
                libc::RLIMIT_NOFILE,
                &libc::rlimit {
                    rlim_cur: wanted,
                    rlim_max: hard,
                },
            ) != 0
            {
                libc::setrlimit(
                    libc::RLIMIT_NOFILE,
                    &libc::rlimit {
                        rlim_cur: limit.rlim_max,
                        rlim_max: limit.rlim_max,
                    },
                );
            }
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        }
    }
    limit.rlim_cur
}

fn first_number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path)
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// `cutime` + `cstime` of proc(5): fields 16 and 17 of `stat`, in clock ticks.
fn waited_children_nanoseconds(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The second field, the command's name, may hold spaces; it ends at the last parenthesis.
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks: u64 = fields
        .iter()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // SAFETY: a plain question to the system.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok(ticks * 1_000_000_000 / u64::try_from(ticks_per_second).unwrap_or(100).max(1))
}

fn children(pid: u32) -> Vec<u32> {
    let list =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_uses_time_memory_and_files() {
        let pid = std::process::id();
        let before = cpu_nanoseconds(pid).unwrap();
        let mut x = 1_u64;
        while cpu_nanoseconds(pid).unwrap() == before {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(open_files(pid) >= 3);
        // Counted in ticks that the kernel samples: short bursts may be missed.
        let sampling = 1_000_000_000;
        assert!(family_cpu_nanoseconds(pid).unwrap() + sampling >= before);
    }

    #[test]
    fn the_time_of_a_thread_that_has_ended_is_kept() {
        let pid = std::process::id();
        let thread = std::thread::spawn(|| {
            let start = std::time::Instant::now();
            let mut x = 1_u64;
            while start.elapsed().as_millis() < 20 {
                x = std::hint::black_box(x.wrapping_mul(3));
            }
        });
        let before = process_cpu_nanoseconds(pid).unwrap();
        thread.join().unwrap();
        assert!(process_cpu_nanoseconds(pid).unwrap() > before);
        assert!(process_cpu_nanoseconds(u32::MAX - 1).is_err());
    }

    #[test]
    fn a_process_that_is_gone_is_a_named_error() {
        let error = cpu_nanoseconds(u32::MAX - 1).unwrap_err().to_string();
        assert!(error.contains("is gone"), "{error}");
    }
}
