//! A SOCKS5 proxy (RFC 1928, RFC 1929) that leads everybody to one server.

use std::net::SocketAddr;

use restante_client::{Connection, Error, Login, Proxy, Security};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::script::{Script, error};

pub(crate) struct Proxied {
    address: SocketAddr,
    task: JoinHandle<String>,
}

impl Proxied {
    pub(crate) fn proxy(&self, credentials: Option<(&str, &str)>) -> Proxy {
        Proxy {
            host: "127.0.0.1".into(),
            port: self.address.port(),
            credentials: credentials.map(|(name, password)| (name.into(), password.into())),
        }
    }
}

/// A proxy for one connection to `server`. Its task tells which host was asked for.
pub(crate) async fn serve(server: SocketAddr) -> Proxied {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let host = greet(&mut stream).await.expect("SOCKS5");
        let mut target = TcpStream::connect(server).await.expect("the server");
        let granted = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        stream.write_all(&granted).await.expect("an answer");
        // Either end may be gone.
        let _ = copy_bidirectional(&mut stream, &mut target).await;
        host
    });
    Proxied { address, task }
}

async fn greet(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    let mut methods = vec![0; head[1].into()];
    stream.read_exact(&mut methods).await?;
    if methods.contains(&2) {
        stream.write_all(&[5, 2]).await?;
        let name = {
            stream.read_u8().await?;
            read_text(stream).await?
        };
        let password = read_text(stream).await?;
        let right = (name.as_str(), password.as_str()) == ("me", "too");
        stream.write_all(&[1, u8::from(!right)]).await?;
    } else {
        stream.write_all(&[5, 0]).await?;
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    // The name is the proxy's to find.
    assert_eq!(request, [5, 1, 0, 3]);
    let host = read_text(stream).await?;
    stream.read_u16().await?;
    Ok(host)
}

async fn read_text(stream: &mut TcpStream) -> std::io::Result<String> {
    let length = stream.read_u8().await?;
    let mut text = vec![0; length.into()];
    stream.read_exact(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_session_through_a_proxy_that_finds_the_name() {
    for credentials in [None, Some(("me", "too"))] {
        let authority = crate::certificates::Authority::new();
        let certificate = authority.sign(&["mail.example"]);
        let script = Script::default().tls(&certificate.config).say("+OK");
        let script = script.capabilities(&["USER"]);
        let scripted = script
            .answer("USER tim", "+OK")
            .answer("PASS secret", "+OK");
        let scripted = scripted.answer("QUIT", "+OK").serve().await;
        let proxied = serve(scripted.address).await;
        let mut server = scripted.server(Security::Tls(authority.believer()));
        server.host = "mail.example".into();
        server.proxy = Some(proxied.proxy(credentials));
        let connection = Connection::open(&server).await.expect("a connection");
        let login = Login::password("tim", "secret");
        let client = connection.log_in(&login).await.expect("a login");
        client.quit().await.expect("a goodbye");
        assert_eq!(proxied.task.await.expect("no panic"), "mail.example");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.write_all(&[5, 0xFF]).await;
        let _ = stream.read(&mut [0; 64]).await;
    });
    let scripted = Script::greeting().serve().await;
    let mut server = scripted.server(Security::CleartextWithoutPassword);
    server.proxy = Some(Proxy {
        host: "127.0.0.1".into(),
        port: address.port(),
        credentials: None,
    });
    let error = error(Connection::open(&server).await);
    assert!(matches!(error, Error::Proxy { .. }), "{error}");
}
