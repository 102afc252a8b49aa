//! Much at once: pipelines, big maildrops, pauses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use restante_proto::{
    MessageNumber, Messages, Mode, Octets, UniqueId,
    server::{Action, CloseReason, Opened, Output, Security, Session, Settings},
};

const ZERO: Duration = Duration::ZERO;
const COUNT: u32 = 100_000;

/// A big maildrop that counts how often it is asked for a size.
struct Big {
    asked: AtomicU64,
}

impl Messages for Big {
    fn count(&self) -> u32 {
        COUNT
    }

    fn octets(&self, number: MessageNumber, _: Mode) -> Option<Octets> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Some(Octets(u64::from(number.get())))
    }

    fn unique_id(&self, _: MessageNumber) -> UniqueId<'_> {
        UniqueId::new(b"the-same-for-all").expect("legal")
    }
}

fn open(messages: Arc<dyn Messages>) -> Session {
    let security = Security {
        cleartext_login: true,
        ..Security::default()
    };
    let mut session = Session::new(Arc::new(Settings::default()), security, ZERO);
    session.handle_input(ZERO, b"USER frank\r\nPASS secret\r\n");
    let mut out = Vec::new();
    loop {
        match session.poll_output(ZERO, &mut out) {
            Output::Action(Action::Login(_)) => session.authenticated(ZERO),
            Output::Action(Action::Open) => session.opened(ZERO, Opened::new(messages.clone())),
            Output::Wait { .. } => return session,
            other => panic!("{other:?}"),
        }
    }
}

/// Sends everything, calls `each` for each piece of output, and sees to it that no piece and no
/// buffer is larger than the limits say.
fn pump(session: &mut Session, input: &[u8], mut each: impl FnMut(&[u8])) {
    let mut rest = input;
    while !rest.is_empty() {
        let taken = session.handle_input(ZERO, rest);
        assert!(0 < taken && taken <= 16 * 1024);
        rest = &rest[taken..];
        loop {
            let mut out = Vec::new();
            let output = session.poll_output(ZERO, &mut out);
            assert!(out.len() <= 16 * 1024 + 512, "{}", out.len());
            each(&out);
            match output {
                Output::Flush => assert!(out.len() >= 16 * 1024),
                Output::Wait { .. } => break,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn prj_sec_1_a_million_pipelined_commands_cost_a_million_steps() {
    let big = Arc::new(Big {
        asked: AtomicU64::new(0),
    });
    let mut session = open(big.clone());
    let commands = b"STAT\r\nDELE 7\r\nRSET\r\nNOOP\r\n".repeat(250_000);
    let mut lines = 0;
    pump(&mut session, &commands, |out| {
        lines += out.iter().filter(|&&octet| octet == b'\n').count();
    });
    // R2449-PIPE-2: none is lost.
    assert_eq!(lines, 1_000_000);
    assert_eq!(session.statistics().commands, 1_000_002);
    // The sizes are added up once; a DELE looks at one of them.
    let asked = big.asked.load(Ordering::Relaxed);
    assert!(
        asked <= u64::from(COUNT) + 250_000 + 250_000,
        "asked {asked} times"
    );
}

#[test]
fn prj_sec_1_listings_of_marked_messages_are_cheap() {
    let big = Arc::new(Big {
        asked: AtomicU64::new(0),
    });
    let mut session = open(big.clone());
    let marks: String = (1..=COUNT)
        .map(|number| format!("DELE {number}\r\n"))
        .collect();
    pump(&mut session, marks.as_bytes(), |_| {});
    let mut octets = 0;
    let commands = b"LIST\r\nUIDL\r\n".repeat(10_000);
    pump(&mut session, &commands, |out| octets += out.len());
    let answers = "+OK scan listing follows\r\n.\r\n+OK unique-id listing follows\r\n.\r\n";
    assert_eq!(octets, answers.len() * 10_000);
}

#[test]
fn prj_num_7_a_listing_of_100000_messages_is_made_in_small_pieces() {
    let mut session = open(Arc::new(Big {
        asked: AtomicU64::new(0),
    }));
    let mut text = Vec::new();
    let mut pieces = 0;
    pump(&mut session, b"LIST\r\n", |out| {
        pieces += 1;
        text.extend_from_slice(out);
    });
    let lines: String = (1..=COUNT).map(|n| format!("{n} {n}\r\n")).collect();
    let wanted = format!("+OK scan listing follows\r\n{lines}.\r\n");
    assert_eq!(String::from_utf8(text).expect("ASCII"), wanted);
    assert!(pieces > 50, "{pieces}");
}

#[test]
fn r2449_pipe_1_nothing_runs_while_an_action_is_unanswered() {
    let security = Security {
        cleartext_login: true,
        ..Security::default()
    };
    let mut session = Session::new(Arc::new(Settings::default()), security, ZERO);
    session.handle_input(ZERO, b"USER frank\r\nPASS secret\r\nSTAT\r\nQUIT\r\n");
    let mut out = Vec::new();
    let login = session.poll_output(ZERO, &mut out);
    assert!(matches!(login, Output::Action(Action::Login(_))));
    let greeted = b"+OK POP3 server ready\r\n+OK send the password\r\n";
    assert_eq!(out, greeted);
    for _ in 0..3 {
        // The machine pauses: it takes nothing and says nothing.
        assert_eq!(session.input_room(), 0);
        assert_eq!(session.handle_input(ZERO, b"NOOP\r\n"), 0);
        let output = session.poll_output(ZERO, &mut out);
        assert!(matches!(output, Output::Wait { deadline: None }));
        assert_eq!(out, greeted);
    }
    // Answers to questions that were not asked change nothing.
    session.updated(ZERO);
    session.measured(ZERO);
    session.message_sent(ZERO);
    session.message_broken(ZERO);
    session.sasl_challenge(ZERO, b"eA==");
    let mut nothing = Vec::new();
    let encoder = session.message_opened(ZERO, restante_proto::Form::Wire, Octets(0), &mut nothing);
    assert!(encoder.finish(&mut nothing).is_err());
    assert_eq!(nothing, b"");
    let output = session.poll_output(ZERO, &mut out);
    assert!(matches!(output, Output::Wait { deadline: None }));
    assert_eq!(out, greeted);

    session.authenticated(ZERO);
    let output = session.poll_output(ZERO, &mut out);
    // R1939-LOCK-1: the maildrop is opened before anything is said.
    assert!(matches!(output, Output::Action(Action::Open)));
    assert_eq!(out, greeted);
}

#[test]
fn nobody_is_let_in_who_did_not_ask_r1939_state_5() {
    let security = Security {
        cleartext_login: true,
        ..Security::default()
    };
    let mut session = Session::new(Arc::new(Settings::default()), security, ZERO);
    let messages = Arc::new(Big {
        asked: AtomicU64::new(0),
    });
    session.handle_input(ZERO, b"USER frank\r\n");
    let mut out = Vec::new();
    for _ in 0..2 {
        let output = session.poll_output(ZERO, &mut out);
        assert!(
            matches!(output, Output::Wait { deadline: Some(_) }),
            "{output:?}"
        );
        session.authenticated(ZERO);
        session.opened(ZERO, Opened::new(messages.clone()));
        session.login_refused(ZERO, restante_proto::server::LoginRefusal::Credentials);
        session.open_refused(ZERO, restante_proto::server::OpenRefusal::InUse);
    }
    assert_eq!(out, b"+OK POP3 server ready\r\n+OK send the password\r\n");
}

#[test]
fn r5034_chal_1_a_challenge_is_one_line_whatever_it_holds() {
    let security = Security {
        mechanisms: vec!["X".into()],
        ..Security::default()
    };
    let mut session = Session::new(Arc::new(Settings::default()), security, ZERO);
    session.handle_input(ZERO, b"AUTH X\r\n");
    let mut out = Vec::new();
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Action(Action::Login(_))
    ));
    out.clear();
    session.sasl_challenge(ZERO, b"eA==\r\n+OK \0");
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Wait { deadline: Some(_) }
    ));
    assert_eq!(out, b"+ eA==+OK\r\n");
}

