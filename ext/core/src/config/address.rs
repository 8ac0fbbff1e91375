//! Addresses to listen on, as the configuration writes them.

use std::{fmt, os::fd::RawFd, path::PathBuf};

use serde::Deserialize;

use super::wire::WireOptions;
use crate::error::Error;

/// An address to listen on.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum Address {
    /// `tcp://HOST:PORT`, the host a name or an IP address (`[::1]` for IPv6), port 0 for any free port. `ssl://`, `tls://` and
    /// `https://` are encrypted.
    Tcp {
        /// Without brackets.
        host: String,
        /// 0 lets the kernel choose.
        port: u16,
        /// Connections the kernel may keep for us; the system's own maximum caps it.
        backlog: i32,
        /// What comes before HTTP.
        wire: WireOptions,
    },
    /// `unix:///path`, or `unix://@name` for Linux's abstract namespace.
    Unix {
        /// Absolute or relative to the working directory; an abstract name keeps its `@`.
        path: PathBuf,
        /// The socket's permissions; `None` leaves them to the umask.
        mode: Option<u32>,
        /// As for TCP.
        backlog: i32,
        /// As for TCP.
        wire: WireOptions,
    },
}

const BACKLOG: i32 = 4096;

impl Address {
    /// Reads `tcp://host:port?backlog=N`, `ssl://host:port?cert=FILE&key=FILE` or `unix:///path?mode=0660&umask=0117&backlog=N`.
    ///
    /// # Errors
    ///
    /// A sentence that names what is wrong with the address.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            let text = without_pem(text);
            Error::configuration(format!("{text:?} is not an address to listen on: {why}"))
        };
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| wrong("it starts with neither tcp:// nor unix://"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = Query::parse(query).map_err(|why| wrong(&why))?;
        let backlog = options.take_number("backlog", 10).map_err(|why| wrong(&why))?;
        let backlog = backlog.map_or(BACKLOG, |n| i32::try_from(n).unwrap_or(i32::MAX));
        let wire =
            WireOptions::take(matches!(scheme, "ssl" | "tls" | "https"), &mut options).map_err(|why| wrong(&why))?;
        let address = match scheme {
            "tcp" | "ssl" | "tls" | "https" => {
                let (host, port) = split_host_port(place)
                    .ok_or_else(|| wrong("it needs a host and a port, as in tcp://0.0.0.0:9292"))?;
                Self::Tcp { host, port, backlog, wire }
            }
            "unix" => {
                if place.is_empty() {
                    return Err(wrong("it needs a path, as in unix:///run/app.sock"));
                }
                let mode = options.take_number("mode", 8).map_err(|why| wrong(&why))?;
                let umask = options.take_number("umask", 8).map_err(|why| wrong(&why))?;
                Self::Unix { path: place.into(), mode: mode.or(umask.map(|mask| 0o777 & !mask)), backlog, wire }
            }
            other => return Err(wrong(&format!("{other}:// is not supported; use tcp://, ssl:// or unix://"))),
        };
        options.finish().map_err(|why| wrong(&why))?;
        Ok(address)
    }
}

impl Address {
    /// Offers no HTTP/2 when a client asks in its handshake.
    pub(crate) fn refuse_http2(&mut self) {
        let (Self::Tcp { wire, .. } | Self::Unix { wire, .. }) = self;
        wire.tls.iter_mut().for_each(|tls| tls.no_http2 = true);
    }

    /// What comes before HTTP on it.
    pub(crate) fn wire(&self) -> &WireOptions {
        match self {
            Self::Tcp { wire, .. } | Self::Unix { wire, .. } => wire,
        }
    }

    /// Where it is, whatever is spoken there.
    fn place(&self) -> String {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
            Self::Unix { path, .. } => format!("unix://{}", path.display()),
        }
    }

    /// The same for a listener whose clients may change the server: where nothing else was said, a Unix socket is for this
    /// user's processes alone.
    pub(crate) fn private(mut self) -> Self {
        if let Self::Unix { mode, .. } = &mut self {
            mode.get_or_insert(0o600);
        }
        self
    }
}

/// A socket that this process has been given by the one that started it: systemd, or the image that it has replaced.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Inherited {
    /// The address among [`bind`](super::Config::bind), or that of the admin listener, that it is the socket of. An address with
    /// port 0, or a name for two addresses, may have several.
    pub address: Address,
    /// Its number; the server makes a descriptor of its own of it.
    pub descriptor: RawFd,
    /// It goes on listening after this process: what is not accepted waits for the next one.
    pub outlives_us: bool,
}

impl Inherited {
    /// Whether it is a socket of `address`, whatever options that is written with.
    pub(crate) fn is_of(&self, address: &Address) -> bool {
        let any_port = matches!(address, Address::Tcp { port: 0, .. });
        self.address.place() == address.place() && (!any_port || self.address.to_string() == address.to_string())
    }
}

