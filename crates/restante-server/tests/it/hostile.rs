//! What strangers try before and after they have logged in.

use std::time::Duration;

use restante_server::{ServerSettings, log::LogFormat};
use socket2::SockRef;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{client::Client, log_lines::LogLines, setup::Running};

const SHORT: Duration = Duration::from_millis(200);

fn with_session(change: impl FnOnce(&mut restante_proto::server::Settings)) -> ServerSettings {
    let mut settings = ServerSettings::default();
    change(&mut settings.session);
    settings
}

#[tokio::test]
async fn r1939_timer_3_silence_before_login_closes_without_a_word() {
    let server = Running::with(with_session(|session| session.login_timeout = SHORT));
    let mut client = Client::greeted(server.plain).await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn prj_timer_6_many_silent_connections_are_all_closed_at_the_login_timeout() {
    let mut settings = with_session(|session| session.login_timeout = 5 * SHORT);
    settings.limits.connections_per_address_max = 300;
    let server = Running::with(settings);
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(Client::greeted(server.plain).await);
    }
    for mut client in clients {
        assert_eq!(client.rest().await, b"");
    }
    // All places are free again.
    drop(Client::greeted(server.plain).await);
}

// R1939-TIMER-1, R1939-TIMER-4
#[tokio::test]
async fn r1939_timer_3_ten_silent_minutes_after_login_close_without_a_word_or_an_update() {
    let server = Running::new();
    server.deliver("ann", b"Subject: one\n\n").await;
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let stream = client.into_inner();
    let mut octet = [0];
    let closed = tokio::time::timeout(Duration::from_secs(3600), stream.peek(&mut octet));
    assert_eq!(closed.await.unwrap().unwrap(), 0);
    assert!(
        began.elapsed() >= Duration::from_secs(600),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(server.count("ann"), 1);
}

/// Half of a TLS handshake: a record header that promises more than comes.
const HALF_CLIENT_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01];

#[tokio::test]
async fn prj_sec_1_half_a_handshake_is_cut_off_on_the_tls_port() {
    let server = Running::with(ServerSettings {
        handshake_timeout: SHORT,
        ..ServerSettings::default()
    });
    let mut client = Client::connect(server.tls).await;
    client.send(HALF_CLIENT_HELLO).await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn r2595_pol_2_half_a_handshake_after_stls_is_cut_off() {
    let server = Running::with(ServerSettings {
        handshake_timeout: SHORT,
        ..ServerSettings::default()
    });
    let mut client = Client::greeted(server.plain).await;
    client.ask("STLS", "+OK").await;
    client.send(HALF_CLIENT_HELLO).await;
    assert_eq!(client.rest().await, b"");
}

// PRJ-INJ-3
#[tokio::test]
async fn prj_inj_1_commands_in_the_segment_of_stls_close_the_connection() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::new();
    let mut client = Client::greeted(server.plain).await;
    client
        .send("STLS\r\nUSER ann\r\nPASS open-sesame\r\nDELE 1\r\n")
        .await;
    let rest = client.rest().await;
    // One answer at most, and none to what came in clear behind STLS.
    assert!(
        rest.iter().filter(|&&octet| octet == b'\n').count() <= 1,
        "{}",
        rest.escape_ascii()
    );
    lines.line_with("plaintext-after-stls").await;
    assert!(!lines.text().contains("login"), "{}", lines.text());
}

#[tokio::test]
async fn prj_inj_1_commands_after_the_answer_to_stls_close_the_connection() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::new();
    let mut client = Client::greeted(server.plain).await;
    client.ask("STLS", "+OK").await;
    client
        .send("CAPA\r\nUSER ann\r\nPASS open-sesame\r\n")
        .await;
    let rest = client.try_rest().await.unwrap_or_default();
    // A TLS alert at most.
    assert!(!rest.contains(&b'+'), "{}", rest.escape_ascii());
    lines.line_with("TLS handshake failed").await;
}

#[tokio::test]
async fn prj_sec_1_another_protocol_on_the_tls_port_gets_no_greeting() {
    let server = Running::new();
    let mut client = Client::connect(server.tls).await;
    client
        .send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let rest = client.try_rest().await.unwrap_or_default();
    assert!(!rest.starts_with(b"+OK"), "{}", rest.escape_ascii());
}

// R2449-PIPE-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2449_pipe_1_a_million_pipelined_commands_are_answered_in_order() {
    const COMMANDS: usize = 1_000_000;
    let server = Running::new();
    server.deliver("ann", b"Subject: one\n\n").await;
    let client = server.login("ann").await;
    let (mut reader, mut writer) = client.split();
    let flood = tokio::spawn(async move {
        let batch = "NOOP\r\n".repeat(1000);
        for _ in 0..COMMANDS / 1000 {
            writer.write_all(batch.as_bytes()).await.unwrap();
        }
        writer.write_all(b"STAT\r\nQUIT\r\n").await.unwrap();
        writer
    });
    for _ in 0..COMMANDS {
        let line = reader.try_line().await.unwrap();
        assert!(line.starts_with(b"+OK"));
    }
    assert_eq!(reader.line().await, "+OK 1 16");
    reader.expect("+OK").await;
    assert_eq!(reader.rest().await, b"");
    drop(flood.await.unwrap());
}

