//! Tries to break out. Each test runs itself again in a process of its own, which enters the
//! sandbox by the same function as the server and then tries what an intruder would. What is tried
//! does no harm if it succeeds: a broken wall must fail a test and not the machine.

use std::{
    env, fs,
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    os::unix::{net::UnixListener, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use super::*;
use crate::configuration::{Configuration, Surroundings};

/// Set in the process that is inside: the directory that it may use.
const INSIDE: &str = "RESTANTE_TEST_INSIDE";

/// Runs `deed` inside the sandbox of a server whose data and mail are in a directory of its own;
/// gives `None` in the process that does it, and elsewhere how that process ended.
fn inside(test: &str, deed: impl FnOnce(&Path)) -> Option<Output> {
    inside_after(test, || {}, deed)
}

fn inside_after(test: &str, before: impl FnOnce(), deed: impl FnOnce(&Path)) -> Option<Output> {
    if let Some(place) = env::var_os(INSIDE).map(PathBuf::from) {
        before();
        let plan = plan(&place);
        let walls = enter(&plan).unwrap();
        fs::write(place.join("walls"), format!("{walls:?}")).unwrap();
        deed(&place);
        // The harness would go on to write elsewhere; this process has done what it is for.
        std::process::exit(0);
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    for name in ["data", "mail"] {
        fs::create_dir(place.join(name)).unwrap();
    }
    let name = format!("sandbox::tests::{test}");
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &name, "--nocapture", "--test-threads=1"]);
    let output = command.env(INSIDE, place.join("data")).output().unwrap();
    let walls = fs::read_to_string(place.join("data/walls"));
    assert!(walls.is_ok(), "it never came into the sandbox: {output:?}");
    Some(output)
}

fn plan(data: &Path) -> Plan {
    let surroundings = Surroundings {
        home: None,
        data_home: None,
        directory: data.to_owned(),
    };
    let mail = data.with_file_name("mail");
    let text = format!(
        "data = {data:?}\n[mail]\nmaildir = \"{}/{{user}}\"",
        mail.display()
    );
    let configuration = Configuration::from_text(&text, None, &surroundings).unwrap();
    Plan::of(&configuration, [])
}

/// The deed was done to its end.
fn did_well(output: Option<Output>) {
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The kernel ended the process when it tried.
fn was_killed(output: Option<Output>) {
    let output = output.unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
}

fn refused<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}

/// Not there at all, as on a kernel without it.
fn absent<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ENOSYS));
}

#[test]
fn this_kernel_has_all_walls() {
    did_well(inside("this_kernel_has_all_walls", |place| {
        let walls = fs::read_to_string(place.join("walls")).unwrap();
        assert_eq!(
            walls,
            "Walls { files: Whole, calls: Whole, limits_ports: true }"
        );
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let says = |line: &str| {
            status
                .lines()
                .any(|l| l.split_whitespace().eq(line.split(' ')))
        };
        assert!(says("NoNewPrivs: 1"), "{status}");
        assert!(says("Seccomp: 2"), "{status}");
        assert!(says("CapInh: 0000000000000000"), "{status}");
        // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER and FSETID, if root runs the tests.
        let kept = if rustix::process::geteuid().is_root() {
            "1f"
        } else {
            "00"
        };
        assert!(says(&format!("CapEff: 00000000000000{kept}")), "{status}");
    }));
}

#[test]
fn files_of_others_are_out_of_reach() {
    did_well(inside("files_of_others_are_out_of_reach", |place| {
        for path in ["/etc/shadow", "/root", "/home", "/proc/1/environ", "/"] {
            refused(fs::File::open(path));
        }
        refused(fs::write(env::temp_dir().join("restante-escape"), "x"));
        refused(fs::read_dir(place.parent().unwrap()));
        refused(fs::write("/proc/self/mem", "x"));
        // Neither names nor links lead out.
        let climb = place.join("../../../../../../../../etc/shadow");
        refused(fs::File::open(climb));
        refused(fs::rename(place.join("walls"), place.join("../../escaped")));
    }));
}