impl TryFrom<String> for Address {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self {
            Self::Tcp { wire: WireOptions { tls: Some(_), .. }, .. } => "ssl://",
            Self::Tcp { .. } => "tcp://",
            Self::Unix { .. } => "",
        };
        write!(f, "{scheme}{}", self.place())
    }
}

fn split_host_port(place: &str) -> Option<(String, u16)> {
    let (host, port) = place.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    if host.is_empty() {
        return None;
    }
    Some((host.to_owned(), port.parse().ok()?))
}

/// The `key=value` pairs behind an address; each is taken once and none may be left over.
pub(super) struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        text.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} has no value"))?;
                match try_decode(value) {
                    Some(_) => Ok((name, value)),
                    None => Err(format!("the value of {name} is not written as it has to be (a % is written %25)")),
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(key, _)| *key == name)?;
        Some(self.0.remove(at).1)
    }

    /// The value with its `%XX` decoded.
    pub(super) fn take_decoded(&mut self, name: &str) -> Option<String> {
        self.take(name).map(decode)
    }

    /// All values of these names with their `%XX` decoded, in the order in which they are written, each with its name.
    pub(super) fn take_any(&mut self, names: &[&str]) -> Vec<(&'a str, String)> {
        let taken = self.0.extract_if(.., |(key, _)| names.contains(key));
        taken.map(|(key, value)| (key, decode(value))).collect()
    }

    fn take_number(&mut self, name: &str, radix: u32) -> Result<Option<u32>, String> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match u32::from_str_radix(value, radix) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{name}={value} is not a number")),
        }
    }

    fn finish(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(format!("it has no option {key:?}")),
        }
    }
}

/// Decodes each `%XX`; `None` where that is not UTF-8, or a `%` has no two digits behind it.
fn try_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push(match byte {
            b'%' => (digit(rest.next())? * 16 + digit(rest.next())?) as u8,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// For a value that was checked when it was read.
fn decode(text: &str) -> String {
    try_decode(text).unwrap_or_else(|| text.to_owned())
}

/// An address for people: keys that are written in it are left out.
fn without_pem(text: &str) -> String {
    let Some((place, query)) = text.split_once('?') else { return text.to_owned() };
    let pairs: Vec<&str> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some(("key_pem", _)) => "key_pem=...",
            Some(("cert_pem", _)) => "cert_pem=...",
            _ => pair,
        })
        .collect();
    format!("{place}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, backlog: i32) -> Address {
        Address::Tcp { host: host.into(), port, backlog, wire: WireOptions::default() }
    }

    fn unix(path: &str) -> Address {
        Address::Unix { path: path.into(), mode: Some(0o660), backlog: 4096, wire: WireOptions::default() }
    }

    #[test]
    fn reads_encrypted_addresses() {
        for scheme in ["ssl", "tls", "https"] {
            let address = Address::parse(&format!("{scheme}://h:443?cert=a.pem&key=/b.pem&backlog=1")).unwrap();
            assert_eq!(address.wire().tls.as_ref().unwrap().certificates.len(), 1);
            assert_eq!(address.to_string(), "ssl://h:443");
        }
    }

    #[test]
    fn a_socket_stays_the_same_when_another_protocol_is_spoken_there() {
        let address = Address::parse("tcp://h:443").unwrap();
        let inherited = Inherited { address, descriptor: 3, outlives_us: false };
        assert!(inherited.is_of(&Address::parse("ssl://h:443?cert=a&key=b").unwrap()));
        assert!(!inherited.is_of(&Address::parse("tcp://h:444").unwrap()));
        // With any port there may be one of each.
        let any = Inherited { address: Address::parse("tcp://h:0").unwrap(), descriptor: 3, outlives_us: false };
        assert!(!any.is_of(&Address::parse("ssl://h:0?cert=a&key=b").unwrap()));
    }

    #[test]
    fn reads_addresses() {
        assert_eq!(Address::parse("tcp://0.0.0.0:9292").unwrap(), tcp("0.0.0.0", 9292, 4096));
        assert_eq!(Address::parse("tcp://[::1]:0?backlog=16").unwrap(), tcp("::1", 0, 16));
        assert_eq!(Address::parse("unix:///run/app.sock?mode=0660").unwrap(), unix("/run/app.sock"));
        assert_eq!(Address::parse("unix://app.sock?umask=0117").unwrap(), unix("app.sock"));
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["tcp://127.0.0.1:80", "tcp://[::1]:8080", "unix:///tmp/x"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn says_what_is_wrong_with_an_address() {
        for (text, why) in [
            ("localhost:3000", "neither tcp:// nor unix://"),
            ("tcp://localhost", "needs a host and a port"),
            ("tcp://::1:80", "needs a host and a port"),
            ("tcp://h:70000", "needs a host and a port"),
            ("ftp://h:21", "ftp:// is not supported"),
            ("tcp://h:443?cert=a", "no option \"cert\""),
            ("unix://", "needs a path"),
            ("unix:///x?mode=9", "mode=9 is not a number"),
            ("tcp://h:1?mode=0660", "no option \"mode\""),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.is_configuration());
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
