//! The pages for those who watch: what they say, and what a stranger can do to them.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use restante_server::{ServerSettings, http};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    time::{Instant, timeout},
};

use crate::{client::Client, setup::Running};

const PATIENCE: Duration = Duration::from_secs(20);

/// Serves the pages of `server`.
fn pages(server: &Running) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http::serve(listener, server.observation.clone()));
    address
}

/// Sends octets and reads to the end.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Whoever is refused may not be read to the end.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = timeout(PATIENCE, read).await.expect("no end");
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n");
    let answer = exchange(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The number of a line of `/metrics`.
fn number(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|shown| {
        let (name, number) = shown.rsplit_once(' ')?;
        (name == line).then(|| number.parse().unwrap())
    });
    found.unwrap_or_else(|| panic!("no {line} in\n{text}"))
}

/// The numbers, once `line` has reached `value`: a connection is counted when it has ended.
async fn numbers_with(address: SocketAddr, line: &str, value: f64) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, text) = get(address, "/metrics").await;
        if number(&text, line) == value {
            return text;
        }
        assert!(Instant::now() < deadline, "{line} is not {value}:\n{text}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_sessions_do_is_counted() {
    let mut settings = ServerSettings::default();
    settings.limits.connections_per_address_max = 2;
    let server = Running::with(settings);
    let pages = pages(&server);
    server.deliver("ann", b"Subject: one\n\nbody\n").await;
    let mut ann = server.login("ann").await;
    let mut stranger = Client::greeted(server.plain).await;
    stranger.ask("USER ben", "+OK").await;
    stranger.ask("PASS wrong", "-ERR").await;
    let mut over = Client::connect(server.plain).await;
    over.expect("-ERR").await;
    let (_, text) = get(pages, "/metrics").await;
    assert_eq!(number(&text, "restante_open_connections"), 2.0);
    ann.ask("RETR 1", "+OK").await;
    ann.multi_line().await;
    ann.ask("DELE 1", "+OK").await;
    ann.ask("QUIT", "+OK").await;
    stranger.ask("QUIT", "+OK").await;
    drop((ann, stranger, over));
    let text = numbers_with(pages, "restante_connections_total", 2.0).await;
    for (line, value) in [
        ("restante_open_connections", 0.0),
        ("restante_sessions_total", 1.0),
        (
            r#"restante_connections_refused_total{limit="address"}"#,
            1.0,
        ),
        (r#"restante_connections_refused_total{limit="total"}"#, 0.0),
        (r#"restante_logins_total{result="accepted"}"#, 1.0),
        (r#"restante_logins_total{result="credentials"}"#, 1.0),
        (r#"restante_logins_total{result="temporary"}"#, 0.0),
        ("restante_retrieved_messages_total", 1.0),
        ("restante_removed_messages_total", 1.0),
        (r#"restante_step_seconds_count{step="login"}"#, 2.0),
        (r#"restante_step_seconds_count{step="open"}"#, 1.0),
        (r#"restante_step_seconds_count{step="retrieve"}"#, 1.0),
        (r#"restante_step_seconds_count{step="update"}"#, 1.0),
        (r#"restante_errors_total{step="update"}"#, 0.0),
        (r#"restante_command_seconds_count{command="USER"}"#, 2.0),
        (r#"restante_command_seconds_count{command="PASS"}"#, 2.0),
        (r#"restante_command_seconds_count{command="RETR"}"#, 1.0),
        (r#"restante_command_seconds_count{command="DELE"}"#, 1.0),
        (r#"restante_command_seconds_count{command="QUIT"}"#, 2.0),
        (r#"restante_command_seconds_count{command="STAT"}"#, 0.0),
        (r#"restante_command_seconds_count{command="other"}"#, 0.0),
    ] {
        assert_eq!(number(&text, line), value, "{line}\n{text}");
    }
    assert!(number(&text, "restante_received_octets_total") > 60.0);
    assert!(number(&text, "restante_sent_octets_total") > 200.0);
}

#[tokio::test]
async fn the_numbers_are_read_by_a_parser_of_openmetrics() {
    let server = Running::new();
    let pages = pages(&server);
    server.login("ann").await.ask("QUIT", "+OK").await;
    let (head, text) = get(pages, "/metrics").await;
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    let script = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families\n\
        print(len(list(text_string_to_metric_families(sys.stdin.read()))))";
    // The distribution's own, which has the distribution's library.
    let mut parser = Command::new("/usr/bin/python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = parser.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    let output = parser.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}\n{text}");
    let families = restante_server::metrics::FAMILIES.len().to_string();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), families);
}

#[tokio::test]
async fn readiness_ends_when_the_server_is_to_stop_and_health_does_not() {
    let mut server = Running::new();
    let pages = pages(&server);
    for (path, body) in [("/readyz", "ready\n"), ("/healthz", "alive\n")] {
        let (head, shown) = get(pages, path).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(shown, body);
    }
    let session = server.login("ann").await;
    server.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (head, body) = get(pages, "/readyz").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, "stopping\n");
    let (head, _) = get(pages, "/healthz").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    drop(session);
    server.ended().await;
}

#[tokio::test]
async fn a_server_whose_accounts_cannot_be_read_is_not_ready() {
    let server = Running::new();
    let pages = pages(&server);
    server.remove_users();
    let (head, body) = get(pages, "/readyz").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    // Where they are and why is the log's to say.
    assert_eq!(body, "accounts unavailable\n");
}

#[tokio::test]
async fn other_pages_and_methods_are_refused_and_no_body_is_read() {
    let server = Running::new();
    let pages = pages(&server);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("GET /metrics/../etc HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        (
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nabc",
            "405",
        ),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = exchange(pages, request.as_bytes()).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{request}{answer}");
    }
    let head = exchange(pages, b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"));
    // One request for a connection: a second one is not served.
    let twice = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    let answer = exchange(pages, &twice).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn headers_are_bounded() {
    let server = Running::new();
    let pages = pages(&server);
    let long = format!(
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let many = format!(
        "GET /healthz HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: x\r\n".repeat(100)
    );
    for request in [long, many] {
        let answer = exchange(pages, request.as_bytes()).await;
        assert!(!answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[tokio::test]
async fn silent_connections_take_all_places_for_a_few_seconds_at_most() {
    let server = Running::new();
    let pages = pages(&server);
    let mut silent = Vec::new();
    for number in 0..40 {
        let mut stream = TcpStream::connect(pages).await.unwrap();
        if number % 2 == 0 {
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost")
                .await
                .unwrap();
        }
        silent.push(stream);
    }
    let began = Instant::now();
    let (head, _) = get(pages, "/healthz").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let waited = began.elapsed();
    assert!(
        waited > Duration::from_secs(4),
        "{waited:?}: no place was taken"
    );
    assert!(waited < Duration::from_secs(12), "{waited:?}");
}
