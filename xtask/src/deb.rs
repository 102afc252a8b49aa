//! `cargo xtask package`: the Debian package, and its trial on a clean Debian.
//!
//! ```text
//! target/deb/
//! ├── man/  completions/        what the program makes of its own tables
//! ├── build/release/restante    the program, if it is not the release build (--short)
//! ├── restante_0.1.0-1_amd64.deb
//! └── root.tar  root/           a clean Debian (--try)
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{package, process, tree, trial};

/// What makes the package. It is compiled on first use: no distribution has it.
const CARGO_DEB: &str = "3.8.0";

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    /// Try the package.
    trial: bool,
    /// Package the program as the tests build it.
    short: bool,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut wanted = Wanted::default();
    for argument in arguments {
        match argument.as_str() {
            "--try" => wanted.trial = true,
            "--short" => wanted.short = true,
            unknown => bail!("no flag `{unknown}`: `cargo xtask package [--try] [--short]`"),
        }
    }
    package::install_for_packages(wanted.trial)?;
    let workshop = Workshop::open(wanted.short)?;
    let deb = workshop.make("1")?;
    println!("{}", deb.display());
    if wanted.trial {
        // The same program as a later version: what an upgrade does is up to the scripts.
        trial::run(&deb, &workshop.make("2")?)?;
    }
    Ok(())
}

/// The program, built, and the files that go with it.
struct Workshop {
    place: PathBuf,
    is_short: bool,
}

impl Workshop {
    fn open(is_short: bool) -> Result<Self> {
        let place = tree::root().join("target/deb");
        let program = build(is_short)?;
        for directory in ["man", "completions", "build/release"] {
            let directory = place.join(directory);
            if directory.exists() {
                fs::remove_dir_all(&directory)?;
            }
            fs::create_dir_all(&directory)?;
        }
        let generate = |words: &[&str]| {
            let mut command = process::command(&program);
            command.arg("generate").args(words);
            match last_change() {
                Some(seconds) => command.env("SOURCE_DATE_EPOCH", seconds),
                None => &mut command,
            };
            process::output_of(&mut command)
        };
        generate(&["man", &place.join("man").to_string_lossy()])?;
        for shell in ["bash", "zsh", "fish"] {
            let script = generate(&["completions", shell])?;
            fs::write(
                place.join("completions").join(format!("restante.{shell}")),
                script,
            )?;
        }
        if is_short {
            // cargo-deb knows release builds alone.
            fs::copy(&program, place.join("build/release/restante"))?;
        }
        Ok(Self { place, is_short })
    }

    /// Makes the package with this revision behind the program's version.
    fn make(&self, revision: &str) -> Result<PathBuf> {
        let mut cargo_deb = process::command(cargo_deb()?);
        cargo_deb
            .args(["--quiet", "--no-build", "--package", "restante"])
            .args(["--deb-revision", revision])
            .arg("--output")
            .arg(self.place.join(""));
        if self.is_short {
            cargo_deb
                .arg("--fast")
                .env("CARGO_TARGET_DIR", self.place.join("build"));
        }
        let made = process::output_of(&mut cargo_deb)?;
        let deb = PathBuf::from(made.trim());
        match deb.is_file() {
            true => Ok(deb),
            false => bail!("cargo-deb says that it has made `{}`", made.trim()),
        }
    }
}

/// Builds the program; gives its path.
fn build(is_short: bool) -> Result<PathBuf> {
    let how: &[&str] = match is_short {
        // As the tests are built: after them nothing is left to do.
        true => &["test", "--workspace", "--no-run"],
        false => &["build", "--release", "--package", "restante"],
    };
    process::run(process::cargo().args(how))?;
    let profile = if is_short { "debug" } else { "release" };
    Ok(target()?.join(profile).join("restante"))
}

/// Where cargo builds.
fn target() -> Result<PathBuf> {
    let metadata = process::output_of(process::cargo().args([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--offline",
    ]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let directory = metadata["target_directory"].as_str();
    Ok(PathBuf::from(
        directory.context("cargo names no target directory")?,
    ))
}

/// When the sources were changed last, in seconds since 1970: the date of the manual pages.
fn last_change() -> Option<String> {
    let mut git = process::command("git");
    let time = process::output_of(git.args(["log", "-1", "--format=%ct"])).ok()?;
    Some(time.trim().to_owned())
}

/// The program cargo-deb: the one that is installed, or else one below `target/tools`.
fn cargo_deb() -> Result<PathBuf> {
    let own = tree::root().join("target/tools");
    let program = own.join("bin/cargo-deb");
    if program.is_file() {
        return Ok(program);
    }
    if package::on_path("cargo-deb") {
        return Ok(Path::new("cargo-deb").to_owned());
    }
    process::run(
        process::cargo()
            .args(["install", "cargo-deb", "--version", CARGO_DEB])
            // It runs for seconds; optimising it would take minutes.
            .args(["--locked", "--debug", "--root"])
            .arg(&own),
    )?;
    Ok(program)
}
