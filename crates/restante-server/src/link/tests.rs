//! A link over streams that record, stall and end.

use restante_proto::Keyword;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::{
    clock::Clock,
    metrics::{Elsewhere, Metrics, Page},
};

const SECOND: Duration = Duration::from_secs(1);

fn blocks(octets_max: usize) -> Blocks {
    Blocks {
        octets_max,
        record_octets_max: octets_max,
    }
}

fn unsent() -> Unsent {
    Unsent::new(Arc::default(), Clock::start())
}

fn counted<S>(stream: S, octets_max: usize) -> Link<Counted<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let traffic = Arc::new(Traffic::default());
    let stream = Counted::new(stream, Arc::clone(&traffic));
    Link::new(stream, traffic, blocks(octets_max), 60 * SECOND, unsent())
}

/// Takes everything and remembers each write.
#[derive(Default)]
struct Recorder {
    writes: Vec<Vec<u8>>,
}

impl AsyncRead for Recorder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.push(octets.to_vec());
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn link_to_recorder(octets_max: usize) -> Link<Recorder> {
    let traffic = Arc::new(Traffic::default());
    Link::new(
        Recorder::default(),
        traffic,
        blocks(octets_max),
        SECOND,
        unsent(),
    )
}

#[tokio::test]
async fn prj_ml_5_the_termination_is_handed_over_in_one_write() {
    const MAX: usize = 64;
    for octets in 0..200 {
        let mut link = link_to_recorder(MAX);
        // As the driver does it: blocks while the message is read, then the rest.
        let mut out = b"+OK\r\n".to_vec();
        for _ in 0..octets {
            out.push(b'x');
            link.send_blocks(&mut out).await.unwrap();
        }
        out.extend_from_slice(b"\r\n.\r\n");
        link.send(&mut out).await.unwrap();
        let writes = link.into_stream().writes;
        assert!(writes.last().unwrap().ends_with(b"\r\n.\r\n"), "{octets}");
        assert_eq!(writes.concat().len(), 5 + octets + 5);
    }
}

