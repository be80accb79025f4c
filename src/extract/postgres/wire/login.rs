//! The start of a session: the start-up message, proof of who we are, and what the server says of
//! itself.

use std::collections::HashMap;

use bytes::BytesMut;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding as Binding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::frontend,
};

use super::{
    cancel::CancelKey,
    error::WireError,
    frame::{Frames, text},
    options::{ChannelBinding, WireOptions},
    socket::Encryption,
};
use crate::config::Secret;

/// What the server says of itself when it is ready.
pub(super) struct Greeting {
    /// What stops the session's statements from outside.
    pub(super) cancel_key: CancelKey,
    /// Its parameters, `server_version` and such.
    pub(super) parameters: HashMap<String, String>,
}

/// Logs in over `frames`; `startup` are parameters of the session, which beat those of the URL.
pub(super) async fn log_in(
    frames: &mut Frames,
    encryption: &Encryption,
    options: &WireOptions,
    startup: &[(&str, &str)],
) -> Result<Greeting, WireError> {
    frames.send(&startup_message(options, startup)?).await?;
    authenticate(frames, encryption, options).await?;
    greeting(frames).await
}

fn startup_message(options: &WireOptions, startup: &[(&str, &str)]) -> Result<BytesMut, WireError> {
    let url = [
        ("application_name", options.application_name.as_deref()),
        ("options", options.switches.as_deref()),
    ];
    let mut parameters = vec![
        ("user", options.user.as_str()),
        ("database", options.database.as_str()),
        ("client_encoding", "UTF8"),
    ];
    for (name, value) in url {
        if let Some(value) = value
            && !startup.iter().any(|(taken, _)| *taken == name)
        {
            parameters.push((name, value));
        }
    }
    parameters.extend_from_slice(startup);
    let mut message = BytesMut::new();
    frontend::startup_message(parameters, &mut message)
        .map_err(|_| WireError::setup("a session parameter holds a NUL", "take the NUL out"))?;
    Ok(message)
}

async fn authenticate(
    frames: &mut Frames,
    encryption: &Encryption,
    options: &WireOptions,
) -> Result<(), WireError> {
    // A server that proves nothing about itself after it was asked to is not to be believed.
    let must_bind = options.channel_binding == ChannelBinding::Require;
    loop {
        let frame = frames.next().await?;
        let (b'R', Some((code, body))) = (frame.tag, frame.body.split_first_chunk::<4>()) else {
            return Err(WireError::protocol("something else than a request for authentication"));
        };
        let code = u32::from_be_bytes(*code);
        if must_bind && code != 10 {
            return Err(WireError::setup(
                "the server offers no login that `channel_binding=require` allows",
                "store the password as SCRAM (`password_encryption = scram-sha-256`) and turn TLS on",
            ));
        }
        match code {
            0 => return Ok(()),
            3 if *encryption == Encryption::None && !options.host.is_local() => {
                return Err(WireError::setup(
                    "the server asks for the password itself over a connection that is not encrypted",
                    "connect with `sslmode=verify-full`, or store the password as SCRAM",
                ));
            }
            3 => {
                let password = password(options).await?;
                send_password(frames, password.reveal().as_bytes()).await?;
            }
            5 => {
                let salt = body
                    .try_into()
                    .map_err(|_| WireError::protocol("a salt of the wrong length"))?;
                let password = password(options).await?;
                let password = password.reveal().as_bytes();
                let hash = md5_hash(options.user.as_bytes(), password, salt);
                send_password(frames, hash.as_bytes()).await?;
            }
            10 => {
                scram(frames, &mechanisms(body)?, encryption, options).await?;
                return settled(frames).await;
            }
            _ => {
                return Err(WireError::setup(
                    format!("the server asks for a login that is not supported (code {code})"),
                    "allow scram-sha-256 for this login in the server's pg_hba.conf",
                ));
            }
        }
    }
}

/// After SCRAM only `AuthenticationOk` may follow.
async fn settled(frames: &mut Frames) -> Result<(), WireError> {
    let frame = frames.next().await?;
    if frame.tag == b'R' && *frame.body == [0; 4] {
        Ok(())
    } else {
        Err(WireError::protocol("a login that does not end"))
    }
}

