//! Tests of what a session holds while nothing happens.

use super::*;

fn session() -> Session {
    let security = Security {
        cleartext_login: true,
        ..Security::default()
    };
    Session::new(Arc::new(Settings::default()), security, Duration::ZERO)
}

fn wait(session: &mut Session) {
    let mut out = Vec::new();
    while !matches!(
        session.poll_output(Duration::ZERO, &mut out),
        Output::Wait { .. }
    ) {}
}

#[test]
fn an_idle_session_holds_no_buffer() {
    let mut session = session();
    wait(&mut session);
    assert_eq!(session.outbox.octets().capacity(), 0);
    assert_eq!(session.lines.capacity(), 0);
    let commands = b"CAPA\r\nLANG\r\nUSER frank\r\n";
    assert_eq!(
        session.handle_input(Duration::ZERO, commands),
        commands.len()
    );
    wait(&mut session);
    assert_eq!(session.outbox.octets().capacity(), 0);
    assert_eq!(session.lines.capacity(), 0);
}

#[test]
fn a_session_is_small() {
    let octets = size_of::<Session>();
    assert!(octets <= 1024, "{octets}");
}
