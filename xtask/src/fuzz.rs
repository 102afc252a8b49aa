//! `cargo xtask fuzz`: runs the targets of `fuzz/` on stable Rust, without cargo-fuzz.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::{process, tree};

const MANIFEST: &str = "fuzz/Cargo.toml";

/// What cargo-fuzz passes for coverage; all of it is stable.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";

/// Fuzzes each target, or the named one, for so many seconds.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (seconds, only) = parse(arguments)?;
    let mut targets = targets()?;
    if let Some(only) = only {
        if !targets.contains(&only) {
            bail!("no fuzz target `{only}`; there are: {}", targets.join(", "));
        }
        targets = vec![only];
    }
    let host = host()?;
    process::run(build_command(&host).env("RUSTFLAGS", COVERAGE))?;
    for target in targets {
        fuzz(&host, &target, seconds)?;
    }
    Ok(())
}

/// Builds every target with coverage, as a fuzzing run would.
pub(crate) fn build() -> Result<()> {
    process::run(build_command(&host()?).env("RUSTFLAGS", COVERAGE))
}

fn fuzz(host: &str, target: &str, seconds: u64) -> Result<()> {
    let fuzz = tree::root().join("fuzz");
    let corpus = fuzz.join("corpus").join(target);
    let artifacts = fuzz.join("artifacts").join(target);
    for directory in [&corpus, &artifacts] {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let program: PathBuf = fuzz.join("target").join(host).join("release").join(target);
    let mut command = process::command(program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-verbosity=0",
            "-print_final_stats=1",
        ])
        .arg(&corpus);
    // Seeds in the repository are read, never written.
    let seeds = fuzz.join("seeds").join(target);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    process::run(&mut command)
}

fn parse(arguments: &[String]) -> Result<(u64, Option<String>)> {
    let mut seconds = 60;
    let mut only = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--seconds" => {
                let number = rest.next().context("`--seconds` wants a number")?;
                seconds = number
                    .parse()
                    .with_context(|| format!("`--seconds {number}`"))?;
            }
            flag if flag.starts_with('-') => bail!("unexpected flag `{flag}`"),
            name if only.is_none() => only = Some(name.to_owned()),
            extra => bail!("one target at a time; `{extra}` is a second one"),
        }
    }
    Ok((seconds, only))
}

fn targets() -> Result<Vec<String>> {
    let manifest: toml::Table = tree::read(MANIFEST)?.text.parse().context(MANIFEST)?;
    let binaries = manifest.get("bin").and_then(toml::Value::as_array);
    let names = binaries
        .into_iter()
        .flatten()
        .filter_map(|binary| binary.get("name")?.as_str());
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.is_empty() {
        bail!("{MANIFEST} lists no target");
    }
    Ok(names)
}

/// Naming the host as `--target` keeps the coverage flags away from build scripts.
fn host() -> Result<String> {
    let version = process::output_of(process::command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

fn build_command(host: &str) -> std::process::Command {
    let mut command = process::cargo();
    command.args([
        "build",
        "--release",
        "--manifest-path",
        MANIFEST,
        "--target",
        host,
    ]);
    command.args(["--target-dir", "fuzz/target"]);
    command
}
