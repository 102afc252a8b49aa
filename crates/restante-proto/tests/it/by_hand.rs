//! The examples: the server typed at, and the client collecting from it.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

#[path = "../../examples/by_hand.rs"]
#[expect(dead_code, reason = "the example's own `main`")]
mod example;

#[path = "../../examples/collect_by_hand.rs"]
#[expect(dead_code, reason = "the example's own `main`")]
mod collect_example;

#[test]
fn the_examples_talk_to_each_other_over_plain_sockets() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || example::serve(&listener.accept()?.0));
    let mail = collect_example::collect(&TcpStream::connect(address)?, "me", "too")?;
    server.join().expect("the example does not panic")?;
    let wanted = "Subject: one\r\n\r\nHello\r\nSubject: two\r\n\r\nHello again\r\n";
    assert_eq!(String::from_utf8_lossy(&mail), wanted);
    Ok(())
}

#[test]
fn the_example_serves_a_connection_over_a_plain_socket() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || example::serve(&listener.accept()?.0));
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"USER me\r\nPASS too\r\nSTAT\r\nUIDL 2\r\nRETR 1\r\nQUIT\r\n")?;
    let mut answers = String::new();
    stream.read_to_string(&mut answers)?;
    server.join().expect("the example does not panic")?;
    let wanted = "+OK POP3 server ready\r\n\
        +OK send the password\r\n\
        +OK maildrop open\r\n\
        +OK 2 52\r\n\
        +OK 2 id-2\r\n\
        +OK 23 octets\r\n\
        Subject: one\r\n\r\nHello\r\n.\r\n\
        +OK goodbye\r\n";
    assert_eq!(answers, wanted);
    Ok(())
}
