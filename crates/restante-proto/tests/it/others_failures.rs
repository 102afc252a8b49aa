//! What went wrong in other servers, by name.

use std::{sync::Arc, time::Duration};

use restante_proto::server::{Action, CloseReason, Output, Security, Session, Settings};

use crate::world::{Entry, World};

const ZERO: Duration = Duration::ZERO;

fn session(security: Security) -> Session {
    Session::new(Arc::new(Settings::default()), security, ZERO)
}

fn cleartext() -> Security {
    Security {
        cleartext_login: true,
        stls: true,
        ..Security::default()
    }
}

fn logged_in(world: &mut World) -> Session {
    let mut session = session(cleartext());
    let mut out = Vec::new();
    world.feed(
        &mut session,
        ZERO,
        b"USER frank\r\nPASS secret\r\n",
        &mut out,
    );
    assert!(out.ends_with(b"+OK maildrop open\r\n"));
    session
}

fn answer(world: &mut World, session: &mut Session, input: &str) -> String {
    let mut out = Vec::new();
    world.feed(session, ZERO, input.as_bytes(), &mut out);
    String::from_utf8(out).expect("UTF-8")
}

/// Stalwart takes 0 lines for "all of them" and sends the whole message.
#[test]
fn stalwart_top_n_0_sends_the_header_alone_r1939_top_3() {
    let mut world = World::new(vec![Entry::new("a", b"A: b\n\n1\n2\n")]);
    let mut session = logged_in(&mut world);
    let out = answer(&mut world, &mut session, "TOP 1 0\r\n");
    assert_eq!(out, "+OK top of message follows\r\nA: b\r\n\r\n.\r\n");
}

/// Stalwart computes the index of message 0 as 0 − 1.
#[test]
fn stalwart_message_0_does_not_exist_prj_num_2() {
    let mut world = World::new(vec![Entry::new("a", b"x\n")]);
    let mut session = logged_in(&mut world);
    let out = answer(
        &mut world,
        &mut session,
        "RETR 0\r\nTOP 0 1\r\nLIST 0\r\nUIDL 0\r\nDELE 0\r\nDELE 00\r\n",
    );
    assert_eq!(out, "-ERR invalid message-number\r\n".repeat(6));
    answer(&mut world, &mut session, "QUIT\r\n");
    assert!(world.updates[0].0.is_empty());
}

/// Stalwart keeps the parser with what it has buffered across STLS, so that commands injected in
/// the clear run under TLS. The new session is made from the settings alone; and whoever sends
/// on after STLS is sent away (PRJ-INJ-1, PRJ-INJ-3, CVE-2011-0411).
#[test]
fn stalwart_parser_state_across_stls_prj_inj_1() {
    for input in ["STLS\r\nUSER frank\r\n", "STLS\r\nU", "STLS\r\n\r\n"] {
        let mut session = session(cleartext());
        let mut world = World::new(Vec::new());
        let mut out = Vec::new();
        let closed = world.feed(&mut session, ZERO, input.as_bytes(), &mut out);
        assert!(!world.started_tls);
        assert_eq!(closed, Some(CloseReason::PlaintextAfterStls));
        assert!(out.ends_with(b"\r\n-ERR plaintext after STLS\r\n"));
    }
}

/// The same, when what came too much did not fit into the buffer and is still with the driver.
#[test]
fn octets_that_did_not_fit_count_as_plaintext_after_stls_prj_inj_1() {
    let mut session = session(cleartext());
    let room = session.input_room();
    let mut input = b"CAPA\r\n".repeat(room / 6 - 1);
    while input.len() < room - 6 {
        input.splice(0..0, *b"\n");
    }
    input.extend(b"STLS\r\n");
    assert_eq!(input.len(), room);
    input.extend(b"USER frank\r\n");
    assert_eq!(session.handle_input(ZERO, &input), room);
    let mut out = Vec::new();
    let output = loop {
        match session.poll_output(ZERO, &mut out) {
            Output::Flush => {}
            other => break other,
        }
    };
    assert!(
        matches!(output, Output::Close(CloseReason::PlaintextAfterStls)),
        "{output:?}"
    );
}

