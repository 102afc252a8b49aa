//! The seam to the disk.

use super::*;

fn directory() -> (tempfile::TempDir, OwnedFd) {
    let place = tempfile::tempdir().unwrap();
    let root = Disk::default().open_root(place.path()).unwrap();
    (place, root)
}

#[test]
fn rename_never_replaces() {
    let (place, root) = directory();
    let disk = Disk::default();
    std::fs::write(place.path().join("one"), "1").unwrap();
    std::fs::write(place.path().join("two"), "2").unwrap();
    let error = disk
        .rename_no_replace(&root, b"one", &root, b"two")
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(place.path().join("two")).unwrap(), b"2");
    let from = (root.as_fd(), &b"one"[..]);
    assert_eq!(
        rename_by_link(from, (root.as_fd(), b"two")),
        Err(Errno::EXIST)
    );
    rename_by_link(from, (root.as_fd(), b"three")).unwrap();
    assert!(!place.path().join("one").exists());
    assert_eq!(std::fs::read(place.path().join("three")).unwrap(), b"1");
}

#[test]
fn links_are_not_followed() {
    let (place, root) = directory();
    let disk = Disk::default();
    std::fs::create_dir(place.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", place.path().join("link")).unwrap();
    std::os::unix::fs::symlink("gone", place.path().join("dangling")).unwrap();
    assert!(disk.open_directory(&root, b"real").is_ok());
    assert!(disk.open_directory(&root, b"link").is_err());
    assert!(disk.open_read(&root, b"link").is_err());
    assert!(disk.open_append(&root, b"dangling", 0o600).is_err());
    assert!(disk.create_new(&root, b"dangling", 0o600).is_err());
    assert_eq!(disk.facts_at(&root, b"link").unwrap().kind, Kind::Other);
    assert!(!place.path().join("gone").exists());
}

#[test]
fn a_pipe_does_not_block_the_one_who_opens_it() {
    let (place, root) = directory();
    let disk = Disk::default();
    let made = std::process::Command::new("mkfifo")
        .arg(place.path().join("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    let file = disk.open_read(&root, b"pipe").unwrap();
    assert_eq!(disk.facts(&file).unwrap().kind, Kind::Other);
}

#[test]
fn entries_are_listed_without_dots() {
    let (place, root) = directory();
    for index in 0..1000 {
        std::fs::write(place.path().join(format!("file-{index}")), "").unwrap();
    }
    let disk = Disk::default();
    for _ in 0..2 {
        let mut count = 0;
        disk.read_directory(&root, |name, kind| {
            assert!(name.starts_with(b"file-"));
            assert_eq!(kind, Kind::File);
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(count, 1000);
    }
}

#[test]
fn a_whole_file_is_bounded() {
    let (place, root) = directory();
    let disk = Disk::default();
    std::fs::write(place.path().join("file"), "12345").unwrap();
    let file = disk.open_read(&root, b"file").unwrap();
    assert_eq!(disk.read_whole(&file, 5).unwrap(), b"12345");
    assert!(disk.read_whole(&file, 4).is_err());
}

#[cfg(feature = "testing")]
#[test]
fn the_planned_call_fails_and_the_trace_says_so() {
    let (place, root) = directory();
    let faults = Arc::new(Faults::no_space(Fault::Once(1)));
    let disk = Disk::with_faults(Arc::clone(&faults));
    let file = disk.create_new(&root, b"file", 0o600).unwrap();
    let error = disk.write_all(&file, b"12345678").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(std::fs::read(place.path().join("file")).unwrap(), b"1234");
    disk.write_all(&file, b"5").unwrap();
    let trace = faults.trace();
    let failed: Vec<bool> = trace.iter().map(|one| one.failed).collect();
    assert_eq!(failed, [false, true, false]);
    assert!(trace[1].path.ends_with("file"));
    assert_eq!(faults.count_of(Call::Write), 2);
}

#[cfg(feature = "testing")]
#[test]
fn from_the_planned_call_on_all_fail() {
    let (_place, root) = directory();
    let faults = Arc::new(Faults::input_output(Fault::From(1)));
    let disk = Disk::with_faults(faults);
    assert!(disk.facts(&root).is_ok());
    assert!(disk.facts(&root).is_err());
    assert!(disk.facts(&root).is_err());
}
