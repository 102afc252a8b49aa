//! Queries to PostgreSQL, over a bounded pool of connections.

use std::{net::IpAddr, pin::pin, str::FromStr as _, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use futures_util::TryStreamExt as _;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::time::timeout;
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
    error::SqlState,
    types::{ToSql, Type, WrongType},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use super::{Ask, Failure, Row, Rows, SqlError, Value};

/// Where PostgreSQL listens if nothing else is said.
const DEFAULT_PORT: u16 = 5432;

/// Connections to a server, made when they are needed.
pub(super) struct Postgres {
    pool: Pool,
    tls: MakeRustlsConnect,
    timeout: Duration,
    /// For people: hosts and database, no password.
    place: String,
    ports: Vec<u16>,
}

/// A connection that is asked something. If it is dropped before the answers have come, the
/// connection is closed and the query cancelled: the next to use it would wait for the rest.
struct Lease {
    connection: Option<Object>,
    tls: MakeRustlsConnect,
    patience: Duration,
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
enum PostgresFailure {
    #[error("no connection")]
    Pool(#[source] deadpool_postgres::PoolError),
    #[error("query failed")]
    Query(#[source] tokio_postgres::Error),
    #[error("column `{name}` is a {kind}, neither text nor a number")]
    Column { name: String, kind: String },
}

impl Postgres {
    /// Reads the URL and makes the pool; connects to nobody.
    pub(super) fn new(
        url: &str,
        authority: Option<&[u8]>,
        connections_max: usize,
        patience: Duration,
    ) -> Result<Self, SqlError> {
        // The error's text may repeat what it did not understand, a password perhaps.
        let mut config = Config::from_str(url).map_err(|_| SqlError::Url)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(SqlError::Url);
        }
        if !url.contains("sslmode=") {
            // Secure unless told otherwise: who listens on the way would get every hash.
            let is_near = config.get_hosts().iter().all(is_on_this_machine);
            config.ssl_mode(match is_near {
                true => SslMode::Disable,
                false => SslMode::Require,
            });
        }
        config.application_name("restante");
        config.connect_timeout(patience);
        config.tcp_user_timeout(patience);
        let tls = MakeRustlsConnect::new(client_config(config.get_ssl_mode(), authority)?);
        let place = place(&config);
        let ports = match config.get_ports() {
            [] => vec![DEFAULT_PORT],
            ports => ports.to_vec(),
        };
        let manager = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(config, tls.clone(), manager);
        let timeouts = Timeouts {
            wait: Some(patience),
            create: Some(patience),
            recycle: Some(patience),
        };
        let pool = Pool::builder(manager)
            .max_size(connections_max)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| SqlError::Pool(error.into()))?;
        Ok(Self {
            pool,
            tls,
            timeout: patience,
            place,
            ports,
        })
    }

    pub(super) fn ports(&self) -> &[u16] {
        &self.ports
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Asks one after the other, on one connection.
    pub(super) async fn ask(&self, asks: Vec<Ask>) -> Result<Vec<Rows>, Failure> {
        let asked = async {
            // The server was started anew, or has closed what was idle: the pool learns of it when
            // a connection is used, and each of them may be such a one.
            for _ in 0..self.pool.status().max_size {
                match self.try_ask(&asks).await {
                    Err(PostgresFailure::Query(error)) if is_of_the_connection(&error) => {}
                    answered => return answered,
                }
            }
            self.try_ask(&asks).await
        };
        match timeout(self.timeout, asked).await {
            Ok(answered) => answered.map_err(Failure::from),
            Err(_) => Err(Failure::timeout()),
        }
    }

    async fn try_ask(&self, asks: &[Ask]) -> Result<Vec<Rows>, PostgresFailure> {
        let connection = self.pool.get().await.map_err(PostgresFailure::Pool)?;
        let lease = Lease {
            connection: Some(connection),
            tls: self.tls.clone(),
            patience: self.timeout,
        };
        let mut answers = Vec::new();
        for ask in asks {
            answers.push(lease.ask(ask).await?);
        }
        lease.give_back();
        Ok(answers)
    }
}

impl Lease {
    async fn ask(&self, ask: &Ask) -> Result<Rows, PostgresFailure> {
        let connection = self
            .connection
            .as_ref()
            .expect("kept until it is given back");
        let prepared = connection.prepare_cached(&ask.query.text).await;
        let statement = prepared.map_err(PostgresFailure::Query)?;
        let values = ask.values.iter().map(|value| value as &(dyn ToSql + Sync));
        let found = connection.query_raw(&statement, values).await;
        let mut found = pin!(found.map_err(PostgresFailure::Query)?);
        let mut rows = Vec::new();
        while rows.len() < ask.rows_max
            && let Some(row) = found.try_next().await.map_err(PostgresFailure::Query)?
        {
            rows.push(fields(&row)?);
        }
        Ok(rows)
    }

    fn give_back(mut self) {
        self.connection = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let connection = Object::take(connection);
        let (cancel, tls, patience) = (connection.cancel_token(), self.tls.clone(), self.patience);
        drop(connection);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Failure leaves a query to end by itself; the server sees that nobody listens.
            runtime.spawn(async move { timeout(patience, cancel.cancel_query(tls)).await });
        }
    }
}

fn fields(row: &tokio_postgres::Row) -> Result<Row, PostgresFailure> {
    let mut fields = Row::new();
    for (index, column) in row.columns().iter().enumerate() {
        let name = column.name().to_ascii_lowercase();
        let value = match *column.type_() {
            Type::BOOL => row
                .try_get(index)
                .map(|truth: Option<bool>| truth.map(Value::Truth)),
            Type::INT2 => row
                .try_get(index)
                .map(|n: Option<i16>| n.map(|n| Value::Number(n.into()))),
            Type::INT4 => row
                .try_get(index)
                .map(|n: Option<i32>| n.map(|n| Value::Number(n.into()))),
            Type::INT8 => row
                .try_get(index)
                .map(|n: Option<i64>| n.map(Value::Number)),
            _ => row
                .try_get(index)
                .map(|text: Option<String>| text.map(|text| Value::Text(Zeroizing::new(text)))),
        };
        let value = value.map_err(|_| PostgresFailure::Column {
            name: name.clone(),
            kind: column.type_().to_string(),
        })?;
        fields.push((name, value.unwrap_or(Value::Null)));
    }
    Ok(fields)
}

impl From<PostgresFailure> for Failure {
    /// A query that makes no sense needs a person; a server that is gone comes back.
    fn from(failure: PostgresFailure) -> Self {
        let permanent = match &failure {
            PostgresFailure::Column { .. } => true,
            // Class 42: syntax error, unknown table, no right to read it. Or what was bound is of
            // no type that text can be.
            PostgresFailure::Query(error) => match error.code() {
                Some(code) => code.code().starts_with("42"),
                None => is_wrong_type(error),
            },
            PostgresFailure::Pool(_) => false,
        };
        match permanent {
            true => Self::permanent(failure),
            false => Self::temporary(failure),
        }
    }
}

/// Whether another connection may do better: this one was ended by the other side, or remembers a
/// query as it was before the table changed.
fn is_of_the_connection(error: &tokio_postgres::Error) -> bool {
    const ENDED: [SqlState; 3] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    let source = std::error::Error::source(error);
    error.is_closed()
        || error.code().is_some_and(|code| ENDED.contains(code))
        || source.is_some_and(|source| source.is::<std::io::Error>())
}

fn is_wrong_type(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<WrongType>())
}

fn is_on_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    }
}

/// TLS that always knows whom it speaks with, whatever the mode.
fn client_config(mode: SslMode, authority: Option<&[u8]>) -> Result<ClientConfig, SqlError> {
    let mut roots = RootCertStore::empty();
    match authority {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| SqlError::Authority(error.into()))?;
                roots
                    .add(certificate)
                    .map_err(|error| SqlError::Authority(error.into()))?;
            }
            if roots.is_empty() {
                return Err(SqlError::Authority("no certificate in it".into()));
            }
        }
        None if mode != SslMode::Disable => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SqlError::Pool(error.into()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn place(config: &Config) -> String {
    let hosts: Vec<_> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let database = config
        .get_dbname()
        .or(config.get_user())
        .unwrap_or_default();
    format!("PostgreSQL at {}, database `{database}`", hosts.join(", "))
}
