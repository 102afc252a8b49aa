//! Locks of living and dead programs.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use super::*;

fn place(directory: &TempDir) -> Place {
    let path = directory.path().join("mail");
    let wait = Duration::from_millis(150);
    Place::new(&path, "work", Disk::default(), wait).unwrap()
}

fn dotlock(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join("mail.lock")
}

/// A process that is over.
fn dead_process() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

fn age(path: &Path, by: Duration) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let then = std::time::SystemTime::now() - by;
    file.set_modified(then).unwrap();
}

#[test]
fn one_has_it_and_the_other_waits_and_gives_up() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(&directory);
    let locked = LockedMbox::lock(&place).unwrap();
    let text = fs::read_to_string(dotlock(&directory)).unwrap();
    assert_eq!(text, format!("{}:{}\n", std::process::id(), host()));
    assert!(matches!(LockedMbox::lock(&place), Err(LockError::Busy)));
    assert!(dotlock(&directory).exists());
    drop(locked);
    assert!(!dotlock(&directory).exists());
    drop(LockedMbox::lock(&place).unwrap());
    // Nothing is left beside the mbox.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_dead_process_holds_no_lock() {
    for owner in [
        format!("{}\n", dead_process()),
        format!("{}:{}\n", dead_process(), host()),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(dotlock(&directory), &owner).unwrap();
        let place = place(&directory);
        assert!(LockedMbox::lock(&place).is_ok(), "{owner:?}");
    }
}

#[test]
fn a_living_process_keeps_its_lock_however_old_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut living = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(dotlock(&directory), format!("{}\n", living.id())).unwrap();
    age(&dotlock(&directory), Duration::from_secs(3600));
    let locked = LockedMbox::lock(&place(&directory)).map(drop);
    living.kill().unwrap();
    living.wait().unwrap();
    assert!(matches!(locked, Err(LockError::Busy)));
    // So does this one itself.
    fs::remove_file(dotlock(&directory)).unwrap();
    let place = place(&directory);
    let _locked = LockedMbox::lock(&place).unwrap();
    age(&dotlock(&directory), Duration::from_secs(3600));
    assert!(matches!(LockedMbox::lock(&place), Err(LockError::Busy)));
}

#[test]
fn a_lock_that_tells_no_owner_of_this_machine_is_stale_after_five_minutes() {
    let elsewhere = format!("{}:elsewhere.example\n", dead_process());
    // Of a process before this one that had its number, as in a container that was begun anew.
    let before = owner();
    for owner in ["", "0\n", "-5", "mutt", &elsewhere, &before] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(dotlock(&directory), owner).unwrap();
        let place = place(&directory);
        age(&dotlock(&directory), STALE_AFTER - Duration::from_secs(20));
        assert!(
            matches!(LockedMbox::lock(&place), Err(LockError::Busy)),
            "{owner:?}"
        );
        age(&dotlock(&directory), STALE_AFTER + Duration::from_secs(1));
        assert!(LockedMbox::lock(&place).is_ok(), "{owner:?}");
    }
}

/// Another program has the record lock alone, as some readers do.
#[test]
fn a_record_lock_of_another_program_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail");
    fs::write(&path, "").unwrap();
    let script = "import fcntl, sys\n\
        box = open(sys.argv[1], 'r+b')\n\
        fcntl.lockf(box, fcntl.LOCK_EX)\n\
        print('locked', flush=True)\n\
        sys.stdin.read()\n";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 7];
    let stdout = python.stdout.as_mut().unwrap();
    std::io::Read::read_exact(stdout, &mut said).unwrap();
    let place = place(&directory);
    assert!(matches!(LockedMbox::lock(&place), Err(LockError::Busy)));
    assert!(!dotlock(&directory).exists());
    drop(python.stdin.take());
    python.wait().unwrap();
    assert!(LockedMbox::lock(&place).is_ok());
}

#[test]
fn a_lock_that_was_taken_over_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(&directory);
    let locked = LockedMbox::lock(&place).unwrap();
    fs::remove_file(dotlock(&directory)).unwrap();
    fs::write(dotlock(&directory), "another's").unwrap();
    drop(locked);
    assert_eq!(
        fs::read_to_string(dotlock(&directory)).unwrap(),
        "another's"
    );
}
