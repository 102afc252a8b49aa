//! What the tests need beside Rust, and its installation from the distribution's packages.

use std::path::Path;

use anyhow::{Result, bail};

use crate::process;

/// A program or library, the Debian package that brings it, and how to see that it is there.
struct Need {
    package: &'static str,
    probe: Probe,
    /// Why the tests want it.
    reason: &'static str,
}

enum Probe {
    /// An executable file of this name on the search path.
    OnPath(&'static str),
    /// A command that succeeds if the thing is there.
    Command(&'static [&'static str]),
}

const NEEDS: &[Need] = &[
    Need {
        package: "curl",
        probe: Probe::OnPath("curl"),
        reason: "mail client",
    },
    Need {
        package: "mpop",
        probe: Probe::OnPath("mpop"),
        reason: "mail client",
    },
    Need {
        package: "fetchmail",
        probe: Probe::OnPath("fetchmail"),
        reason: "mail client",
    },
    Need {
        package: "getmail6",
        probe: Probe::OnPath("getmail"),
        reason: "mail client",
    },
    Need {
        package: "neomutt",
        probe: Probe::OnPath("neomutt"),
        reason: "mail client",
    },
    Need {
        package: "postal",
        probe: Probe::OnPath("rabid"),
        reason: "mail client",
    },
    Need {
        package: "python3",
        probe: Probe::OnPath("python3"),
        reason: "poplib",
    },
    Need {
        package: "python3-prometheus-client",
        probe: Probe::Command(&[
            "/usr/bin/python3",
            "-c",
            "import prometheus_client.openmetrics",
        ]),
        reason: "a parser of metrics",
    },
    Need {
        package: "python3-aiosmtpd",
        probe: Probe::Command(&["/usr/bin/python3", "-c", "import aiosmtpd.lmtp"]),
        reason: "a server of SMTP and LMTP",
    },
    Need {
        package: "procmail",
        probe: Probe::OnPath("procmail"),
        reason: "takes mail from the collector",
    },
    Need {
        package: "maildrop",
        probe: Probe::OnPath("maildrop"),
        reason: "takes mail from the collector",
    },
    Need {
        package: "ruby",
        probe: Probe::Command(&["ruby", "-rnet/pop", "-ropenssl", "-e", "Net::POP3"]),
        reason: "Net::POP",
    },
    Need {
        package: "perl",
        probe: Probe::Command(&["perl", "-MNet::POP3", "-e", "1"]),
        reason: "Net::POP3",
    },
    Need {
        package: "libio-socket-ssl-perl",
        probe: Probe::Command(&["perl", "-MIO::Socket::SSL", "-e", "1"]),
        reason: "Net::POP3 over TLS",
    },
    Need {
        package: "sslscan",
        probe: Probe::OnPath("sslscan"),
        reason: "weaknesses in TLS",
    },
    Need {
        package: "testssl.sh",
        probe: Probe::OnPath("testssl"),
        reason: "weaknesses in TLS",
    },
    Need {
        package: "openssl",
        probe: Probe::OnPath("openssl"),
        reason: "TLS as others speak it",
    },
    Need {
        package: "bubblewrap",
        probe: Probe::OnPath("bwrap"),
        reason: "roots of their own for servers of others",
    },
    Need {
        package: "pebble",
        // It brings both.
        probe: Probe::OnPath("pebble-challtestsrv"),
        reason: "a certificate authority",
    },
    Need {
        package: "systemd",
        probe: Probe::OnPath("systemd-socket-activate"),
        reason: "sockets passed as systemd passes them",
    },
    Need {
        package: "fail2ban",
        probe: Probe::OnPath("fail2ban-regex"),
        reason: "the filter that is shipped for it",
    },
    Need {
        package: "mandoc",
        probe: Probe::OnPath("mandoc"),
        reason: "manual pages",
    },
    Need {
        package: "zsh",
        probe: Probe::OnPath("zsh"),
        reason: "its completions",
    },
    Need {
        package: "fish",
        probe: Probe::OnPath("fish"),
        reason: "its completions",
    },
    Need {
        package: "time",
        probe: Probe::OnPath("time"),
        reason: "what a collector costs",
    },
    Need {
        package: "strace",
        probe: Probe::OnPath("strace"),
        reason: "system calls of a poll",
    },
    Need {
        package: "postgresql",
        // Debian keeps the programs in a directory for each version, off the search path.
        probe: Probe::Command(&[
            "sh",
            "-c",
            "command -v initdb || ls /usr/lib/postgresql/*/bin/initdb",
        ]),
        reason: "accounts in a database",
    },
    Need {
        package: "dbus-daemon",
        probe: Probe::OnPath("dbus-run-session"),
        reason: "a desktop's bus",
    },
    Need {
        package: "dbus-bin",
        probe: Probe::OnPath("dbus-send"),
        reason: "locks a keyring",
    },
    Need {
        package: "gnome-keyring",
        probe: Probe::OnPath("gnome-keyring-daemon"),
        reason: "a desktop's keyring",
    },
    Need {
        package: "libsecret-tools",
        probe: Probe::OnPath("secret-tool"),
        reason: "puts a password into a keyring",
    },
    Need {
        package: "g++",
        probe: Probe::OnPath("c++"),
        reason: "libFuzzer",
    },
];