#[test]
fn prj_quit_7_what_came_before_the_end_of_input_is_carried_out() {
    let big = Arc::new(Big {
        asked: AtomicU64::new(0),
    });
    let mut session = open(big);
    session.handle_input(ZERO, b"DELE 3\r\nQUIT\r\nDELE 4\r\n");
    session.handle_end_of_input(ZERO);
    let mut out = Vec::new();
    let Output::Action(Action::Update { deleted, .. }) = session.poll_output(ZERO, &mut out) else {
        panic!("no update");
    };
    assert_eq!(
        deleted.iter().map(MessageNumber::get).collect::<Vec<_>>(),
        [3]
    );
    // PRJ-QUIT-8: taken and forgotten.
    assert_eq!(session.handle_input(ZERO, b"DELE 5\r\n"), 8);
    // A shutdown does not stop an update, nor does a lost lease (PRJ-SEC-6).
    session.shut_down(ZERO);
    session.lease_lost(ZERO);
    session.handle_timeout(Duration::from_hours(9));
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Wait { deadline: None }
    ));
    session.updated(ZERO);
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Close(CloseReason::Quit)
    ));
    assert!(out.ends_with(b"+OK goodbye\r\n"));
    assert_eq!(session.statistics().deleted, 1);
}

#[test]
fn prj_size_5_no_message_has_two_sizes() {
    let mut session = open(Arc::new(Big {
        asked: AtomicU64::new(0),
    }));
    session.handle_input(ZERO, b"LIST 9\r\nRETR 9\r\n");
    let mut out = Vec::new();
    let output = session.poll_output(ZERO, &mut out);
    assert!(matches!(output, Output::Action(Action::Retrieve { .. })));
    assert_eq!(out, b"+OK 9 9\r\n");
    out.clear();
    // The store has changed its mind: 4 octets, and 4 there are.
    let mut encoder = session.message_opened(ZERO, restante_proto::Form::Wire, Octets(4), &mut out);
    let _ = encoder.encode(b"ab\r\n", &mut out);
    assert!(encoder.finish(&mut out).is_err());
    assert_eq!(out, b"+OK 9 octets\r\nab\r\n");
    session.message_broken(ZERO);
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Close(CloseReason::MessageBroken)
    ));
    assert_eq!(session.statistics().retrieved, 0);
}