#[tokio::test(start_paused = true)]
async fn prj_timer_5_a_peer_that_takes_nothing_is_given_up_after_the_write_timeout() {
    let (_peer, stream) = duplex(16);
    let mut link = counted(stream, 64);
    let started = Instant::now();
    let error = link.send(&mut vec![b'x'; 100]).await.unwrap_err();
    assert!(matches!(error, SendError::Stalled), "{error}");
    assert_eq!(started.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn prj_timer_5_a_peer_that_takes_little_is_served_to_the_end() {
    let (mut peer, stream) = duplex(16);
    let mut link = counted(stream, 4096);
    let reader = tokio::spawn(async move {
        let mut octets = [0; 4096];
        let mut taken = 0;
        while taken < 160 {
            tokio::time::sleep(59 * SECOND).await;
            taken += peer.read(&mut octets).await.unwrap();
        }
        taken
    });
    link.send(&mut vec![b'x'; 160]).await.unwrap();
    assert_eq!(reader.await.unwrap(), 160);
}

#[tokio::test(start_paused = true)]
async fn r2449_pipe_4_a_peer_that_sends_before_it_reads_is_read() {
    let (mut peer, stream) = duplex(16);
    let mut link = counted(stream, 64);
    let client = async {
        // More than the pipe holds: it can only end if the other side reads while it sends.
        peer.write_all(&[b'i'; 1000]).await.unwrap();
        let mut answer = [0; 100];
        peer.read_exact(&mut answer).await.unwrap();
        peer
    };
    let mut out = vec![b'o'; 100];
    let both = async { tokio::join!(link.send(&mut out), client) };
    let (sent, _peer) = tokio::time::timeout(100 * SECOND, both).await.unwrap();
    sent.unwrap();
    assert_eq!(link.input(), [b'i'; 1000]);
}

#[tokio::test(start_paused = true)]
async fn prj_sec_1_input_that_waits_is_bounded() {
    let (mut peer, stream) = duplex(4096);
    let mut link = counted(stream, 64);
    let flood = tokio::spawn(async move {
        // Ends when the link is dropped.
        let _ = peer.write_all(&[b'i'; 1 << 20]).await;
        peer
    });
    let mut out = vec![b'o'; 10_000];
    assert!(link.send(&mut out).await.is_err());
    assert!(link.input().len() < WAITING_OCTETS_MAX + READ_OCTETS_MAX);
    drop(link);
    drop(flood.await.unwrap());
}

#[tokio::test]
async fn input_is_kept_until_it_is_consumed_and_then_holds_no_memory() {
    let (mut peer, stream) = duplex(64);
    let mut link = counted(stream, 64);
    peer.write_all(b"NOOP\r\nQUIT\r\n").await.unwrap();
    link.receive().await;
    link.consume(6);
    assert_eq!(link.input(), b"QUIT\r\n");
    link.consume(6);
    assert_eq!(link.input.octets.capacity(), 0);
    drop(peer);
    link.receive().await;
    assert!(link.take_end());
    assert!(!link.take_end());
}

#[tokio::test]
async fn what_has_been_sent_gives_its_memory_back() {
    let (_peer, stream): (DuplexStream, _) = duplex(4096);
    let mut link = counted(stream, 64);
    let mut out = vec![b'o'; 1000];
    link.send(&mut out).await.unwrap();
    assert_eq!(out.capacity(), 0);
}

/// How long commands took, as the page of numbers has it.
fn seconds(metrics: &Arc<Metrics>, command: &str) -> String {
    let page = Page {
        metrics: Arc::clone(metrics),
        elsewhere: Elsewhere::default(),
    };
    let line = |name| format!("restante_command_seconds_{name}{{command=\"{command}\"}} ");
    let text = page.text().unwrap();
    let number = |name| {
        text.lines()
            .find_map(|shown| shown.strip_prefix(&line(name)))
    };
    format!("{} in {}", number("count").unwrap(), number("sum").unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_command_lasts_until_its_answer_has_been_handed_over() {
    let (mut peer, stream) = duplex(16);
    let mut link = counted(stream, 64);
    let metrics = Arc::<Metrics>::default();
    link.unsent = Unsent::new(Arc::clone(&metrics), Clock::start());
    let reader = tokio::spawn(async move {
        tokio::time::sleep(3 * SECOND).await;
        peer.read_exact(&mut [0; 100]).await.unwrap();
    });
    // Two in one answer, of which one has waited for a second.
    tokio::time::advance(SECOND).await;
    for (keyword, taken) in [(Keyword::Stat, Duration::ZERO), (Keyword::Noop, SECOND)] {
        let keyword = Some(keyword);
        link.answered(Answered { keyword, taken });
    }
    assert_eq!(seconds(&metrics, "STAT"), "0 in 0.0");
    link.send(&mut vec![b'o'; 100]).await.unwrap();
    reader.await.unwrap();
    assert_eq!(seconds(&metrics, "STAT"), "1 in 4.0");
    assert_eq!(seconds(&metrics, "NOOP"), "1 in 3.0");
}

#[tokio::test(start_paused = true)]
async fn a_block_takes_along_what_was_answered_before_it() {
    let mut link = link_to_recorder(64);
    let metrics = Arc::<Metrics>::default();
    link.unsent = Unsent::new(Arc::clone(&metrics), Clock::start());
    let keyword = Some(Keyword::Retr);
    link.answered(Answered {
        keyword,
        taken: Duration::ZERO,
    });
    let mut out = vec![b'o'; 32];
    link.send_blocks(&mut out).await.unwrap();
    assert_eq!(seconds(&metrics, "RETR"), "0 in 0.0");
    out.resize(200, b'o');
    link.send_blocks(&mut out).await.unwrap();
    assert_eq!(seconds(&metrics, "RETR"), "1 in 0.0");
}

#[tokio::test(start_paused = true)]
async fn no_command_of_a_long_pipeline_is_forgotten() {
    let mut link = link_to_recorder(64);
    let metrics = Arc::<Metrics>::default();
    link.unsent = Unsent::new(Arc::clone(&metrics), Clock::start());
    let keyword = Some(Keyword::Noop);
    for _ in 0..1000 {
        link.answered(Answered {
            keyword,
            taken: Duration::ZERO,
        });
    }
    link.send(&mut vec![b'o'; 100]).await.unwrap();
    assert_eq!(seconds(&metrics, "NOOP"), "1000 in 0.0");
}
