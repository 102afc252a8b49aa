//! The configuration that a machine has, and the one that the package gives it.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::super::{Configuration, SYSTEM_FILE, Surroundings, unless_absent};

#[test]
fn the_file_of_the_machine_is_used_if_it_has_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("restante.toml");
    assert_eq!(unless_absent(&file), None);
    fs::write(&file, "").unwrap();
    assert_eq!(unless_absent(&file), Some(file.clone()));
    assert_eq!(unless_absent(&file.join("below-a-file")), None);
    // One that is there and cannot be used is no reason to serve something else.
    let circle = directory.path().join("circle");
    symlink(&circle, &circle).unwrap();
    assert_eq!(unless_absent(&circle), Some(circle.clone()));
    assert!(Configuration::load(Some(&circle)).is_err());
}

#[test]
fn command_lines_for_people_need_not_name_the_file_of_the_machine() {
    let surroundings = Surroundings {
        home: None,
        data_home: None,
        directory: "/etc/restante".into(),
    };
    let program = |file: &str| {
        let text = "data = \"/srv/data\"";
        let configuration = Configuration::from_text(text, Some(file.into()), &surroundings);
        configuration.unwrap().program()
    };
    assert!(!program(SYSTEM_FILE).contains("--config"));
    assert!(program("/etc/other.toml").ends_with(" --config /etc/other.toml"));
}

#[test]
fn the_configuration_of_the_package_makes_sense() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/restante.toml");
    let text = fs::read_to_string(&file).unwrap();
    let surroundings = Surroundings {
        home: None,
        data_home: None,
        directory: "/etc/restante".into(),
    };
    let read = |text: &str| Configuration::from_text(text, None, &surroundings).unwrap();
    let configuration = read(&text);
    assert_eq!(configuration.data, Path::new("/var/lib/restante"));
    assert_eq!(configuration.user.as_deref(), Some("restante"));
    // The addresses of restante.socket.
    let unit = file.with_file_name("systemd/restante.socket");
    let unit = fs::read_to_string(unit).unwrap();
    let held = unit
        .lines()
        .filter_map(|line| line.strip_prefix("ListenStream="));
    let held = held.map(|address| address.parse().unwrap());
    let held: Vec<std::net::SocketAddr> = held.collect();
    let pop3 = &configuration.pop3;
    assert_eq!(held, [&pop3.listen[..], &pop3.listen_tls].concat());
    // What stands behind a # can be used as it stands; behind #- is another way to the same.
    let is_setting = |line: &str| {
        let key = line.split_once(" = ").map(|(key, _)| key);
        line.starts_with('[') || key.is_some_and(|key| !key.contains(' '))
    };
    let opened = |mark: &str| {
        let lines = text.lines().map(|line| match line.strip_prefix(mark) {
            Some(rest) if is_setting(rest) => rest,
            _ => line,
        });
        read(&lines.collect::<Vec<_>>().join("\n"))
    };
    let all = opened("# ");
    assert!(all.sets("tls.key") && all.sets("accounts.passwd_file") && all.sets("http.listen"));
    assert_eq!(all.mail.maildir, configuration.mail.maildir);
    assert_eq!(all.mail.undelete_for, configuration.mail.undelete_for);
    assert_eq!(all.bans, configuration.bans);
    assert!(opened("#- ").sets("tls.acme.domains"));
}
