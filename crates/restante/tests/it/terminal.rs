//! A terminal, and a person at it.

use std::env;
use std::io::{Read as _, Write as _};
use std::iter;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Nothing here takes a second; a machine that is busy may need longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program at a terminal, which `script` plays.
pub(crate) struct Terminal {
    child: Child,
    shown: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

impl Terminal {
    /// Its words must mean nothing to a shell.
    pub(crate) fn run(program: Command) -> Self {
        let words = iter::once(program.get_program()).chain(program.get_args());
        let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
        let line = words.join(" ");
        let directory = program.get_current_dir().unwrap_or(Path::new("."));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line])
            .arg("/dev/null")
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .envs(
                program
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .env("TERM", "xterm")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let reading = thread::spawn({
            let shown = Arc::clone(&shown);
            move || {
                let mut room = [0; 4096];
                while let Ok(count @ 1..) = output.read(&mut room) {
                    let text = String::from_utf8_lossy(&room[..count]);
                    shown.lock().unwrap().push_str(&text);
                }
            }
        });
        Self {
            child,
            shown,
            reading,
        }
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.shown.lock().unwrap().contains(text) {
            let shown = self.shown.lock().unwrap().clone();
            assert!(Instant::now() < deadline, "no `{text}`: {shown:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        let keys = self.child.stdin.as_mut().unwrap();
        keys.write_all(format!("{line}\n").as_bytes()).unwrap();
        keys.flush().unwrap();
    }

    /// The exit code, and all that was shown.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        // The terminal stays until the program has gone.
        let keys = self.child.stdin.take();
        let code = self.child.wait().unwrap().code();
        drop(keys);
        self.reading.join().unwrap();
        let shown = self.shown.lock().unwrap().clone();
        (code, shown)
    }
}