/// After the answer to STLS nothing is taken any more.
#[test]
fn octets_after_the_answer_to_stls_are_not_taken_prj_inj_3() {
    let mut session = session(cleartext());
    session.handle_input(ZERO, b"STLS\r\n");
    let mut out = Vec::new();
    let output = session.poll_output(ZERO, &mut out);
    assert!(matches!(output, Output::Action(Action::StartTls)));
    // R2595-STLS-1: the answer comes before the action.
    assert!(out.ends_with(b"+OK begin TLS negotiation\r\n"));
    assert_eq!(session.handle_input(ZERO, b"USER frank\r\n"), 0);
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Wait { deadline: None }
    ));
}

/// Courier counts only messages that are left when it numbers a listing after DELE.
#[test]
fn courier_renumbers_after_dele_prj_list_6() {
    let mut world = World::new(vec![
        Entry::new("a", b"1\n"),
        Entry::new("b", b"22\n"),
        Entry::new("c", b"333\n"),
    ]);
    let mut session = logged_in(&mut world);
    let out = answer(
        &mut world,
        &mut session,
        "DELE 1\r\nLIST\r\nUIDL\r\nLIST 2\r\n",
    );
    let wanted = "+OK message marked as deleted\r\n\
        +OK scan listing follows\r\n2 4\r\n3 5\r\n.\r\n\
        +OK unique-id listing follows\r\n2 b\r\n3 c\r\n.\r\n\
        +OK 2 4\r\n";
    assert_eq!(out, wanted);
}

/// Courier says goodbye before it deletes, so that a failure is never told.
#[test]
fn courier_says_goodbye_before_deleting_prj_quit_6() {
    let mut world = World::new(vec![Entry::new("a", b"1\n")]);
    for fails in [false, true] {
        let mut session = logged_in(&mut world);
        session.handle_input(ZERO, b"DELE 1\r\nQUIT\r\n");
        let mut out = Vec::new();
        let output = session.poll_output(ZERO, &mut out);
        assert!(matches!(output, Output::Action(Action::Update { .. })));
        // R1939-QUIT-2: not a word before it is done.
        assert_eq!(out, b"+OK message marked as deleted\r\n");
        out.clear();
        let reason = if fails {
            session.update_failed(ZERO);
            CloseReason::QuitFailed
        } else {
            session.updated(ZERO);
            CloseReason::Quit
        };
        let output = session.poll_output(ZERO, &mut out);
        assert!(matches!(output, Output::Close(why) if why == reason));
        assert_eq!(out.starts_with(b"+OK "), !fails);
        assert_eq!(session.statistics().deleted, u64::from(!fails));
    }
}

/// Dovecot ends a line at a NUL: `DELE 1\0…` deletes message 1, `PASS secret\0…` logs in.
#[test]
fn dovecot_cuts_at_nul_prj_err_6() {
    let mut world = World::new(vec![Entry::new("a", b"1\n")]);
    let mut session = session(cleartext());
    let out = answer(
        &mut world,
        &mut session,
        "USER frank\0x\r\nUSER frank\r\nPASS secret\0x\r\nUSER frank\r\nPASS secret\r\nDELE 1\0x\r\nQUIT\r\n",
    );
    let refused = "-ERR control octet in command\r\n";
    assert_eq!(out.matches(refused).count(), 3);
    assert_eq!(world.logins, ["frank"]);
    assert!(world.updates[0].0.is_empty());
}

/// Secrets stay out of what a driver might print (PRJ-SEC-2).
#[test]
fn actions_do_not_show_secrets_prj_sec_2() {
    let security = Security {
        mechanisms: vec!["PLAIN".into()],
        apop_timestamp: Some("<1.2@example.com>".into()),
        ..cleartext()
    };
    for input in [
        "USER frank\r\nPASS tanstaaf\r\n",
        "AUTH PLAIN tanstaaf\r\n",
        "APOP frank abcdefabcdefabcdefabcdefabcdefab\r\n",
    ] {
        let mut session = session(security.clone());
        session.handle_input(ZERO, input.as_bytes());
        let output = session.poll_output(ZERO, &mut Vec::new());
        let shown = format!("{output:?}");
        assert!(shown.contains("Login"), "{shown}");
        for secret in ["tanstaaf", "abcdef", "116, 97", "97, 98"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
