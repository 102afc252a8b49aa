//! What the kernel knows of a process: memory, processor time, system calls.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Thousands of connections need as many descriptors.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// A line of `/proc/PID/status` in kB.
pub(crate) fn kilobytes(process: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|text| text.strip_prefix(line))
        .unwrap();
    let number = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

/// Processor time so far, of all threads, in user and kernel mode.
pub(crate) fn processor_time(process: u32) -> Duration {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        // The first number is the time on a processor; finer than the ticks of `stat`.
        let path = thread.unwrap().path().join("schedstat");
        let text = fs::read_to_string(path).unwrap_or_default();
        let first = text
            .split(' ')
            .next()
            .and_then(|number| number.parse::<u64>().ok());
        nanoseconds += first.unwrap_or_default();
    }
    Duration::from_nanos(nanoseconds)
}

/// Counts system calls of a process while it lives.
pub(crate) struct Strace(Child);

impl Strace {
    /// Attaches; returns when the counting has begun.
    pub(crate) fn attach(process: u32) -> Self {
        let mut child = Command::new("strace")
            .args(["-f", "-c", "-S", "calls", "-p", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`strace`: {error}; `cargo xtask test` installs it"));
        // It says "Process N attached" for the process and its threads, in one go.
        let mut some = [0; 256];
        let count = child.stderr.as_mut().unwrap().read(&mut some).unwrap();
        assert!(String::from_utf8_lossy(&some[..count]).contains("attached"));
        std::thread::sleep(Duration::from_millis(200));
        Self(child)
    }

    /// Detaches and returns how often each system call was made.
    pub(crate) fn detach(mut self) -> BTreeMap<String, u64> {
        let process = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
        let mut report = String::new();
        self.0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut report)
            .unwrap();
        self.0.wait().unwrap();
        let mut calls = BTreeMap::new();
        for line in report.lines() {
            // "% time  seconds  usecs/call  calls  [errors]  syscall"
            let words: Vec<&str> = line.split_whitespace().collect();
            let count = words.get(3).and_then(|number| number.parse::<u64>().ok());
            let numeric = words
                .first()
                .is_some_and(|share| share.parse::<f64>().is_ok());
            if let (Some(count), Some(name), true) = (count, words.last(), numeric)
                && *name != "total"
            {
                calls.insert((*name).to_owned(), count);
            }
        }
        calls
    }
}