/// The URL's password, or the one that clients of PostgreSQL find for this login.
async fn password(options: &WireOptions) -> Result<Secret, WireError> {
    if let Some(password) = &options.password {
        return Ok(password.clone());
    }
    if let Some(passfile) = options.passfile.clone() {
        let asking = options.clone();
        let found = tokio::task::spawn_blocking(move || passfile.password(&asking)).await;
        let found =
            found.map_err(|_| WireError::Lost("reading passwords was stopped".to_owned()))?;
        if let Some(password) = found? {
            return Ok(password);
        }
    }
    Err(WireError::setup(
        format!(
            "the server asks `{}` for a password, and neither the url nor a file of passwords has \
             one for it",
            options.user
        ),
        "write it as `postgres://user:password@host/…`, best from `${…}` or `${file:…}`, or put \
         it into `~/.pgpass`",
    ))
}

async fn send_password(frames: &mut Frames, password: &[u8]) -> Result<(), WireError> {
    let mut message = BytesMut::new();
    frontend::password_message(password, &mut message)
        .map_err(|_| WireError::setup("the password holds a NUL", "set another password"))?;
    frames.send(&message).await
}

/// The names of the mechanisms that the server offers; an empty one ends them.
fn mechanisms(mut body: &[u8]) -> Result<Vec<String>, WireError> {
    let mut names = Vec::new();
    loop {
        let (name, rest) = text(body)?;
        if name.is_empty() {
            return Ok(names);
        }
        names.push(name.to_owned());
        body = rest;
    }
}

/// Which mechanism, and to what the login is bound (RFC 5802: `y` means that we could have bound
/// it, so that a server which could have too notices that somebody hid its offer).
fn binding(
    offered: &[String],
    encryption: &Encryption,
    wanted: ChannelBinding,
) -> Result<(&'static str, Binding), WireError> {
    let offers = |name: &str| offered.iter().any(|offer| offer == name);
    let end_point = match encryption {
        Encryption::Tls(Some(end_point)) if wanted != ChannelBinding::Disable => Some(end_point),
        _ => None,
    };
    match end_point {
        Some(end_point) if offers(SCRAM_SHA_256_PLUS) => {
            Ok((SCRAM_SHA_256_PLUS, Binding::tls_server_end_point(end_point.clone())))
        }
        _ if wanted == ChannelBinding::Require => Err(WireError::setup(
            "the login can't be bound to a TLS channel, and `channel_binding=require` asks for it",
            "connect with `sslmode=verify-full`, or set `channel_binding=prefer`",
        )),
        Some(_) if offers(SCRAM_SHA_256) => Ok((SCRAM_SHA_256, Binding::unrequested())),
        None if offers(SCRAM_SHA_256) => Ok((SCRAM_SHA_256, Binding::unsupported())),
        _ => Err(WireError::setup(
            "the server offers no login that is supported",
            "allow scram-sha-256 for this login in the server's pg_hba.conf",
        )),
    }
}

async fn scram(
    frames: &mut Frames,
    offered: &[String],
    encryption: &Encryption,
    options: &WireOptions,
) -> Result<(), WireError> {
    let (mechanism, binding) = binding(offered, encryption, options.channel_binding)?;
    let password = password(options).await?;
    let mut scram = ScramSha256::new(password.reveal().as_bytes(), binding);
    let broken = |_| WireError::protocol("a SCRAM message of the server does not fit");
    let mut message = BytesMut::new();
    frontend::sasl_initial_response(mechanism, scram.message(), &mut message).map_err(broken)?;
    frames.send(&message).await?;
    scram.update(&sasl_body(frames, 11).await?).map_err(broken)?;
    message.clear();
    frontend::sasl_response(scram.message(), &mut message).map_err(broken)?;
    frames.send(&message).await?;
    // The server proves here that it knows the password too.
    scram.finish(&sasl_body(frames, 12).await?).map_err(|_| {
        WireError::setup(
            "the server could not prove that it knows the password",
            "check that the url leads to the right server",
        )
    })
}