#[test]
fn what_serving_needs_is_within_reach() {
    did_well(inside("what_serving_needs_is_within_reach", |data| {
        for place in [data.to_owned(), data.with_file_name("mail").join("me")] {
            fs::create_dir_all(place.join("new")).unwrap();
            fs::create_dir_all(place.join("cur")).unwrap();
            fs::write(place.join("new/1"), "mail").unwrap();
            fs::rename(place.join("new/1"), place.join("cur/1")).unwrap();
            fs::hard_link(place.join("cur/1"), place.join("new/2")).unwrap();
            let file = fs::File::options().write(true).open(place.join("cur/1"));
            file.unwrap().set_len(1).unwrap();
            fs::remove_file(place.join("cur/1")).unwrap();
            fs::remove_file(place.join("new/2")).unwrap();
            fs::remove_dir(place.join("cur")).unwrap();
        }
        let socket = data.join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut client = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        client.write_all(b"x").unwrap();
        listener.accept().unwrap();
        thread::Builder::new()
            .name("named".into())
            .spawn(|| ())
            .unwrap()
            .join()
            .unwrap();
        assert!(fs::read_to_string("/etc/passwd").unwrap().contains("root"));
        getrandom::fill(&mut [0; 8]).unwrap();
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // A look-up of a name, with all that the C library does for it.
        use std::net::ToSocketAddrs as _;
        assert!(("localhost", 1).to_socket_addrs().unwrap().count() > 0);
    }));
}

#[test]
fn no_program_can_be_started() {
    // Not by the library, which makes a process first and runs the program in it.
    did_well(inside("no_program_can_be_started", |_| {
        assert!(
            Command::new("/bin/sh")
                .arg("-c")
                .arg("true")
                .spawn()
                .is_err()
        );
    }));
}

#[test]
fn becoming_another_program_ends_the_process() {
    was_killed(inside("becoming_another_program_ends_the_process", |_| {
        use std::os::unix::process::CommandExt as _;
        let error = Command::new("/bin/true").exec();
        panic!("{error}");
    }));
}

#[test]
fn looking_into_another_process_ends_the_process() {
    was_killed(inside(
        "looking_into_another_process_ends_the_process",
        |_| {
            let parent = rustix::process::getppid().unwrap();
            let remote = rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty());
            // No handle on a process either.
            assert_eq!(remote.unwrap_err(), rustix::io::Errno::NOSYS);
            // A number that nobody has.
            let error = nix::sys::ptrace::attach(nix::unistd::Pid::from_raw(i32::MAX));
            panic!("{error:?}");
        },
    ));
}

#[test]
fn no_signal_reaches_another_process() {
    did_well(inside("no_signal_reaches_another_process", |_| {
        let parent = rustix::process::getppid().unwrap();
        let sent = rustix::process::test_kill_process(parent);
        absent(sent.map_err(Into::into));
    }));
}

#[test]
fn mounting_ends_the_process() {
    was_killed(inside("mounting_ends_the_process", |place| {
        // Onto itself: where the sandbox fails to stop it, a bind of anything else would be emptied
        // when the temporary directory is removed.
        let nowhere = place.join("nowhere");
        let error = rustix::mount::mount_bind(&nowhere, &nowhere);
        panic!("{error:?}");
    }));
}

#[test]
fn changing_namespaces_ends_the_process() {
    was_killed(inside("changing_namespaces_ends_the_process", |_| {
        let error = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
        panic!("{error:?}");
    }));
}

#[test]
fn becoming_somebody_else_is_impossible() {
    did_well(inside("becoming_somebody_else_is_impossible", |_| {
        let root = nix::unistd::Uid::from_raw(0);
        let raised = nix::unistd::setresuid(root, root, root);
        absent(raised.map_err(io::Error::from));
        absent(nix::unistd::setgroups(&[]).map_err(io::Error::from));
    }));
}

