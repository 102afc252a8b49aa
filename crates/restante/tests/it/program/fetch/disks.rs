//! Destinations on a disk that is full, becomes read-only or goes away in the middle of a run: exit
//! code 74, nothing deleted that is not durable, and nothing lost or twice after it was mended.
//!
//! The disk is a small tmpfs. It is mounted in a mount namespace that `bwrap` makes for one process
//! of the test's, and `nsenter` runs the collector in there: nobody else ever sees it.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::stranger::{Door, Pause, Stranger, letters};
use crate::program::user::{PATIENCE, Ran, User};

const MESSAGES: usize = 120;
const MESSAGE_OCTETS: usize = 10_000;
/// Not all of the mail has room on this disk.
const SMALL: u32 = 900 << 10;
/// All of it has, but not twice: an mbox fills it while it is appended to.
const TIGHT: u32 = 1500 << 10;
const LARGE: &str = "8m";

/// A small disk at `disk` in somebody's home, for programs that are run in its namespace.
struct Disk {
    user: User,
    holder: Child,
    /// The process that keeps the namespace.
    process: String,
}

impl Disk {
    fn mount(octets: u32) -> Self {
        let user = User::new();
        let place = user.path("disk");
        fs::create_dir(&place).unwrap();
        let mut holder = Command::new("bwrap")
            .args([
                "--die-with-parent",
                "--cap-add",
                "ALL",
                "--dev-bind",
                "/",
                "/",
            ])
            .args(["--size", &octets.to_string(), "--tmpfs"])
            .arg(&place)
            // It ends when its input does.
            .args(["sh", "-c", "echo $$; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("`bwrap`: {error}; `cargo xtask test` installs what the tests need")
            });
        let mut process = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut process)
            .unwrap();
        let process = process.trim().to_owned();
        assert!(
            !process.is_empty(),
            "only root can mount: run this test as root"
        );
        Self {
            user,
            holder,
            process,
        }
    }

    fn within(&self, words: &[&str]) -> Command {
        let mut command = self.user.command(&[]);
        let environment: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new("nsenter");
        command
            .args(["--mount", "--target", &self.process, "--"])
            .args(words)
            .env_clear()
            .envs(environment);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        let output = self.within(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        output
    }

    /// Mounts the disk anew, with these options. It stays the same disk.
    fn remount(&self, options: &str) {
        let place = self.user.path("disk");
        let options = format!("remount,{options}");
        self.run(&["mount", "-o", &options, place.to_str().unwrap()]);
    }

    /// The disk goes away, whoever uses it.
    fn pull_out(&self) {
        let place = self.user.path("disk");
        self.run(&["umount", "--lazy", place.to_str().unwrap()]);
    }

    fn write(&self, server: &Stranger, deliver: &str, state: &str) -> PathBuf {
        let text = format!(
            "state = \"{state}\"\n[[account]]\nname = \"work\"\nserver = \"127.0.0.1\"\n\
             tls = \"none\"\nport = {}\nuser = \"me\"\npassword = \"secret\"\nkeep = \"delete\"\n\
             deliver = {deliver}\n",
            server.port
        );
        let path = self.user.path("fetch.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn fetch(&self, server: &Stranger, deliver: &str, state: &str) -> Ran {
        let file = self.write(server, deliver, state);
        let program = env!("CARGO_BIN_EXE_restante");
        let words = [program, "fetch", "--config", file.to_str().unwrap()];
        Ran::from(self.within(&words).output().unwrap())
    }

    /// A path as it is in the namespace.
    fn seen(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.process));
        root.join(self.user.path(name).strip_prefix("/").unwrap())
    }

    /// How often each message is at its place: whole, and visible.
    fn arrived(&self, place: &str) -> BTreeMap<usize, usize> {
        let is_mbox = place.ends_with("box");
        let texts: Vec<String> = if is_mbox {
            let mbox = fs::read_to_string(self.seen(place)).unwrap_or_default();
            // Each message stands behind its From_ line.
            mbox.split("From a@example.com ")
                .skip(1)
                .filter_map(|text| Some(text.split_once('\n')?.1.to_owned()))
                .collect()
        } else {
            let files = fs::read_dir(self.seen(place).join("new"));
            let files = files.into_iter().flatten();
            files
                .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
                .collect()
        };
        let mut counts = BTreeMap::new();
        for letter in letters(MESSAGES, MESSAGE_OCTETS) {
            let lf = String::from_utf8(letter.octets)
                .unwrap()
                .replace("\r\n", "\n");
            let stored = match is_mbox {
                true => lf.replace("\nFrom ", "\n>From ") + "\n",
                false => lf,
            };
            let count = texts.iter().filter(|text| **text == stored).count();
            if count > 0 {
                counts.insert(letter.number, count);
            }
        }
        counts
    }

    /// What is neither at its place, whole, nor on the server any more.
    fn lost(&self, server: &Stranger, place: &str) -> Vec<usize> {
        let arrived = self.arrived(place);
        let kept: Vec<usize> = server.letters().iter().map(|it| it.number).collect();
        let all = 1..=MESSAGES;
        all.filter(|number| !arrived.contains_key(number) && !kept.contains(number))
            .collect()
    }

    #[track_caller]
    fn assert_all_once(&self, server: &Stranger, place: &str) {
        let once: BTreeMap<usize, usize> = (1..=MESSAGES).map(|number| (number, 1)).collect();
        assert_eq!(self.arrived(place), once, "{place}");
        assert_eq!(server.letters(), []);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// A server so slow that a group of messages is at its place before the disk is full.
fn slow() -> Stranger {
    let paused = AtomicBool::new(false);
    let pause: Pause = Box::new(move |line| {
        if line == "RETR 30" && !paused.swap(true, Ordering::Relaxed) {
            thread::sleep(Duration::from_secs(3));
        }
    });
    Stranger::pausing(Door::Clear, letters(MESSAGES, MESSAGE_OCTETS), pause)
}

#[test]
fn a_disk_that_fills_in_mid_run_ends_in_74_and_the_next_run_brings_the_rest_once() {
    let mbox = "{ mbox = \"disk/box\" }";
    for (deliver, place, octets) in [
        ("{ maildir = \"disk/Mail\" }", "disk/Mail", SMALL),
        (mbox, "disk/box", SMALL),
        (mbox, "disk/box", TIGHT),
    ] {
        // The collector's own notes may lie on the disk that is full.
        for state in ["state", "disk/state"] {
            let (disk, server) = (Disk::mount(octets), slow());
            let ran = disk.fetch(&server, deliver, state);
            ran.refused(74, "No space left on device");
            ran.refused(74, "hint: ");
            assert_eq!(disk.lost(&server, place), [0; 0], "{place} {state}");
            assert!(!server.letters().is_empty());
            // It happened in the middle.
            let some = disk.arrived(place).len();
            assert!((1..MESSAGES).contains(&some), "{place} {state}: {some}");
            // It is no better without room, and takes no harm.
            let again = disk.fetch(&server, deliver, state);
            assert_eq!(again.code, 74, "{again:?}");
            assert_eq!(disk.lost(&server, place), [0; 0], "{place} {state}");
            disk.remount(&format!("size={LARGE}"));
            let ran = disk.fetch(&server, deliver, state);
            assert_eq!(ran.code, 0, "{ran:?}");
            disk.assert_all_once(&server, place);
        }
    }
}

#[test]
fn a_disk_that_is_read_only_ends_in_74_and_costs_nothing() {
    for (deliver, place) in [
        ("{ maildir = \"disk/Mail\" }", "disk/Mail"),
        ("{ mbox = \"disk/box\" }", "disk/box"),
    ] {
        let (disk, server) = (Disk::mount(SMALL), slow());
        disk.remount("ro");
        let ran = disk.fetch(&server, deliver, "state");
        ran.refused(74, "Read-only file system");
        ran.refused(74, "nothing was deleted from the server");
        assert_eq!(server.letters().len(), MESSAGES);
        disk.remount(&format!("rw,size={LARGE}"));
        let ran = disk.fetch(&server, deliver, "state");
        assert_eq!(ran.code, 0, "{ran:?}");
        disk.assert_all_once(&server, place);
    }
}

/// A server that stops before it answers RETR of the 60th message, until it is told to go on.
fn halting() -> (Stranger, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (halted, halts) = mpsc::channel();
    let (go, gone_on) = mpsc::channel();
    let gone_on = Mutex::new(Some(gone_on));
    let pause: Pause = Box::new(move |line| {
        if line == "RETR 60"
            && let Some(gone_on) = gone_on.lock().unwrap().take()
        {
            halted.send(()).unwrap();
            gone_on.recv_timeout(PATIENCE).unwrap();
        }
    });
    let letters = letters(MESSAGES, MESSAGE_OCTETS);
    (Stranger::pausing(Door::Clear, letters, pause), halts, go)
}

#[test]
fn a_disk_that_goes_away_in_mid_run_ends_in_74_and_loses_nothing() {
    for (deliver, place) in [
        ("{ maildir = \"disk/Mail\" }", "disk/Mail"),
        ("{ mbox = \"disk/box\" }", "disk/box"),
    ] {
        let disk = Arc::new(Disk::mount(SMALL));
        disk.remount(&format!("size={LARGE}"));
        let (server, halts, go) = halting();
        let running = {
            let (disk, server) = (disk.clone(), server.clone());
            thread::spawn(move || disk.fetch(&server, deliver, "state"))
        };
        halts.recv_timeout(PATIENCE).unwrap();
        // The same files, on a disk that can be looked at although it is gone.
        let kept = disk.user.path("kept");
        fs::create_dir(&kept).unwrap();
        let (from, to) = (disk.user.path("disk"), kept.to_str().unwrap().to_owned());
        disk.run(&["mount", "--bind", from.to_str().unwrap(), &to]);
        disk.pull_out();
        go.send(()).unwrap();
        let ran = running.join().unwrap();
        ran.refused(74, "hint: nothing was deleted from the server");
        let place_kept = place.replace("disk/", "kept/");
        assert_eq!(disk.lost(&server, &place_kept), [0; 0], "{ran:?}");
        // Nothing was written where the disk was.
        let bare = fs::read_dir(disk.seen("disk")).unwrap().count();
        assert_eq!(bare, 0, "{ran:?}");

        disk.run(&["mount", "--bind", &to, from.to_str().unwrap()]);
        let ran = disk.fetch(&server, deliver, "state");
        assert_eq!(ran.code, 0, "{ran:?}");
        disk.assert_all_once(&server, place);
    }
}
