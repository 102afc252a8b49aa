//! What scanners for weak TLS find: nothing.

use std::fs;
use std::process::{Command, Stdio};

use crate::certificate::HOST;
use crate::server::Server;

fn scan(port: u16, more: &[&str]) -> String {
    let output = Command::new("sslscan")
        .args(["--no-colour", "--show-certificate", "--connect-timeout=5"])
        .args(more)
        .arg(format!("{HOST}:{port}"))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("`sslscan`: {error}; `cargo xtask test` installs what the tests need")
        });
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}");
    report
}

fn check(report: &str) {
    // `sslscan` lists each protocol and each weakness by name, then the ciphers that it got.
    for line in [
        "SSLv2     disabled",
        "SSLv3     disabled",
        "TLSv1.0   disabled",
        "TLSv1.1   disabled",
        "TLSv1.2   enabled",
        "TLSv1.3   enabled",
        "TLSv1.3 not vulnerable to heartbleed",
        "TLSv1.2 not vulnerable to heartbleed",
    ] {
        assert!(
            report.lines().any(|l| l.trim() == line),
            "no `{line}` in:\n{report}"
        );
    }
    assert!(
        !report.contains("Insecure session renegotiation"),
        "{report}"
    );
    let ciphers: Vec<&str> = report
        .lines()
        .filter(|line| line.starts_with("Accepted") || line.starts_with("Preferred"))
        .collect();
    assert!(ciphers.len() >= 4, "{report}");
    for cipher in ciphers {
        let words: Vec<&str> = cipher.split_whitespace().collect();
        let bits: u32 = words[2].parse().unwrap();
        assert!(bits >= 128, "{cipher}");
        let name = words[4];
        let forward_secret = name.starts_with("TLS_") || name.starts_with("ECDHE-");
        let authenticated = ["GCM", "CHACHA20"].iter().any(|mode| name.contains(mode));
        assert!(forward_secret && authenticated, "{cipher}");
    }
}

#[test]
fn r8996_tls_5_and_r9325_tls_1_sslscan_finds_nothing_weak_in_implicit_tls() {
    let server = Server::with(&[]);
    check(&scan(server.tls.port(), &[]));
}

#[test]
fn r8996_tls_5_and_r9325_tls_1_sslscan_finds_nothing_weak_after_stls() {
    let server = Server::with(&[]);
    check(&scan(server.plain.port(), &["--starttls-pop3"]));
}

/// What testssl.sh, which speaks TLS by itself, holds to be at least a low risk.
fn risks(server: &Server, port: u16, more: &[&str]) -> Vec<String> {
    let report = server.site.path().join(format!("testssl-{port}.json"));
    let output = Command::new("testssl")
        .args([
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "off",
            "--ip",
            "one",
        ])
        .args(["--severity", "LOW", "-p", "-s", "-U", "--jsonfile"])
        .arg(&report)
        .args(more)
        .arg(format!("{HOST}:{port}"))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("`testssl`: {error}; `cargo xtask test` installs what the tests need")
        });
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("TLS 1.3    offered (OK): final"), "{text}");
    assert!(text.contains("Done "), "{text}");
    let findings = fs::read_to_string(report).unwrap();
    let findings: Vec<serde_json::Value> = serde_json::from_str(&findings).unwrap();
    let risky = findings.into_iter().filter(|finding| {
        let severity = finding["severity"].as_str().unwrap();
        ["LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"].contains(&severity)
    });
    risky.map(|finding| finding.to_string()).collect()
}

#[test]
fn testssl_finds_nothing_weak_in_implicit_tls() {
    let server = Server::with(&[]);
    assert_eq!(risks(&server, server.tls.port(), &[]), [""; 0]);
}

#[test]
fn testssl_finds_nothing_weak_after_stls() {
    let server = Server::with(&[]);
    assert_eq!(
        risks(&server, server.plain.port(), &["-t", "pop3"]),
        [""; 0]
    );
}