#[test]
fn ports_lead_nowhere_and_none_is_opened() {
    let outside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = outside.local_addr().unwrap().port();
    did_well(inside("ports_lead_nowhere_and_none_is_opened", |_| {
        refused(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        refused(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    }));
}

#[test]
fn packets_and_other_families_are_unknown() {
    use rustix::net::{AddressFamily, SocketType, socket};
    did_well(inside("packets_and_other_families_are_unknown", |_| {
        let packets = socket(AddressFamily::PACKET, SocketType::RAW, None);
        absent(packets.map_err(io::Error::from));
        let raw = socket(AddressFamily::INET, SocketType::RAW, None);
        absent(raw.map_err(io::Error::from));
        let machine = socket(AddressFamily::VSOCK, SocketType::STREAM, None);
        absent(machine.map_err(io::Error::from));
        assert!(socket(AddressFamily::INET6, SocketType::STREAM, None).is_ok());
    }));
}

#[test]
fn threads_made_later_are_inside_too() {
    did_well(inside("threads_made_later_are_inside_too", |_| {
        let tried = thread::spawn(|| fs::File::open("/etc/shadow").map(drop)).join();
        refused(tried.unwrap());
    }));
}

#[test]
fn what_the_kernel_lacks_stands_in_the_log() {
    let lines = tempfile::NamedTempFile::new().unwrap();
    let file = lines.reopen().unwrap();
    let writer = std::sync::Arc::new(file);
    let format = restante_server::log::LogFormat::Text;
    let subscriber = restante_server::log::subscriber(format, "info", false, writer).unwrap();
    let walls = Walls {
        files: Wall::Missing("the kernel has no Landlock".to_owned()),
        calls: Wall::Whole,
        limits_ports: false,
    };
    tracing::subscriber::with_default(subscriber, || walls.report(&plan(Path::new("/x/data"))));
    let log = fs::read_to_string(lines.path()).unwrap();
    assert!(
        log.contains(
            "sandbox entered files=\"not limited\" calls=\"limited\" writes=\"/x/data, /x/mail\""
        ),
        "{log}"
    );
    assert!(log.contains("WARN the file system is not limited"), "{log}");
    assert!(
        log.contains("reason=\"the kernel has no Landlock\""),
        "{log}"
    );
    assert!(!log.contains("WARN system calls"), "{log}");
}

/// What an old kernel says, said by a filter before the walls are built.
fn pretend_to_lack(calls: &[i64]) {
    use seccompiler::{SeccompAction, SeccompFilter};
    let filter = SeccompFilter::new(
        calls.iter().map(|&call| (call, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        env::consts::ARCH.try_into().unwrap(),
    );
    let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

#[test]
fn a_kernel_without_landlock_is_told_of_and_the_other_wall_stands() {
    let old = || pretend_to_lack(&[libc::SYS_landlock_create_ruleset]);
    did_well(inside_after(
        "a_kernel_without_landlock_is_told_of_and_the_other_wall_stands",
        old,
        |place| {
            let walls = fs::read_to_string(place.join("walls")).unwrap();
            assert!(
                walls.contains("files: Missing(\"the kernel has no Landlock\")"),
                "{walls}"
            );
            assert!(walls.contains("calls: Whole"), "{walls}");
        },
    ));
}

#[test]
fn a_kernel_without_seccomp_is_told_of_and_the_other_wall_stands() {
    let old = || pretend_to_lack(&[libc::SYS_seccomp]);
    did_well(inside_after(
        "a_kernel_without_seccomp_is_told_of_and_the_other_wall_stands",
        old,
        |place| {
            let walls = fs::read_to_string(place.join("walls")).unwrap();
            assert!(walls.contains("calls: Missing("), "{walls}");
            refused(fs::File::open("/etc/shadow"));
        },
    ));
}
