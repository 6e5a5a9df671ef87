//! How a client gets in: greeting, response, proof of the password by the method that is asked for; and the same again with
//! `COM_CHANGE_USER`.

use forebay_mysql::password::{Method, caching_sha2, native};
use forebay_mysql::wire::auth::{self, AuthPacket, nonce_of};
use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::greeting::{Greeting, NONCE_BYTES};
use forebay_mysql::wire::response::{ChangeUser, Opening, Response};

/// What every client asks for.
const ALWAYS: Capabilities = Capabilities(
    Capabilities::LONG_PASSWORD.0
        | Capabilities::LONG_FLAG.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA.0,
);

/// Who logs in, and how.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// Whether it is proven by `caching_sha2_password`; by `mysql_native_password` if not.
    pub caching_sha2: bool,
}

/// What a packet of the login led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More is to come.
    More,
    /// The OK packet has come.
    In,
    /// An error has.
    Refused,
}

/// One login.
#[derive(Debug)]
pub struct Login {
    credentials: Credentials,
    /// What is asked for besides what every client asks for.
    pub capabilities: Capabilities,
    /// The collation's number.
    pub collation: u8,
    /// The database to begin in.
    pub database: Option<String>,
    /// Names another method first.
    pub switches: bool,
    /// The greeting has come.
    is_greeted: bool,
    /// The number by which the connection is known.
    pub process: u32,
}

impl Login {
    /// On a connection that was just made.
    pub fn new(credentials: Credentials, capabilities: Capabilities, collation: u8) -> Login {
        Login {
            credentials,
            capabilities: capabilities | ALWAYS,
            collation,
            database: None,
            switches: false,
            is_greeted: false,
            process: 0,
        }
    }

    fn method(&self) -> Method {
        match self.credentials.caching_sha2 {
            true => Method::CachingSha2,
            false => Method::Native,
        }
    }

    fn proof(&self, method: Method, nonce: &[u8; NONCE_BYTES]) -> Vec<u8> {
        match method {
            Method::CachingSha2 => caching_sha2::answer(&self.credentials.password, nonce),
            _ => native::answer(&self.credentials.password, nonce),
        }
    }

    /// `COM_CHANGE_USER`; what comes behind it are packets of a login.
    pub fn change_user(&mut self, database: Option<&str>, out: &mut Vec<u8>) {
        let method = self.method();
        let change = ChangeUser {
            user: self.credentials.user.as_bytes(),
            proof: &[],
            database: database.unwrap_or_default().as_bytes(),
            collation: Some(self.collation.into()),
            plugin: Some(method.as_str().as_bytes()),
            attributes: &[],
        };
        let _fits = change.write(out, self.capabilities);
    }

    /// A packet of this number.
    ///
    /// # Errors
    /// A sentence on what cannot be read.
    pub fn on_packet(
        &mut self,
        payload: &[u8],
        sequence: u8,
        out: &mut Vec<u8>,
    ) -> Result<Step, String> {
        let unreadable = |problem| format!("at login came {problem:?}");
        if payload.first() == Some(&0xff) {
            return Ok(Step::Refused);
        }
        if !self.is_greeted {
            self.is_greeted = true;
            let greeting = Greeting::read(payload).map_err(unreadable)?;
            return Ok(self.respond(&greeting, sequence.wrapping_add(1), out));
        }
        match AuthPacket::read(payload).map_err(unreadable)? {
            AuthPacket::Ok => Ok(Step::In),
            AuthPacket::Switch { plugin, data } => {
                let method = Method::from_wire(plugin).ok_or("a method that nobody knows")?;
                let nonce = nonce_of(data).map_err(unreadable)?;
                let proof = self.proof(method, &nonce);
                auth::answer(out, sequence.wrapping_add(1), &proof);
                Ok(Step::More)
            }
            AuthPacket::More(data) if data == [caching_sha2::ACCEPTED] => Ok(Step::More),
            other => Err(format!("at login came {other:?}")),
        }
    }

    fn respond(&mut self, greeting: &Greeting<'_>, sequence: u8, out: &mut Vec<u8>) -> Step {
        self.process = greeting.connection_id;
        let named = match (self.method(), self.switches) {
            (Method::CachingSha2, true) => Method::Native,
            (Method::Native, true) => Method::CachingSha2,
            (method, _) => method,
        };
        let database = self.database.as_deref();
        let with_database = match database {
            Some(_) => Capabilities::CONNECT_WITH_DB,
            None => Capabilities::NONE,
        };
        let response = Response {
            opening: Opening {
                capabilities: (self.capabilities | with_database) & greeting.capabilities,
                message_bytes_max: 1 << 24,
                collation: self.collation,
            },
            user: self.credentials.user.as_bytes(),
            proof: &self.proof(named, &greeting.nonce),
            database: database.map(str::as_bytes),
            plugin: Some(named.as_str().as_bytes()),
            attributes: &[],
            zstd_level: None,
        };
        self.capabilities = self.capabilities & greeting.capabilities;
        let _fits = response.write(out, sequence);
        Step::More
    }
}