/// What making a Debian package takes, and then what trying it takes.
const NEEDS_OF_PACKAGES: [Need; 2] = [
    Need {
        package: "dpkg-dev",
        probe: Probe::OnPath("dpkg-shlibdeps"),
        reason: "which libraries a package needs",
    },
    Need {
        package: "binutils",
        probe: Probe::OnPath("strip"),
        reason: "programs without symbols",
    },
];
const NEEDS_OF_A_TRIAL: [Need; 2] = [
    Need {
        package: "mmdebstrap",
        probe: Probe::OnPath("mmdebstrap"),
        reason: "a clean Debian",
    },
    Need {
        package: "util-linux",
        probe: Probe::OnPath("nsenter"),
        reason: "namespaces",
    },
];

/// Installs what is missing for the tests if we may; otherwise says what is missing and what to
/// type.
///
/// # Errors
/// Something is missing still. The tests would fail one by one; better to say so at once.
pub(crate) fn install_missing() -> Result<()> {
    install(&NEEDS.iter().collect::<Vec<_>>())
}

/// As [`install_missing`], for making packages and, if wanted, trying them.
///
/// # Errors
/// Something is missing still.
pub(crate) fn install_for_packages(with_trial: bool) -> Result<()> {
    let trial = NEEDS_OF_A_TRIAL.iter().filter(|_| with_trial);
    install(&NEEDS_OF_PACKAGES.iter().chain(trial).collect::<Vec<_>>())
}

fn install(needs: &[&'static Need]) -> Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    println!("This needs programs that are not installed:");
    for need in &missing {
        println!("  {:<24}{}", need.package, need.reason);
    }
    if !on_path("apt-get") {
        bail!("install them by your system's own means (the names are Debian's), then try again");
    }
    let typed = format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    if !is_root()? {
        bail!("only root may install them; type\n\n    sudo {typed}\n\nand try again");
    }
    refresh()?;
    process::run(
        apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&packages),
    )?;
    let still: Vec<&str> = self::missing(needs)
        .iter()
        .map(|need| need.package)
        .collect();
    if !still.is_empty() {
        bail!("installed, and yet not usable: {}", still.join(" "));
    }
    Ok(())
}

/// Brings the lists of packages up to date, if we may.
///
/// # Errors
/// The lists cannot be had.
pub(crate) fn refresh() -> Result<()> {
    match is_root()? {
        true => process::run(apt_get().arg("update")),
        false => Ok(()),
    }
}

fn missing(needs: &[&'static Need]) -> Vec<&'static Need> {
    let needs = needs.iter().copied();
    needs.filter(|need| !is_there(&need.probe)).collect()
}

fn is_there(probe: &Probe) -> bool {
    match probe {
        Probe::OnPath(program) => on_path(program),
        Probe::Command(words) => {
            let (program, arguments) = words.split_first().expect("a probe names a program");
            process::succeeds(process::command(program).args(arguments))
        }
    }
}

/// Whether there is such a program. `/usr/sbin` belongs to what we search: `rabid` lies there.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .any(|directory| Path::new(&directory).join(program).is_file())
}

fn is_root() -> Result<bool> {
    Ok(process::output_of(process::command("id").arg("-u"))?.trim() == "0")
}

fn apt_get() -> std::process::Command {
    let mut command = process::command("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .arg("--quiet");
    command
}