async fn sasl_body(frames: &mut Frames, expected: u32) -> Result<Vec<u8>, WireError> {
    let frame = frames.next().await?;
    match (frame.tag, frame.body.split_first_chunk::<4>()) {
        (b'R', Some((code, body))) if u32::from_be_bytes(*code) == expected => Ok(body.to_vec()),
        _ => Err(WireError::protocol("a SCRAM login out of order")),
    }
}

async fn greeting(frames: &mut Frames) -> Result<Greeting, WireError> {
    let mut greeting = Greeting { cancel_key: CancelKey::NONE, parameters: HashMap::new() };
    loop {
        let frame = frames.next().await?;
        match frame.tag {
            b'S' => {
                let (name, rest) = text(&frame.body)?;
                let (value, _) = text(rest)?;
                greeting.parameters.insert(name.to_owned(), value.to_owned());
            }
            b'K' => {
                greeting.cancel_key = CancelKey::read(&frame.body);
            }
            b'Z' => break,
            // NegotiateProtocolVersion: an option of ours is unknown; we send none that matter.
            b'v' => {}
            _ => return Err(WireError::protocol("an unknown message at the start of a session")),
        }
    }
    let says = |name: &str| greeting.parameters.get(name).map(String::as_str);
    if !says("client_encoding").is_none_or(|encoding| matches!(encoding, "UTF8" | "UNICODE")) {
        return Err(WireError::setup(
            "the server does not send UTF-8",
            "connect to the server itself rather than through a pooler",
        ));
    }
    if says("integer_datetimes") == Some("off") {
        return Err(WireError::setup(
            "the server was built with floating-point times, which are not exact",
            "read from a server that was built with integer times",
        ));
    }
    Ok(greeting)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn chosen(offered: &[&str], encryption: &Encryption, wanted: ChannelBinding) -> Option<String> {
        let offered: Vec<String> = offered.iter().map(|name| (*name).to_owned()).collect();
        let (mechanism, binding) = binding(&offered, encryption, wanted).ok()?;
        let first = ScramSha256::new(b"", binding);
        let message = String::from_utf8_lossy(first.message()).into_owned();
        Some(format!("{mechanism} {}", message.split(",,").next().unwrap_or_default()))
    }

    #[tokio::test]
    async fn a_password_itself_is_not_sent_in_the_clear() {
        for (host, encryption, is_sent) in [
            ("db.example", Encryption::None, false),
            ("db.example", Encryption::Tls(None), true),
            ("127.0.0.1", Encryption::None, true),
        ] {
            let url = format!("postgres://u:hush@{host}/d?sslmode=disable");
            let options = WireOptions::parse(&Secret::new(url)).unwrap();
            let (ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(b"R\0\0\0\x08\0\0\0\x03").await.unwrap();
            theirs.shutdown().await.unwrap();
            let mut frames = Frames::new(Box::new(ours), None);
            let failed = authenticate(&mut frames, &encryption, &options).await.unwrap_err();
            drop(frames);
            let mut sent = Vec::new();
            theirs.read_to_end(&mut sent).await.unwrap();
            assert_eq!(!sent.is_empty(), is_sent, "{host}: {failed}");
        }
    }

    #[test]
    fn a_login_is_bound_wherever_it_can_be() {
        let tls = Encryption::Tls(Some(vec![1; 32]));
        let both = [SCRAM_SHA_256, SCRAM_SHA_256_PLUS];
        let prefer = ChannelBinding::Prefer;
        let is =
            |chosen: Option<String>, expected: &str| assert_eq!(chosen.as_deref(), Some(expected));
        is(chosen(&both, &tls, prefer), "SCRAM-SHA-256-PLUS p=tls-server-end-point");
        is(chosen(&[SCRAM_SHA_256], &tls, prefer), "SCRAM-SHA-256 y");
        is(chosen(&both, &tls, ChannelBinding::Disable), "SCRAM-SHA-256 n");
        is(chosen(&both, &Encryption::Tls(None), prefer), "SCRAM-SHA-256 n");
        is(chosen(&[SCRAM_SHA_256], &Encryption::None, prefer), "SCRAM-SHA-256 n");
        assert_eq!(chosen(&[SCRAM_SHA_256], &tls, ChannelBinding::Require), None);
        assert_eq!(chosen(&["OAUTHBEARER"], &tls, prefer), None);
    }
}