#[test]
fn prj_ml_8_a_lease_lost_in_the_middle_of_a_listing_closes_without_a_word() {
    let mut session = open(Arc::new(Big {
        asked: AtomicU64::new(0),
    }));
    session.handle_input(ZERO, b"UIDL\r\n");
    let mut out = Vec::new();
    assert!(matches!(session.poll_output(ZERO, &mut out), Output::Flush));
    session.lease_lost(ZERO);
    out.clear();
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Close(CloseReason::LeaseLost)
    ));
    assert_eq!(out, b"");
}

#[test]
fn prj_ml_8_a_credential_lost_in_the_middle_of_a_listing_closes_without_a_word() {
    let mut session = open(Arc::new(Big {
        asked: AtomicU64::new(0),
    }));
    session.handle_input(ZERO, b"UIDL\r\n");
    let mut out = Vec::new();
    assert!(matches!(session.poll_output(ZERO, &mut out), Output::Flush));
    session.credential_lost(ZERO);
    out.clear();
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Close(CloseReason::CredentialLost)
    ));
    assert_eq!(out, b"");
}

#[test]
fn r1939_quit_3_a_credential_lost_before_the_update_is_said_and_removes_nothing() {
    let mut session = open(Arc::new(Big {
        asked: AtomicU64::new(0),
    }));
    session.handle_input(ZERO, b"DELE 1\r\nQUIT\r\n");
    let mut out = Vec::new();
    let output = session.poll_output(ZERO, &mut out);
    assert!(matches!(output, Output::Action(Action::Update { .. })));
    out.clear();
    session.credential_lost(ZERO);
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Close(CloseReason::CredentialLost)
    ));
    let said = b"-ERR the account or its password was changed, no message was removed\r\n";
    assert_eq!(out, said);
    assert_eq!(session.statistics().deleted, 0);
}

#[test]
fn prj_sec_6_a_shutdown_lets_a_listing_end() {
    let mut session = open(Arc::new(Big {
        asked: AtomicU64::new(0),
    }));
    session.handle_input(ZERO, b"UIDL\r\nDELE 1\r\nQUIT\r\n");
    let mut out = Vec::new();
    assert!(matches!(session.poll_output(ZERO, &mut out), Output::Flush));
    session.shut_down(ZERO);
    let output = loop {
        match session.poll_output(ZERO, &mut out) {
            Output::Flush => {}
            other => break other,
        }
    };
    assert!(matches!(output, Output::Close(CloseReason::ShutDown)));
    let end = b"100000 the-same-for-all\r\n.\r\n-ERR [SYS/TEMP] server is shutting down\r\n";
    assert!(out.ends_with(end));
}

#[test]
fn prj_timer_5_progress_counts_as_activity() {
    let mut session = open(Arc::new(Big {
        asked: AtomicU64::new(0),
    }));
    let minutes = Duration::from_mins;
    session.progress(minutes(9));
    session.handle_timeout(minutes(18));
    let mut out = Vec::new();
    let output = session.poll_output(minutes(18), &mut out);
    let Output::Wait { deadline } = output else {
        panic!("{output:?}");
    };
    // R1939-TIMER-1: ten minutes from the last sign of life.
    assert_eq!(deadline, Some(minutes(19)));
    session.handle_timeout(minutes(19));
    let output = session.poll_output(minutes(19), &mut out);
    assert!(matches!(output, Output::Close(CloseReason::IdleTimeout)));
    // R1939-TIMER-3: without a word.
    assert_eq!(out, b"");
}

#[test]
fn r1939_timer_1_ten_minutes_are_the_least() {
    let settings = Settings {
        idle_timeout: Duration::from_secs(5),
        ..Settings::default()
    };
    let security = Security {
        cleartext_login: true,
        ..Security::default()
    };
    let mut session = Session::new(Arc::new(settings), security, ZERO);
    session.handle_input(ZERO, b"USER frank\r\nPASS secret\r\n");
    let mut out = Vec::new();
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Action(_)
    ));
    session.authenticated(ZERO);
    assert!(matches!(
        session.poll_output(ZERO, &mut out),
        Output::Action(_)
    ));
    session.opened(
        ZERO,
        Opened::new(Arc::new(Big {
            asked: AtomicU64::new(0),
        })),
    );
    let Output::Wait { deadline } = session.poll_output(ZERO, &mut out) else {
        panic!("does not wait");
    };
    assert_eq!(deadline, Some(Duration::from_mins(10)));
}
