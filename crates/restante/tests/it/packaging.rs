//! What a package brings besides the program: manual pages and completions, which come from the
//! program's own tables, and the unit that runs it. The package as a whole is tried on a clean
//! system by `cargo xtask package --try`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a command that has nothing to say but what it was asked for.
fn silent(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{command:?}: {said}{}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn restante(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restante"));
    silent(command.args(words).env_remove("RESTANTE_CONFIG"))
}

/// All commands, as the words that are typed, and for each the flags that its help shows.
fn commands() -> Vec<(Vec<String>, BTreeSet<String>)> {
    let mut found = Vec::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(words) = open.pop() {
        let typed: Vec<&str> = words.iter().map(String::as_str).collect();
        let help = restante(&[&typed[..], &["--help"]].concat());
        let below = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in below.take_while(|line| !line.is_empty()) {
            // What is indented deeper goes on with a description.
            if let Some(name) = line
                .strip_prefix("  ")
                .and_then(|line| line.split(' ').next())
                && !name.is_empty()
            {
                open.push([&words[..], &[name.to_owned()]].concat());
            }
        }
        // A flag begins its line, behind its short form perhaps.
        let flags = help
            .lines()
            .filter_map(|line| line.split_whitespace().find(|word| !word.ends_with(',')))
            .filter(|word| word.starts_with("--"))
            .map(|word| word.trim_end_matches('.').to_owned());
        let flags = flags.collect();
        found.push((words, flags));
    }
    found
}

#[test]
fn each_command_has_a_manual_page_with_all_its_flags() {
    let directory = tempfile::tempdir().unwrap();
    restante(&["generate", "man", directory.path().to_str().unwrap()]);
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for (words, flags) in &commands {
        let name = [&["restante".to_owned()], &words[..]].concat().join("-");
        let page = directory.path().join(format!("{name}.1"));
        let shown = silent(Command::new("mandoc").args(["-Tascii"]).arg(&page));
        // Bold letters are struck twice.
        let shown = shown.replace('\u{8}', "");
        assert!(flags.contains("--help"), "{name}: {flags:?}");
        for flag in flags {
            let struck: String = flag.chars().flat_map(|c| [c, c]).collect();
            assert!(shown.contains(&struck), "no {flag} in {name}:\n{shown}");
        }
        for (below, _) in commands
            .iter()
            .filter(|(below, _)| below.len() == words.len() + 1 && below.starts_with(words))
        {
            let struck = format!("{name}-{}", below[words.len()]);
            let struck: String = struck.chars().flat_map(|c| [c, c]).collect();
            assert!(shown.contains(&struck), "{name} does not lead to {below:?}");
        }
    }
    let pages = fs::read_dir(directory.path()).unwrap();
    let pages: Vec<PathBuf> = pages.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(pages.len(), commands.len() + 1);
    for page in pages {
        let complaints = silent(
            Command::new("mandoc")
                .args(["-Tlint", "-Wwarning"])
                .arg(&page),
        );
        assert_eq!(complaints, "");
    }
}

#[test]
fn the_manual_page_of_the_configuration_has_every_key() {
    let directory = tempfile::tempdir().unwrap();
    restante(&["generate", "man", directory.path().to_str().unwrap()]);
    let page = fs::read_to_string(directory.path().join("restante.toml.5")).unwrap();
    let documented = fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    let keys = documented
        .lines()
        .filter_map(|line| line.strip_prefix("| `"));
    let keys: Vec<&str> = keys.map(|row| row.split('`').next().unwrap()).collect();
    assert!(keys.len() > 50, "{keys:?}");
    for key in keys {
        let entry = format!(".TP\n\\fB{key}\\fR\n");
        assert!(page.contains(&entry), "no {key} in\n{page}");
    }
}

#[test]
fn two_builds_of_the_manual_are_alike() {
    let page = |seconds: &str| {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_restante"));
        command.args(["generate", "man"]).arg(directory.path());
        silent(command.env("SOURCE_DATE_EPOCH", seconds));
        fs::read_to_string(directory.path().join("restante.1")).unwrap()
    };
    assert_eq!(page("86400"), page("86400"));
    assert!(page("86400").contains(" 1970-01-02 "), "{}", page("86400"));
}

#[test]
fn completions_are_sound_and_know_every_command() {
    let directory = tempfile::tempdir().unwrap();
    for (shell, check) in [
        ("bash", &["bash", "-n"][..]),
        ("zsh", &["zsh", "-n"]),
        ("fish", &["fish", "--no-execute"]),
    ] {
        let script = restante(&["generate", "completions", shell]);
        let path = directory.path().join(shell);
        fs::write(&path, &script).unwrap();
        let said = silent(
            Command::new(check[0])
                .args(&check[1..])
                .arg(&path)
                .env("HOME", directory.path()),
        );
        assert_eq!(said, "", "{shell}");
        for (words, _) in commands() {
            for word in words {
                assert!(script.contains(&word), "{shell} does not know `{word}`");
            }
        }
    }
    let complete = "source \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                    _restante restante \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                    printf '%s\\n' \"${COMPREPLY[@]}\"";
    for (typed, offered) in [
        (&["restante", "acc"][..], "account"),
        (&["restante", "mail", "rest"], "restore"),
        (&["restante", "mail", "restore", "me", "--si"], "--since"),
        (&["restante", "generate", "completions", "zs"], "zsh"),
    ] {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", complete])
            .arg(directory.path().join("bash"));
        assert_eq!(
            silent(bash.args(typed)),
            format!("{offered}\n"),
            "{typed:?}"
        );
    }
}

/// `docs/operate.md` says how exposed the unit leaves the service: the score, and the version of
/// systemd that has counted. Another version counts otherwise, but not much.
#[test]
fn the_unit_is_as_confined_as_the_documentation_says() {
    let page = fs::read_to_string(repository().join("docs/operate.md")).unwrap();
    let said = page.split_once("`systemd-analyze security` counts **");
    let (score, rest) = said.unwrap().1.split_once("** (systemd ").unwrap();
    let version = rest.split(')').next().unwrap();
    let unit = repository().join("packaging/systemd/restante.service");
    let measured = silent(
        Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(&unit),
    );
    let overall = measured.split_once("Overall exposure level for restante.service: ");
    let overall = overall.unwrap().1.split(' ').next().unwrap();
    let installed = silent(Command::new("systemd-analyze").arg("--version"));
    if installed.starts_with(&format!("systemd {version} ")) {
        assert_eq!(overall, score, "{measured}");
    }
    let (overall, score): (f32, f32) = (overall.parse().unwrap(), score.parse().unwrap());
    assert!(overall <= score + 0.5, "{measured}");
}

/// systemd must not kill a server that still drains, nor wait for one that cannot start.
#[test]
fn the_unit_gives_the_server_time_to_drain() {
    let unit = fs::read_to_string(repository().join("packaging/systemd/restante.service")).unwrap();
    let value = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}")).to_owned()
    };
    let stop: u64 = value("TimeoutStopSec=")
        .trim_end_matches('s')
        .parse()
        .unwrap();
    let page = fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    let row = page
        .lines()
        .find(|line| line.starts_with("| `pop3.drain_timeout`"));
    let drain = row.unwrap().split('"').nth(1).unwrap();
    let drain: u64 = drain.trim_end_matches('s').parse().unwrap();
    assert!(stop > drain, "{stop} s for {drain} s");
    assert_eq!(value("Type="), "notify");
    assert!(value("ExecStart=").starts_with("/usr/bin/restante serve"));
}
