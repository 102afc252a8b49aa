//! An issuer on this machine that answers as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// What becomes of a request's head and body.
pub(crate) type Script = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// What it does with a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Says this, with status 200.
    Json(String),
    /// Says these octets and closes.
    Raw(Vec<u8>),
    /// Says this and goes on with zeros for ever.
    Endless(&'static str),
    /// Says what this makes of the request.
    Script(Script),
    /// Says nothing, ever.
    Silence,
}

pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    answer: Mutex<Answer>,
    /// The last request, head and body.
    heard: Mutex<String>,
    requests: AtomicUsize,
    /// Octets without end that were taken.
    poured: AtomicUsize,
}

impl Issuer {
    pub(crate) async fn new(answer: Answer) -> Self {
        Self::with(answer, None).await
    }

    pub(crate) async fn with(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            answer: Mutex::new(answer),
            heard: Mutex::default(),
            requests: AtomicUsize::new(0),
            poured: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&accepting), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                state.serve(stream).await;
                            }
                        }
                        None => state.serve(stream).await,
                    }
                });
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.state.answer.lock().unwrap() = answer;
    }

    pub(crate) fn heard(&self) -> String {
        self.state.heard.lock().unwrap().clone()
    }

    pub(crate) fn poured(&self) -> usize {
        self.state.poured.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl State {
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        while let Some(request) = request(&mut stream).await {
            *self.heard.lock().unwrap() = request.clone();
            self.requests.fetch_add(1, Ordering::SeqCst);
            let answer = self.answer.lock().unwrap().clone();
            let (octets, last) = match answer {
                Answer::Json(json) => {
                    let length = json.len();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    ((head + &json).into_bytes(), false)
                }
                Answer::Raw(octets) => (octets, true),
                Answer::Script(script) => (script(&request), false),
                Answer::Endless(head) => {
                    let _ = stream.write_all(head.as_bytes()).await;
                    // Until the other side has had enough.
                    while stream.write_all(&[b'0'; 8192]).await.is_ok() {
                        self.poured.fetch_add(8192, Ordering::SeqCst);
                    }
                    return;
                }
                Answer::Silence => std::future::pending().await,
            };
            if stream.write_all(&octets).await.is_err() || last {
                return;
            }
        }
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut octets = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&octets).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let line = line.to_ascii_lowercase();
                line.strip_prefix("content-length: ")?.parse().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut octets).await.ok()? == 0 {
            return None;
        }
    }
}