#[tokio::test]
async fn r2449_pipe_4_a_client_that_sends_everything_before_it_reads_gets_every_answer() {
    const COMMANDS: usize = 2000;
    let server = Running::new();
    for number in 0..200 {
        server
            .deliver("ann", format!("Subject: {number}\n\n").as_bytes())
            .await;
    }
    let mut client = server.login("ann").await;
    // 5 MB of answers, far beyond what the two kernels hold for one connection.
    client.send("UIDL\r\n".repeat(COMMANDS)).await;
    for _ in 0..COMMANDS {
        client.expect("+OK").await;
        let listing = client.multi_line().await;
        assert_eq!(listing.iter().filter(|&&octet| octet == b'\n').count(), 200);
    }
    client.ask("QUIT", "+OK").await;
}

#[tokio::test]
async fn prj_timer_5_a_client_that_never_reads_is_cut_off_by_the_write_timeout() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::with(ServerSettings {
        write_timeout: SHORT,
        ..ServerSettings::default()
    });
    server.deliver("ann", b"Subject: one\n\n").await;
    server.deliver("ann", &vec![b'x'; 16 << 20]).await;
    let mut client = server.login("ann").await;
    SockRef::from(client.get_ref())
        .set_recv_buffer_size(4096)
        .unwrap();
    client.send("DELE 1\r\nRETR 2\r\nQUIT\r\n").await;
    let line = lines.line_with("session ended").await;
    assert!(line.contains("write timeout"), "{line}");
    // R1939-TIMER-4: no update.
    assert_eq!(server.count("ann"), 2);
}

#[tokio::test]
async fn prj_timer_5_a_client_that_never_reads_over_tls_is_cut_off_too() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::with(ServerSettings {
        write_timeout: SHORT,
        ..ServerSettings::default()
    });
    server.deliver("ann", &vec![b'x'; 16 << 20]).await;
    let mut client = server.tls_client(&[&rustls::version::TLS13]).await;
    SockRef::from(client.get_ref().get_ref().0)
        .set_recv_buffer_size(4096)
        .unwrap();
    client.log_in("ann").await;
    client.send("RETR 1\r\n").await;
    let line = lines.line_with("session ended").await;
    assert!(line.contains("write timeout"), "{line}");
}

#[tokio::test]
async fn prj_sec_1_an_endless_line_is_answered_once_and_takes_no_memory() {
    let server = Running::new();
    let mut client = Client::greeted(server.plain).await;
    for _ in 0..64 {
        client.send(vec![b'A'; 64 * 1024]).await;
    }
    client.send("\r\nCAPA\r\n").await;
    client.expect("-ERR").await;
    client.expect("+OK").await;
    client.multi_line().await;
    client.ask("QUIT", "+OK").await;
}

#[tokio::test]
async fn prj_err_8_a_client_of_another_protocol_is_got_rid_of_and_hears_why() {
    let server = Running::new();
    let mut client = Client::greeted(server.plain).await;
    // It goes on talking: the last answer must not be lost in a reset.
    client.send("EHLO example.com\r\n".repeat(500)).await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(rest.lines().all(|line| line.starts_with("-ERR")), "{rest}");
    assert!((10..=11).contains(&rest.lines().count()), "{rest}");
}

#[tokio::test]
async fn r1939_timer_4_a_connection_that_resets_removes_nothing() {
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::new();
    server.deliver("ann", b"Subject: one\n\n").await;
    let mut client = server.login("ann").await;
    client.ask("DELE 1", "+OK").await;
    client.send("QUI").await;
    reset(client.into_inner());
    lines.line_with("session ended").await;
    assert_eq!(server.count("ann"), 1);
    // R1939-LOCK-1, PRJ-LOCK-5: the maildrop is free at once.
    server.login("ann").await.ask("STAT", "+OK 1 ").await;
}

/// Runs in a process of its own, since descriptors are the process's.
#[test]
fn prj_sec_1_without_descriptors_the_server_waits_and_then_goes_on() {
    const CHILD: &str = "RESTANTE_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(without_descriptors());
    }
    let name = "hostile::prj_sec_1_without_descriptors_the_server_waits_and_then_goes_on";
    let child = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 100; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && output.contains("1 passed"),
        "{output}"
    );
}

async fn without_descriptors() {
    const CLIENTS: usize = 20;
    let lines = LogLines::catch(LogFormat::Text);
    let server = Running::new();
    // The kernel completes these; nothing accepts them before the first `await`.
    let connect = |_| std::net::TcpStream::connect(server.plain).unwrap();
    let clients: Vec<_> = (0..CLIENTS).map(connect).collect();
    let mut rest = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        rest.push(file);
    }
    lines.line_with("cannot accept connections").await;
    tokio::time::sleep(3 * SHORT).await;
    assert_eq!(
        lines.text().matches("cannot accept").count(),
        1,
        "{}",
        lines.text()
    );
    drop(rest);
    for stream in clients {
        stream.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(stream).unwrap();
        Client::over(stream).expect("+OK").await;
    }
}

pub(crate) fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}
